"""Bringing containers up: it stops waiting as soon as it is clear that they will not come, and says why."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils import compose, process
from ansible_collections.slm.serving.plugins.module_utils import containers as module_containers

WELL = {
    "id": "1", "name": "p-engine-1", "status": "running", "health": "healthy", "exit_code": 0, "error": "",
    "oom_killed": False, "restarts": 0,
}  # fmt: skip


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Return what Docker reports of the containers; a test changes it."""
    found = {"engine": dict(WELL), "gateway": dict(WELL)}
    calls = []

    def containers(_: str) -> dict[str, dict[str, Any]]:
        calls.append(1)
        # The first question is what was there before.
        return {} if len(calls) == 1 else found

    monkeypatch.setattr(compose, "containers", containers)
    monkeypatch.setattr(module_containers, "logs", lambda container, lines=None: f"log of {container['id']}\n")
    return found


def up(tmp_path: Path, *command: str, timeout: float = 30) -> None:
    """Run it with a command in compose's place."""
    compose.up(list(command), "p", timeout, tmp_path / "compose.log")


def test_what_comes_up_is_no_error(tmp_path: Path, state: dict[str, dict[str, Any]]) -> None:
    del state
    up(tmp_path, "echo", "Healthy")
    assert (tmp_path / "compose.log").read_text() == "Healthy\n"


def test_a_container_that_ends_at_once_is_named_with_its_log(tmp_path: Path, state: dict[str, dict[str, Any]]) -> None:
    state["engine"] |= {"status": "exited", "health": "none", "exit_code": 3}
    with pytest.raises(process.StackError) as caught:
        up(tmp_path, "sh", "-c", "echo exited >&2; exit 1")
    said = str(caught.value)
    assert said.startswith("the engine container crashes at start\nengine is exited (exit code 3)")
    assert "`sudo docker logs p-engine-1`" in said
    assert said.endswith("The cause:\nlog of 1"), "the cause is the last thing that is read"
    assert "gateway" not in said


def test_an_engine_whose_core_died_ends_with_0_and_has_crashed_all_the_same(
    tmp_path: Path, state: dict[str, dict[str, Any]]
) -> None:
    state["engine"] |= {"status": "exited", "health": "none", "exit_code": 0}
    with pytest.raises(process.StackError, match="the engine container crashes at start"):
        up(tmp_path, "sh", "-c", "exit 1")


def test_a_container_that_docker_cannot_start_is_named_with_dockers_reason(
    tmp_path: Path, state: dict[str, dict[str, Any]]
) -> None:
    missing = "invalid mount config for type bind: bind source path does not exist: /srv/models/base"
    state["engine"] |= {"status": "created", "health": "none", "error": missing}
    with pytest.raises(process.StackError) as caught:
        up(tmp_path, "sh", "-c", "echo failed; exit 1")
    assert str(caught.value).endswith(missing)


def test_the_engines_cause_is_said_after_the_gateways(tmp_path: Path, state: dict[str, dict[str, Any]]) -> None:
    for name, number in (("engine", "1"), ("gateway", "2")):
        state[name] |= {"status": "exited", "health": "none", "id": number}
    with pytest.raises(process.StackError) as caught:
        up(tmp_path, "sh", "-c", "exit 1")
    assert str(caught.value).endswith("log of 1")


def test_a_crash_loop_ends_the_wait(tmp_path: Path, state: dict[str, dict[str, Any]]) -> None:
    state["engine"] |= {"status": "restarting", "exit_code": 3, "restarts": 2}
    started = time.monotonic()
    with pytest.raises(process.StackError, match="the engine container crashes at start"):
        up(tmp_path, "sleep", "300", timeout=300)
    assert time.monotonic() - started < 60


def test_an_engine_that_never_answers_is_named_when_the_time_is_over(
    tmp_path: Path, state: dict[str, dict[str, Any]]
) -> None:
    state["engine"] |= {"health": "starting"}
    with pytest.raises(process.StackError) as caught:
        up(tmp_path, "sleep", "300", timeout=0)
    assert str(caught.value).startswith("the containers are not healthy after 0 s\nengine is running (starting)")


def test_what_compose_says_last_is_said(tmp_path: Path, state: dict[str, dict[str, Any]]) -> None:
    del state
    with pytest.raises(process.StackError, match="docker compose failed: no such image"):
        up(tmp_path, "sh", "-c", "echo first; echo no such image >&2; exit 1")
