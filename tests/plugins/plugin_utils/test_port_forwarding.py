"""A forwarded port: opened as the AWS CLI does it, ended with its session, and every failure in words."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.plugin_utils.port_forwarding import (
    HOST,
    Forwarding,
    ForwardingError,
    require_free,
)
from botocore.exceptions import ClientError, EndpointConnectionError

INSTANCE = "i-0123456789abcdef0"
TIMEOUT_SECONDS = 30
# What AWS's plugin prints, without a port; it notes how it was called.
PLUGIN = """#!/bin/sh
if [ "$1" = --version ]; then echo {version}; exit 0; fi
printf '%s\\n' "$@" > "$(dirname "$0")/called"
printf '%s' "$AWS_SSM_START_SESSION_RESPONSE" > "$(dirname "$0")/environment"
{body}
"""
STAYS = """exec python3 -c '
import pathlib, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print("Port 12345 opened for sessionId session-1.\\nWaiting for connections...\\n{more}", flush=True)
signal.sigwait([signal.SIGINT])
pathlib.Path(sys.argv[1]).with_name("ended").touch()' "$0"
"""


class FakeSystemsManager:
    """Systems Manager, which opens a session or refuses."""

    meta = SimpleNamespace(region_name="eu-west-1", endpoint_url="https://ssm.example.org")

    def __init__(self, refusal: Exception | None = None) -> None:
        self._refusal = refusal
        self.asked: list[dict[str, Any]] = []
        self.ended: list[str] = []

    def start_session(self, **request: Any) -> dict[str, Any]:
        """Answer as Systems Manager."""
        self.asked.append(request)
        if self._refusal:
            raise self._refusal
        return {"SessionId": "session-1", "TokenValue": "the-token", "StreamUrl": "wss://x", "ResponseMetadata": {}}

    def terminate_session(self, SessionId: str) -> None:  # noqa: N803
        """Note which session is ended."""
        self.ended.append(SessionId)


@pytest.fixture
def systems_manager() -> FakeSystemsManager:
    """Return one that opens every session."""
    return FakeSystemsManager()


def plugin(folder: Path, body: str, version: str = "1.2.497.0") -> str:
    """Write a session plugin and return its path."""
    path = folder / "session-manager-plugin"
    path.write_text(PLUGIN.format(version=version, body=body), encoding="ascii")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def opened(tmp_path: Path, systems_manager: FakeSystemsManager) -> Iterator[Forwarding]:
    """Forward a port by a plugin that stays."""
    forwarding = Forwarding(systems_manager, plugin(tmp_path, STAYS.format(more="")), "someone")
    assert forwarding.open(INSTANCE, 8080, 0, TIMEOUT_SECONDS) == 12345
    yield forwarding
    forwarding.close()


@pytest.mark.usefixtures("opened")
def test_session_and_plugin_get_what_the_aws_cli_gives_them(
    tmp_path: Path, systems_manager: FakeSystemsManager
) -> None:
    request = {
        "Target": INSTANCE,
        "DocumentName": "AWS-StartPortForwardingSession",
        "Parameters": {"portNumber": ["8080"], "localPortNumber": ["0"]},
    }
    assert systems_manager.asked == [request]
    answer, region, operation, profile, asked, endpoint = (tmp_path / "called").read_text().splitlines()
    assert json.loads(answer) == {"SessionId": "session-1", "TokenValue": "the-token", "StreamUrl": "wss://x"}
    assert (region, operation, profile) == ("eu-west-1", "StartSession", "someone")
    assert (json.loads(asked), endpoint) == (request, "https://ssm.example.org")


def test_a_newer_plugin_gets_the_token_where_no_other_user_reads_it(
    tmp_path: Path, systems_manager: FakeSystemsManager
) -> None:
    forwarding = Forwarding(systems_manager, plugin(tmp_path, STAYS.format(more=""), version="1.2.707.0"))
    forwarding.open(INSTANCE, 8080, 0, TIMEOUT_SECONDS)
    forwarding.close()
    assert "the-token" not in (tmp_path / "called").read_text()
    assert json.loads((tmp_path / "environment").read_text())["TokenValue"] == "the-token"


def test_close_ends_plugin_and_session(opened: Forwarding, tmp_path: Path, systems_manager: FakeSystemsManager) -> None:
    assert opened.is_open()
    opened.close()
    assert not opened.is_open()
    # By the signal at which AWS's plugin ends its session.
    assert (tmp_path / "ended").exists()
    assert systems_manager.ended == ["session-1"]


def test_a_session_that_ends_by_itself_is_seen_with_its_last_words(
    tmp_path: Path, systems_manager: FakeSystemsManager
) -> None:
    body = "echo 'Port 12345 opened for sessionId session-1.'; echo; echo 'SessionId: session-1 : timed out'; exit 0"
    forwarding = Forwarding(systems_manager, plugin(tmp_path, body))
    forwarding.open(INSTANCE, 8080, 0, TIMEOUT_SECONDS)
    while forwarding.is_open():
        pass
    assert forwarding.last_words().endswith("SessionId: session-1 : timed out")
    forwarding.close()


def test_an_instance_that_refuses_connections_is_seen(tmp_path: Path, systems_manager: FakeSystemsManager) -> None:
    more = "Connection to destination port failed, check SSM Agent logs."
    forwarding = Forwarding(systems_manager, plugin(tmp_path, STAYS.format(more=more)))
    forwarding.open(INSTANCE, 8080, 0, TIMEOUT_SECONDS)
    while not forwarding.is_refused():
        assert forwarding.is_open()
    forwarding.close()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo 'Handshake timed out'; exit 255", "Handshake timed out"),
        ("exit 255", "gave no reason"),
    ],
)
def test_a_plugin_that_ends_at_once_is_a_failure_with_its_words(
    tmp_path: Path, systems_manager: FakeSystemsManager, body: str, words: str
) -> None:
    with pytest.raises(ForwardingError, match=words):
        Forwarding(systems_manager, plugin(tmp_path, body)).open(INSTANCE, 8080, 0, TIMEOUT_SECONDS)
    assert systems_manager.ended == ["session-1"]


def test_a_plugin_that_cannot_be_run_leaves_no_session(tmp_path: Path, systems_manager: FakeSystemsManager) -> None:
    with pytest.raises(ForwardingError, match="cannot be run"):
        Forwarding(systems_manager, str(tmp_path / "none")).open(INSTANCE, 8080, 0, TIMEOUT_SECONDS)
    assert systems_manager.ended == ["session-1"]


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (ClientError({"Error": {"Code": "TargetNotConnected"}}, "StartSession"), "has no connection"),
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "StartSession"), "allow them ssm:StartSession"),
        (ClientError({"Error": {"Code": "ThrottlingException"}}, "StartSession"), "ThrottlingException"),
        (EndpointConnectionError(endpoint_url="https://ssm"), "https://ssm"),
    ],
)
def test_a_refusal_says_what_to_do(tmp_path: Path, refusal: Exception, words: str) -> None:
    systems_manager = FakeSystemsManager(refusal)
    with pytest.raises(ForwardingError, match=words):
        Forwarding(systems_manager, str(tmp_path)).open(INSTANCE, 8080, 0, TIMEOUT_SECONDS)
    assert systems_manager.ended == []


def test_a_port_that_is_taken_is_named_before_a_session_is_opened(
    tmp_path: Path, systems_manager: FakeSystemsManager
) -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ForwardingError, match=f"Port {port} of this machine is taken.*connect_local_port"):
            Forwarding(systems_manager, str(tmp_path)).open(INSTANCE, 8080, port, TIMEOUT_SECONDS)
    assert systems_manager.asked == []
    require_free(port)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none_is_named(port: int) -> None:
    with pytest.raises(ForwardingError, match=f"There is no port {port}"):
        require_free(port)
