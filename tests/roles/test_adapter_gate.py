"""Whether an adapter may replace the one that serves, by their evaluations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.local_region.names import REPOSITORY_ROOT
from tests.support.evaluations import evaluation
from tests.support.rendering import value
from tests.support.role_variables import ROLES, load


def verdict(*evaluated: str, **comparison: Any) -> tuple[bool, str]:
    """Return whether the candidate is allowed, and the note, from which evaluations there are and the comparison."""
    results = [{"item": {"item": {"key": name}}} for name in evaluated]
    missing = [{"skipped": True, "item": {"item": {"key": "missing"}}}]
    variables = {
        "_adapter_gate_fetched": {"results": results + missing},
        "_adapter_gate_comparison": comparison or {"skipped": True},
    }
    found = value("adapter_gate", "_adapter_gate_verdict", variables)
    return found["allowed"], found["note"]


def test_adapter_without_evaluation_does_not_replace_one_that_has_one() -> None:
    allowed, note = verdict("serving")
    assert not allowed
    assert "has none" in note


@pytest.mark.parametrize("evaluated", [(), ("candidate",)])
def test_adapter_is_allowed_with_a_note_where_the_serving_one_has_no_evaluation(evaluated: tuple[str, ...]) -> None:
    allowed, note = verdict(*evaluated)
    assert allowed
    assert "not compared" in note


def compared(folder: Path, serving: bytes, candidate: bytes) -> tuple[bool, str]:
    """Run the role's own command on two evaluations; return its verdict."""
    (folder / "serving.json").write_bytes(serving)
    (folder / "candidate.json").write_bytes(candidate)
    tasks = load(ROLES / "adapter_gate/tasks/compare.yml")[0]["block"]
    (argv,) = [task["ansible.builtin.command"]["argv"] for task in tasks if "ansible.builtin.command" in task]
    result = subprocess.run(
        [sys.executable if word == "{{ ansible_playbook_python }}" else word for word in argv],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY_ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return verdict("serving", "candidate", rc=result.returncode, stderr=result.stderr)


def test_adapter_that_is_significantly_worse_is_refused(tmp_path: Path) -> None:
    allowed, note = compared(tmp_path, evaluation(wrong=2), evaluation(wrong=20))
    assert not allowed
    assert "significantly worse" in note


@pytest.mark.parametrize(("serving", "candidate"), [(2, 3), (20, 2)], ids=["no significant difference", "better"])
def test_adapter_that_is_not_significantly_worse_is_allowed(tmp_path: Path, serving: int, candidate: int) -> None:
    assert compared(tmp_path, evaluation(wrong=serving), evaluation(wrong=candidate)) == (True, "")


def test_evaluation_of_other_notes_is_refused(tmp_path: Path) -> None:
    allowed, note = compared(tmp_path, evaluation(wrong=2), evaluation(wrong=2, of="A lesion of the lung"))
    assert not allowed
    assert "not over the same notes" in note
