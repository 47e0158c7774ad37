"""What systemd says of the stack's units."""

from __future__ import annotations

import pytest
from ansible_collections.slm.serving.plugins.module_utils.units import SECRETS, secrets_problem, state

from tests.support.containers import UNIT, FakeInstance


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
