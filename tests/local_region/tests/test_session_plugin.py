"""The session plugin, with a `docker` that runs the session's shell on this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.local_region.environment import BIN
from tests.local_region.faults import Faults
from tests.local_region.state import RegionState

PLUGIN = str(BIN / "session-manager-plugin")
# What it is called with: `container inspect ...`, `wait CONTAINER`, `exec ... CONTAINER COMMAND` of a session, or
# `exec --interactive CONTAINER python3 -c RELAY PORT`.
DOCKER = """#!/bin/sh
echo "$*" >> "$(dirname "$0")/called"
case "$1 $4" in
    "container "*) cat "$(dirname "$0")/running" ;;
    "wait "*) exec cat "$(dirname "$0")/stopped" ;;
    "exec python3") shift 3; exec "$@" ;;
    "exec "*) exec sh ;;
esac
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return a PATH with the fake docker in front; its instance runs."""
    folder = tmp_path / "fake-docker"
    folder.mkdir()
    (folder / "docker").write_text(DOCKER, encoding="ascii")
    (folder / "docker").chmod(0o755)
    (folder / "running").write_text("true\n", encoding="ascii")
    os.mkfifo(folder / "stopped")
    return f"{folder}:{os.environ['PATH']}"


def _command(state: RegionState, number: int, query: str) -> list[str]:
    answer = {
        "SessionId": "local-region-abc",
        "TokenValue": str(state.sessions / f"{number:05d}-local-region-abc.log"),
        "StreamUrl": f"docker://fake-instance{query}",
    }
    return [PLUGIN, json.dumps(answer), "us-east-1", "StartSession", "", '{"Target": "i-1"}', "http://127.0.0.1:1"]


def _run(
    state: RegionState, path: str, typed: str, number: int = 7, query: str = ""
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": path}
    return subprocess.run(
        _command(state, number, query),
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=20,
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


@pytest.mark.parametrize(("query", "user"), [("", "ssm-user"), ("?user=nobody", "nobody")])
def test_a_session_is_the_agents_users_unless_run_as_names_another(
    state: RegionState, path: str, tmp_path: Path, query: str, user: str
) -> None:
    _run(state, path, "true\n", query=query)
    assert f"exec --interactive --user {user} fake-instance" in (tmp_path / "fake-docker/called").read_text()


def test_an_encrypted_session_fails_where_the_role_may_not_use_the_key(state: RegionState, path: str) -> None:
    result = _run(state, path, "echo one\n", query="?key=some-key")
    assert result.returncode == 255
    assert "kms:Decrypt" in result.stdout
    assert "one" not in result.stdout.splitlines()


@contextmanager
def _forwarding(state: RegionState, path: str, query: str) -> Iterator[subprocess.Popen[str]]:
    """Have the plugin forward a port."""
    process = subprocess.Popen(
        _command(state, 7, query), env=os.environ | {"PATH": path}, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def _opened(process: subprocess.Popen[str]) -> int:
    """Return the port that the plugin says it opened."""
    assert process.stdout is not None
    for line in process.stdout:
        opened = re.match(r"Port (\d+) opened for sessionId local-region-abc\.", line)
        if opened:
            return int(opened[1])
    raise AssertionError("it opened no port")


def test_a_forwarded_port_carries_bytes_both_ways_for_several_connections(state: RegionState, path: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as service:
        service.settimeout(20)
        with _forwarding(state, path, f"?port={service.getsockname()[1]}&local_port=0") as process:
            port = _opened(process)
            for word in (b"first", b"second"):
                with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                    client.sendall(word)
                    connection, _ = service.accept()
                    with connection:
                        assert connection.recv(100) == word
                        connection.sendall(word.upper())
                    assert client.makefile("rb").read() == word.upper()


def test_a_forwarded_port_says_when_nothing_answers_behind_it(state: RegionState, path: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as service:
        nobody = service.getsockname()[1]
    with _forwarding(state, path, f"?port={nobody}&local_port=0") as process:
        with socket.create_connection(("127.0.0.1", _opened(process)), timeout=20) as client:
            assert client.makefile("rb").read() == b""
        assert process.stdout is not None
        assert any("Connection to destination port failed" in line for line in process.stdout)


def test_a_forwarded_port_ends_with_the_instance(state: RegionState, path: str, tmp_path: Path) -> None:
    with _forwarding(state, path, "?port=8080&local_port=0") as process:
        _opened(process)
        (tmp_path / "fake-docker/stopped").write_text("137\n", encoding="ascii")
        assert process.wait(timeout=20) == 0
        assert process.stdout is not None
        assert "ChannelClosed" in process.stdout.read()
