"""The drills' table, from the reports of a pytest run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import pytest

PROPERTY = "drill"


@dataclass(frozen=True)
class Outcome:
    """A line of the table.

    Attributes:
        fault: What was done to the region.
        engine: What served: vLLM or the stand-in.
        happened: What the operator reads, or how the stack healed.
        seconds: From the first request that was not answered to the next that was; None where nothing served before.
    """

    fault: str
    engine: str
    happened: str
    seconds: float | None

    def as_property(self) -> tuple[str, str]:
        """Return it as a user property of a test's report."""
        return PROPERTY, json.dumps(asdict(self))


def reports(reporter: pytest.TerminalReporter) -> list[pytest.TestReport]:
    """Return all reports of a run: for each test one of its set-up, its call and its tear-down."""
    return [report for kind in reporter.stats.values() for report in kind if isinstance(report, pytest.TestReport)]


def outcomes(reports: Iterable[pytest.TestReport]) -> list[Outcome]:
    """Return what the tests recorded, in their order."""
    return [
        Outcome(**json.loads(str(value)))
        for report in reports
        if report.when == "call"
        for name, value in report.user_properties
        if name == PROPERTY
    ]


def markdown(rows: Sequence[Outcome]) -> str:
    """Return the table in Markdown, an engine's lines together."""
    rows = sorted(rows, key=lambda row: row.engine)
    lines = ["| fault | engine | what happened | serving again after |", "|---|---|---|---:|"]
    lines += [
        f"| {row.fault} | {row.engine} | {row.happened.replace('|', '/')} | {after(row.seconds)} |" for row in rows
    ]
    return "\n".join(lines)


def after(seconds: float | None) -> str:
    """Return the time until something served again, in words."""
    if seconds is None:
        return "nothing served before"
    return f"{seconds:.1f} s" if seconds else "never stopped"
