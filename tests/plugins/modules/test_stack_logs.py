"""The ends of the logs: by service, without secrets, and of a length that a session carries."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.slm.serving.plugins.module_utils import containers
from ansible_collections.slm.serving.plugins.module_utils.containers import Container
from ansible_collections.slm.serving.plugins.module_utils.process import StackError
from ansible_collections.slm.serving.plugins.modules import stack_logs

from tests.support.release_files import edge_files
from tests.support.role_variables import ROLES, entry_points

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


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Have a journal with a token in it, and a Docker that must not be asked; return what is asked."""
    asked: list[list[str]] = []

    def run(argv: list[str], **_: Any) -> SimpleNamespace:
        asked.append(argv)
        return SimpleNamespace(returncode=0, stdout="NVRM: Xid 79\nbearer abc\n", stderr="")

    monkeypatch.setattr(stack_logs, "run", run)
    monkeypatch.setattr(stack_logs, "containers", lambda _: pytest.fail("Docker was asked"))
    return asked


@pytest.mark.parametrize("part", stack_logs.JOURNALS)
def test_every_part_has_its_journal_without_secrets_whatever_docker_does(part: str, journal: list[list[str]]) -> None:
    assert stack_logs.read("p", [part], 20) == {part: "NVRM: Xid 79\n[secret]"}
    (asked,) = journal
    assert asked[0] == "journalctl"
    assert asked[-5:] == ["--lines", "20", "--no-pager", "--output", "short-iso"]


def test_the_units_are_those_that_the_roles_install(journal: list[list[str]]) -> None:
    parts = ["stack", "secrets", "training", "idle-stop", "metrics", "lifecycle"]
    stack_logs.read("slm-ft-serving", parts, 1)
    installed = {
        name
        for path in ROLES.glob("*/*/slm-ft-serving*")
        if (name := path.name.removesuffix(".j2")).endswith(".service")
    }
    assert {asked[2] for asked in journal} == installed


def test_every_container_that_the_stack_may_have_has_its_log() -> None:
    assert set(yaml.safe_load(edge_files(inference_stack_engine_pooled=True)["compose.yml"])["services"]) == set(
        stack_logs.CONTAINERS
    )


def test_a_journal_that_cannot_be_read_is_an_error_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = SimpleNamespace(returncode=1, stdout="", stderr="No journal files were opened\n")
    monkeypatch.setattr(stack_logs, "run", lambda *_, **__: refused)
    with pytest.raises(StackError, match="log of kernel: No journal files were opened"):
        stack_logs.read("p", ["kernel"], 5)


def test_the_role_shows_what_the_module_reads() -> None:
    option = entry_points("status")["logs"]["status_log_services"]
    assert option["choices"] == [*stack_logs.CONTAINERS, *stack_logs.JOURNALS]
