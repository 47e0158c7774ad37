"""The verification's look at the containers: whom it waits for, and what it names as the cause."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils import containers, process
from ansible_collections.slm.serving.plugins.module_utils.units import SECRETS
from ansible_collections.slm.serving.plugins.modules import stack_verification

from tests.support.containers import PROJECT, UNIT, FakeInstance
from tests.support.releases import A, ReleasesFixture

PROBLEM = "the secret 'keys' does not exist"


@pytest.fixture
def verification(made: ReleasesFixture, instance: FakeInstance, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a verification of a release whose containers a test changes; it waits for none."""
    made.add(A)
    made.serve(A)
    monkeypatch.setattr(containers, "logs", lambda container, lines=None: f"log of {container['name']}")
    monkeypatch.setattr(stack_verification, "journal", lambda unit: f"words of {unit}")
    del instance
    options = {"root": str(made.releases.root), "project": PROJECT, "unit": UNIT, "release": "", "wait": 0}
    return stack_verification.Verification(options)


def complaint(verification: Any) -> str:
    """Return what is wrong with the containers."""
    with pytest.raises(process.StackError) as caught:
        verification.check_containers()
    return str(caught.value)


def test_healthy_containers_pass(verification: Any) -> None:
    verification.check_containers()
    assert verification.checks == [
        {"check": "containers", "detail": "engine is running (healthy), gateway is running (healthy)"}
    ]


def test_the_cause_is_the_last_thing_that_is_said(verification: Any, instance: FakeInstance) -> None:
    instance.add("engine", Status="exited")
    said = complaint(verification)
    assert said.startswith("engine is exited (exit code 0)")
    assert "`sudo docker logs p-engine-1`" in said
    assert said.endswith("The cause:\nlog of p-engine-1")


def test_secrets_that_could_not_be_read_are_named_and_not_the_log_of_before(
    verification: Any, instance: FakeInstance
) -> None:
    instance.add("gateway", Status="exited")
    instance.units = {
        UNIT: {"ActiveState": "activating", "SubState": "auto-restart"},
        SECRETS: {"ActiveState": "failed"},
    }
    instance.journals[SECRETS] = f'{{"ok": false, "problem": "{PROBLEM}"}}'
    said = complaint(verification)
    assert said.endswith(PROBLEM)
    assert "log of" not in said


def test_a_container_that_is_missing_is_named_with_the_units_words(verification: Any, instance: FakeInstance) -> None:
    del instance.containers["p-engine-1"]
    assert complaint(verification) == f"there is no container of engine; {UNIT} logged last: words of {UNIT}"


@pytest.mark.parametrize(
    ("status", "unit", "hopeful"),
    [
        ("running", ("active", "exited"), True),
        ("restarting", ("active", "exited"), True),
        ("exited", ("activating", "start"), True),
        ("exited", ("activating", "start-pre"), True),
        ("exited", ("activating", "auto-restart"), False),
        ("exited", ("active", "exited"), False),
        ("paused", ("active", "exited"), False),
    ],
)
def test_it_waits_for_what_may_get_well_by_itself(
    verification: Any, instance: FakeInstance, status: str, unit: tuple[str, str], hopeful: bool
) -> None:
    instance.add("engine", Status=status)
    instance.units[UNIT] = dict(zip(("ActiveState", "SubState"), unit, strict=True))
    present = containers.containers(PROJECT)
    assert verification.is_hopeful({"engine": present["engine"]}, present) is hopeful


def test_it_does_not_wait_for_a_crash_loop(verification: Any, instance: FakeInstance) -> None:
    instance.add("engine", Status="restarting", restarts=5)
    before = containers.containers(PROJECT)
    instance.add("engine", Status="restarting", restarts=7)
    assert verification.is_hopeful({"engine": containers.containers(PROJECT)["engine"]}, before) is False


def test_an_engine_that_makes_no_token_is_told_with_what_helps(
    verification: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    verification.check_containers()
    verification.model, verification.options["token_timeout"] = "base", 1

    def hangs(*_: Any, **__: Any) -> None:
        raise process.StackError("TimeoutError: timed out")

    monkeypatch.setattr(stack_verification, "ask_engine", hangs)
    with pytest.raises(process.StackError, match=r"makes no token.*playbooks/start\.yml makes it anew"):
        verification.check_token()
