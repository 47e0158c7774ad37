"""The drills' table, from the reports of a pytest run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import pytest

from tests.drills.drill import PROPERTY, Outcome


def outcomes(reports: Iterable[pytest.TestReport]) -> list[Outcome]:
    """Gives what the tests recorded, in their order."""
    return [
        Outcome(**json.loads(str(value)))
        for report in reports
        if report.when == "call"
        for name, value in report.user_properties
        if name == PROPERTY
    ]


def markdown(rows: Sequence[Outcome]) -> str:
    """Gives the table in Markdown."""
    lines = ["| fault | engine | what happened | serving again after |", "|---|---|---|---:|"]
    lines += [
        f"| {row.fault} | {row.engine} | {row.happened.replace('|', '/')} | {after(row.seconds)} |" for row in rows
    ]
    return "\n".join(lines)


def after(seconds: float) -> str:
    """Gives the time to serving again in words."""
    return f"{seconds:.1f} s" if seconds else "never stopped"
