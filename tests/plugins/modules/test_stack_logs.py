"""The ends of the logs: by service, without secrets, and of a length that a session carries."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils import containers
from ansible_collections.slm.serving.plugins.module_utils.containers import Container
from ansible_collections.slm.serving.plugins.modules import stack_logs

ENGINE: Container = {
    "name": "p-engine-1",
    "service": "engine",
    "error": "",
    "status": "exited",
    "health": "none",
    "exit_code": 1,
    "oom_killed": False,
    "restarts": 0,
    "id": "7",
    "started": "",
}


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Have an engine that logged a token and much else, and no gateway; return what Docker is asked."""
    asked: list[list[str]] = []

    def run(argv: list[str], **_: Any) -> SimpleNamespace:
        asked.append(argv)
        return SimpleNamespace(returncode=0, stdout="x" * stack_logs.LONGEST + "\n", stderr="bearer abc\nthe end\n\n")

    monkeypatch.setattr(containers, "run", run)
    monkeypatch.setattr(stack_logs, "containers", lambda _: {"engine": ENGINE})
    return asked


def test_logs_end_where_the_container_did_without_secrets(logged: list[list[str]]) -> None:
    found = stack_logs.read("p", ["engine", "gateway"], 20)
    assert found["engine"].startswith("engine is exited (exit code 1)\n")
    assert found["engine"].endswith("[secret]\nthe end")
    assert len(found["engine"]) < stack_logs.LONGEST + 100
    assert found["gateway"] == "there is no container of the gateway"
    assert logged == [["docker", "logs", "--tail", "20", "7"]]
