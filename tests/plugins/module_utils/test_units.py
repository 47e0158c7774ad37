"""What systemd says of the stack's units."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.slm.serving.plugins.module_utils.units import SECRETS, secrets_problem, started, state

from tests.support.containers import UNIT, FakeInstance


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what puts a fake systemctl of a version on PATH, with a unit's properties."""
    (tmp_path / "systemctl").symlink_to(Path(__file__).parents[2] / "fakes/systemctl.py")
    monkeypatch.setenv("FAKE_SYSTEMD", str(tmp_path / "systemd.json"))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def begin(version: int, **properties: str) -> None:
        (tmp_path / "systemd.json").write_text(json.dumps({"version": version, "properties": properties}))

    return begin


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ({"ActiveState": "active", "SubState": "exited"}, ("active", "exited")),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, ("activating", "auto-restart")),
        # Early in a boot its start waits in systemd's queue.
        ({"ActiveState": "inactive", "SubState": "dead", "Job": "42"}, ("activating", "dead")),
        ({"ActiveState": "inactive", "SubState": "dead", "Job": "0"}, ("inactive", "dead")),
        ({"ActiveState": "inactive", "SubState": "dead"}, ("inactive", "dead")),
        ({}, ("unknown", "unknown")),
    ],
)
def test_state_of_a_unit(instance: FakeInstance, shown: dict[str, str], expected: tuple[str, str]) -> None:
    instance.units[UNIT] = shown
    assert state(UNIT) == expected


@pytest.mark.parametrize(
    ("journal", "expected"),
    [
        ('{"ok": false, "problem": "old"}\n{"ok": false, "problem": "new"}\nFailed to start x.\n', "new"),
        ("12\nKilled\n", f"`journalctl --unit {SECRETS}` on the instance says why"),
        ("", f"`journalctl --unit {SECRETS}` on the instance says why"),
    ],
)
def test_the_secrets_own_problem_is_told(instance: FakeInstance, journal: str, expected: str) -> None:
    instance.units[SECRETS] = {"ActiveState": "failed"}
    instance.journals[SECRETS] = journal
    assert secrets_problem() == expected


def test_secrets_that_were_fetched_are_no_problem(instance: FakeInstance) -> None:
    instance.units[SECRETS] = {"ActiveState": "inactive"}
    instance.journals[SECRETS] = '{"ok": false, "problem": "of the try before"}'
    assert secrets_problem() is None


@pytest.mark.parametrize("version", [249, 252, 259])
@pytest.mark.parametrize("running", [True, False])
def test_start_of_a_unit_is_known_whatever_the_version(
    systemd: Callable[..., None], version: int, running: bool
) -> None:
    ago = 600.0
    begun = int((time.clock_gettime(time.CLOCK_MONOTONIC) - ago) * 1e6) if running else 0
    systemd(version, ExecMainStartTimestampMonotonic=str(max(begun, int(running))))
    then = started("docker.service")
    if not running:
        assert then is None
    else:
        assert then is not None
        assert time.time() - then >= min(ago, time.clock_gettime(time.CLOCK_MONOTONIC) - 1)
        assert time.time() - then < ago + 300


def test_unit_that_systemd_does_not_know_was_not_started(systemd: Callable[..., None]) -> None:
    systemd(249)
    assert started("docker.service") is None
