"""Holds what a playbook asked AWS for against the committed list, whose calls tests/policies evaluates.

What was seen is kept below build/, so that `python -m tests.policies record` can bring the list up to date after a run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from tests.local_region import names, recorded_calls
from tests.local_region.recorded_calls import Question, Recorded

FOLDER = names.REPOSITORY_ROOT / "tests" / "policies"
LIST = FOLDER / "calls.json"
UNRECORDED = FOLDER / "unrecorded.yml"
SEEN = names.REPOSITORY_ROOT / "build" / "aws-calls"
REFUSED = 403
RECORD_ONLY = "SLM_RECORD_CALLS"  # set, to record a whole run at once instead of failing at its first new call


def committed(file: Path | None = None) -> set[Recorded]:
    """Return the calls of the list, or of another file of its form."""
    file = file or LIST
    listed = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return {
        Recorded(principal, Question(each["action"], each["resource"], tuple(sorted(each.get("context", {}).items()))))
        for principal, calls in listed.items()
        for each in calls
    }


def write(calls: Iterable[Recorded], file: Path | None = None) -> None:
    """Write the list, or another file of its form: sorted, a call a line."""
    listed: dict[str, list[str]] = {}
    for call in sorted(calls):
        about = {"action": call.question.action, "resource": call.question.resource}
        context = {"context": dict(call.question.context)} if call.question.context else {}
        listed.setdefault(call.principal, []).append(json.dumps({**about, **context}))
    parts = [f'  "{principal}": [\n    {",\n    ".join(lines)}\n  ]' for principal, lines in listed.items()]
    (file or LIST).write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def unrecorded() -> dict[tuple[str, str], str]:
    """Return why a right is needed though no test's playbook asks for it, by principal and the document's action."""
    listed = yaml.safe_load(UNRECORDED.read_text(encoding="utf-8"))
    return {
        (principal, action): group["why"]
        for principal, groups in listed.items()
        for group in groups
        for action in group["actions"]
    }


def seen(file: Path, start: int = 0) -> set[Recorded]:
    """Return what a region recorded after a place in its file, in general.

    A call for what is not the application's is left out when it was refused: there, a test asks for a wrong name.
    """
    return {
        Recorded(each.principal, recorded_calls.in_general(each.question))
        for each in recorded_calls.read(file, start)
        if each.result != REFUSED or names.APPLICATION in each.question.resource or each.question.resource == "*"
    }


def check(file: Path, start: int, playbook: str) -> None:
    """Keep what a playbook's run asked for and, unless SLM_RECORD_CALLS is set, hold it against the list.

    Args:
        file: The region's record.
        start: Where the run began in it.
        playbook: Its name, for the message.

    Raises:
        AssertionError: It made a call of an action that the list lacks.
    """
    calls = seen(file, start)
    _keep(calls)
    if os.environ.get(RECORD_ONLY):
        return
    # By action: which resources a run asks about depends on what was there before it. What a document does not allow
    # the region refuses whatever the list has.
    known = {(each.principal, each.question.action) for each in committed()}
    expected = unrecorded()
    missing = sorted(
        each
        for each in calls
        if (each.principal, each.question.action) not in known
        and not any(each.principal == who and fnmatchcase(each.question.action, what) for who, what in expected)
    )
    lines = [f"  {each.principal}: {each.question.action} on {each.question.resource}" for each in missing]
    assert not missing, (
        f"{playbook}.yml makes calls that tests/policies/{LIST.name} lacks:\n"
        + "\n".join(lines)
        + "\nAdd them with `python -m tests.policies record`, then see with `pytest tests/policies` whether the"
        " documents in roles/infrastructure/templates allow them."
    )


def kept() -> set[Recorded]:
    """Return what the runs since the last `record` asked for."""
    return {call for file in SEEN.glob("*.json") for call in committed(file)}


def _keep(calls: set[Recorded]) -> None:
    """Add calls to this process's file: no two processes write one."""
    SEEN.mkdir(parents=True, exist_ok=True)
    file = SEEN / f"{os.getpid()}.json"
    write(committed(file) | calls, file)
