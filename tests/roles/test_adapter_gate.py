"""Whether an adapter may replace the one that serves, by their evaluations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.main import main
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


Comparison = Callable[[bytes, bytes], tuple[bool, str]]


@pytest.fixture
def compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Comparison:
    """Run the role's own command on two evaluations, in this process; return its verdict."""

    def compare(serving: bytes, candidate: bytes) -> tuple[bool, str]:
        (tmp_path / "serving.json").write_bytes(serving)
        (tmp_path / "candidate.json").write_bytes(candidate)
        tasks = load(ROLES / "adapter_gate/tasks/compare.yml")[0]["block"]
        (argv,) = [task["ansible.builtin.command"]["argv"] for task in tasks if "ansible.builtin.command" in task]
        assert argv[:3] == ["{{ ansible_playbook_python }}", "-m", "gateway"]
        monkeypatch.chdir(tmp_path)
        status = main(argv[3:])
        return verdict("serving", "candidate", rc=status, stderr=capsys.readouterr().err)

    return compare


def test_adapter_that_is_significantly_worse_is_refused(compared: Comparison) -> None:
    allowed, note = compared(evaluation(wrong=2), evaluation(wrong=20))
    assert not allowed
    assert "significantly worse" in note


@pytest.mark.parametrize(("serving", "candidate"), [(2, 3), (20, 2)], ids=["no significant difference", "better"])
def test_adapter_that_is_not_significantly_worse_is_allowed(compared: Comparison, serving: int, candidate: int) -> None:
    assert compared(evaluation(wrong=serving), evaluation(wrong=candidate)) == (True, "")


def test_evaluation_of_other_notes_is_refused(compared: Comparison) -> None:
    allowed, note = compared(evaluation(wrong=2), evaluation(wrong=2, of="A lesion of the lung"))
    assert not allowed
    assert "not over the same notes" in note
