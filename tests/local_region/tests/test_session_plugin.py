"""The session plugin, with a `docker` that runs the session's shell on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.local_region.environment import BIN
from tests.local_region.faults import Faults
from tests.local_region.state import RegionState

PLUGIN = str(BIN / "session-manager-plugin")
# What it is called with: `container inspect ...` or `exec ... CONTAINER COMMAND`.
DOCKER = '#!/bin/sh\ncase "$1" in container) cat "$(dirname "$0")/running" ;; exec) exec sh ;; esac\n'


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return a PATH with the fake docker in front; its instance runs."""
    folder = tmp_path / "fake-docker"
    folder.mkdir()
    (folder / "docker").write_text(DOCKER, encoding="ascii")
    (folder / "docker").chmod(0o755)
    (folder / "running").write_text("true\n", encoding="ascii")
    return f"{folder}:{os.environ['PATH']}"


def _run(state: RegionState, path: str, typed: str, number: int = 7) -> subprocess.CompletedProcess[str]:
    answer = {
        "SessionId": "local-region-abc",
        "TokenValue": str(state.sessions / f"{number:05d}-local-region-abc.log"),
        "StreamUrl": "docker://fake-instance",
    }
    command = [PLUGIN, json.dumps(answer), "us-east-1", "StartSession", "", '{"Target": "i-1"}', "http://127.0.0.1:1"]
    environment = os.environ | {"PATH": path}
    return subprocess.run(
        command, input=typed, capture_output=True, text=True, check=False, env=environment, timeout=20
    )


def test_session_plugin_names_the_session_runs_its_input_and_records_the_output(state: RegionState, path: str) -> None:
    result = _run(state, path, "echo one; echo two >&2\n")
    assert result.returncode == 0
    assert "Starting session with SessionId: local-region-abc\n" in result.stdout
    assert result.stdout.endswith("one\ntwo\n")
    assert (state.sessions / "00007-local-region-abc.log").read_text(encoding="ascii") == "one\ntwo\n"


def test_an_instance_that_does_not_run_fails_as_with_aws(state: RegionState, path: str, tmp_path: Path) -> None:
    (tmp_path / "fake-docker" / "running").write_text("false\n", encoding="ascii")
    result = _run(state, path, "echo one\n")
    assert result.returncode == 255
    assert "ERROR" in result.stdout
    assert "Starting session" not in result.stdout


def test_another_endpoint_than_the_local_region_is_refused() -> None:
    answer = json.dumps({"SessionId": "s", "TokenValue": "t", "StreamUrl": "wss://ssmmessages.example.org"})
    command = [PLUGIN, answer, "eu-west-1", "StartSession", "", "{}", "https://ssm.example.org"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 255
    assert "serves the local region alone" in result.stderr


def test_session_plugin_has_a_version_as_aws_own_has() -> None:
    result = subprocess.run([PLUGIN, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("1.2.")


@pytest.mark.parametrize(("which", "breaks"), [(7, True), (0, True), (6, False)])
def test_a_dropped_session_breaks_off_after_so_many_bytes(
    state: RegionState, path: str, which: int, *, breaks: bool
) -> None:
    Faults(state.faults).switch_on("session-drop", f"{which} 4")
    result = _run(state, path, "echo one; sleep 0.2; echo two; sleep 0.2; echo three\n")
    assert (result.returncode != 0) == breaks
    assert result.stdout.endswith("one\n" if breaks else "three\n")


def test_latency_delays_the_opening_of_a_session(state: RegionState, path: str) -> None:
    Faults(state.faults).switch_on("session-latency", "0.5")
    began = time.monotonic()
    _run(state, path, "true\n")
    assert time.monotonic() - began >= 0.5
