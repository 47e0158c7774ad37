"""What serves is brought up again, at a deployment and at a start, from every state that it may be in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils import activation
from ansible_collections.slm.serving.plugins.module_utils.activation import Stack
from ansible_collections.slm.serving.plugins.module_utils.process import StackError
from ansible_collections.slm.serving.plugins.module_utils.units import SECRETS

from tests.support.containers import PROJECT, UNIT, FakeInstance
from tests.support.releases import A, B, ReleasesFixture

ENGINE = f"{PROJECT}-engine-1"
PROBLEM = "the instance's role may not read the secret 'keys': allow it secretsmanager:GetSecretValue"


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made: ReleasesFixture, instance: FakeInstance) -> Stack:
    """Return a stack with a verified release and its secrets, which compose brings up at once."""
    made.add(A)
    made.serve(A)
    monkeypatch.setattr(activation, "KEYS", tmp_path / "api-keys")
    activation.KEYS.write_text("keys")
    monkeypatch.setattr(activation, "ACTIVATING", tmp_path / "activating")

    def up(command: list[str], *_: Any) -> None:
        instance.commands.append(" ".join(command[-2:]))

    monkeypatch.setattr(activation, "up", up)
    return Stack(made.releases, PROJECT, UNIT, timeout=5)


def brought_up(instance: FakeInstance) -> bool:
    """Say whether compose was run and the unit started after it."""
    expected = ["5 --remove-orphans", f"systemctl reset-failed {UNIT}", f"systemctl start {UNIT}"]
    return instance.commands[-3:] == expected


def test_a_stack_that_serves_is_not_touched_by_a_start(stack: Stack, instance: FakeInstance) -> None:
    assert stack.start() is None
    assert instance.commands == []


@pytest.mark.parametrize(
    "state",
    [{"Status": "exited"}, {"Status": "paused"}, {"Status": "created"}, {"Status": "dead"}, {"Status": "restarting"}],
    ids=lambda state: state["Status"],
)
def test_a_start_brings_back_an_engine_in_any_state(
    stack: Stack, instance: FakeInstance, state: dict[str, str]
) -> None:
    instance.add("engine", **state)
    assert not stack.is_serving()
    stack.start()
    assert brought_up(instance)


def test_a_start_makes_an_engine_anew_that_hangs(stack: Stack, instance: FakeInstance) -> None:
    instance.hanging.add(ENGINE)
    assert not stack.is_serving()
    assert stack.start() == [f"removed {ENGINE}, which did not work"]
    assert brought_up(instance)


@pytest.mark.parametrize("active", ["inactive", "failed"])
def test_a_start_starts_a_unit_that_has_given_up(stack: Stack, instance: FakeInstance, active: str) -> None:
    instance.units[UNIT] = {"ActiveState": active, "SubState": active}
    assert stack.start() == []
    assert brought_up(instance)


def test_a_start_goes_back_to_the_verified_release(stack: Stack, instance: FakeInstance, made: ReleasesFixture) -> None:
    made.add(B, result="activated")
    made.serve(B, verified=A)
    stack.start()
    assert made.releases.current() == A
    assert brought_up(instance)


def test_a_try_of_systemd_that_is_between_two_tries_is_ended_for_this_one(stack: Stack, instance: FakeInstance) -> None:
    instance.units[UNIT] = {"ActiveState": "activating", "SubState": "auto-restart"}
    stack.start()
    assert instance.commands[0] == f"systemctl stop {UNIT}"
    assert brought_up(instance)


def test_a_start_of_systemds_that_takes_too_long_is_an_error(
    stack: Stack, instance: FakeInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activation, "UNIT_MARGIN", -5)
    monkeypatch.setattr(activation, "journal", lambda _: "still at it")
    instance.units[UNIT] = {"ActiveState": "activating", "SubState": "start"}
    with pytest.raises(StackError, match="too long: still at it"):
        stack.start()


def test_secrets_that_cannot_be_read_are_what_a_start_names(stack: Stack, instance: FakeInstance) -> None:
    activation.KEYS.unlink()
    instance.units = {UNIT: {"ActiveState": "failed"}, SECRETS: {"ActiveState": "failed"}}
    instance.journals[SECRETS] = f'Starting\n{{"ok": false, "problem": "{PROBLEM}"}}\nFailed to start'
    with pytest.raises(StackError) as caught:
        stack.start()
    assert str(caught.value).endswith(PROBLEM)


def test_secrets_that_cannot_be_read_do_not_end_systemds_own_tries(stack: Stack, instance: FakeInstance) -> None:
    activation.KEYS.unlink()
    instance.units = {
        UNIT: {"ActiveState": "activating", "SubState": "auto-restart"},
        SECRETS: {"ActiveState": "failed"},
    }
    with pytest.raises(StackError):
        stack.start()
    assert instance.commands == [f"systemctl start {SECRETS}"]


def test_secrets_of_before_serve_where_new_ones_cannot_be_read(stack: Stack, instance: FakeInstance) -> None:
    instance.units = {UNIT: {"ActiveState": "inactive"}, SECRETS: {"ActiveState": "failed"}}
    assert stack.start() == []


def test_without_a_release_a_start_says_what_to_run(instance: FakeInstance, made: ReleasesFixture) -> None:
    del instance
    with pytest.raises(StackError, match=r"run playbooks/deploy\.yml"):
        Stack(made.releases, PROJECT, UNIT, timeout=5).start()


def test_a_damaged_release_is_not_started(stack: Stack, made: ReleasesFixture) -> None:
    (made.releases.path(A) / "compose.yml").unlink()
    with pytest.raises(StackError, match=r"compose\.yml is missing"):
        stack.start()


def test_a_stack_that_is_stopped_is_not_stopped_again(stack: Stack, instance: FakeInstance) -> None:
    instance.units[UNIT] = {"ActiveState": "inactive"}
    for name in list(instance.containers):
        instance.containers[name]["state"]["Status"] = "exited"
    assert stack.stop() is False
    assert instance.commands == []


def test_a_stop_unpauses_first_and_stops_what_the_unit_does_not(
    stack: Stack, instance: FakeInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unit whose start has failed has nothing to stop, though its containers run."""
    instance.units[UNIT] = {"ActiveState": "failed"}
    instance.add("engine", Status="paused")
    monkeypatch.setattr(activation, "stop", lambda *_: instance.commands.append("compose stop"))
    assert stack.stop() is True
    assert instance.commands == [f"docker unpause {ENGINE}", f"systemctl stop {UNIT}", "compose stop"]
