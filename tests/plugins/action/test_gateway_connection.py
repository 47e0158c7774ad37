"""Holding the way to the gateway open: it ends with Ctrl-C, and says why where it ends before."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.slm.serving.plugins.action import gateway_connection
from ansible_collections.slm.serving.plugins.plugin_utils.port_forwarding import ForwardingError

OPTIONS = {
    "region": "us-east-1",
    "instance_id": "i-1",
    "port": 8080,
    "local_port": 0,
    "timeout": 1,
    "session_plugin": "/bin/true",
}


class FakeForwarding:
    """A forwarded port that is looked at so often before its session is lost."""

    def __init__(self, *, looks: int = 10**6, refusal: str = "", at_a_look: Any = lambda: None) -> None:
        self._looks, self._refusal, self._at_a_look = looks, refusal, at_a_look
        self.closed = 0

    def open(self, *_: Any) -> int:
        """Answer with a port."""
        if self._refusal:
            raise ForwardingError(self._refusal)
        return 12345

    def is_open(self) -> bool:
        """Count the looks."""
        self._looks -= 1
        self._at_a_look()
        return self._looks >= 0

    def is_refused(self) -> bool:
        """Say that the instance answers."""
        return False

    def last_words(self) -> str:
        """Say why it ended."""
        return "timed out"

    def close(self) -> None:
        """Count the ends."""
        self.closed += 1


def hold(
    monkeypatch: pytest.MonkeyPatch, forwarding: FakeForwarding, *, check_mode: bool = False, **options: Any
) -> dict[str, Any]:
    """Run the action over a forwarded port; what it shows is in `shown` of its result."""
    shown: list[str] = []
    monkeypatch.setattr(ActionBase, "run", lambda *_: {})
    monkeypatch.setattr(gateway_connection, "Forwarding", lambda *_: forwarding)
    monkeypatch.setattr(gateway_connection, "LOOK_SECONDS", 0.001)
    display = SimpleNamespace(display=lambda text, **_: shown.append(text), warning=shown.append)
    monkeypatch.setattr(gateway_connection, "Display", lambda: display)
    action: Any = gateway_connection.ActionModule.__new__(gateway_connection.ActionModule)
    action._task = SimpleNamespace(args=OPTIONS | options, check_mode=check_mode)
    result: dict[str, Any] = action.run(task_vars={})
    return result | {"shown": "\n".join(shown)}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_session_and_is_no_failure(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    forwarding = FakeForwarding(at_a_look=lambda: os.kill(os.getpid(), number))
    result = hold(monkeypatch, forwarding)
    assert (result.get("failed"), result["address"], forwarding.closed) == (None, "http://127.0.0.1:12345", 1)
    assert signal.getsignal(number) is before


def test_address_and_an_example_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = hold(monkeypatch, FakeForwarding(looks=1))["shown"]
    assert "The gateway is at http://127.0.0.1:12345 until Ctrl-C" in shown
    assert "curl -s http://127.0.0.1:12345/api/v1/extract" in shown


def test_a_lost_session_is_a_failure_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    forwarding = FakeForwarding(looks=3)
    result = hold(monkeypatch, forwarding)
    assert result["failed"] is True
    assert "The session was lost: timed out" in result["msg"]
    assert forwarding.closed == 1


def test_an_end_of_ansible_itself_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = iter([1, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents, 2))
    forwarding = FakeForwarding()
    assert not hold(monkeypatch, forwarding).get("failed")
    assert forwarding.closed == 1


@pytest.mark.parametrize(
    ("forwarding", "options", "words"),
    [
        (FakeForwarding(refusal="Port 8080 of this machine is taken."), {}, "is taken"),
        (FakeForwarding(), {"session_plugin": "/no/such/plugin"}, "The Session Manager plugin is not at /no/such"),
    ],
)
def test_what_cannot_be_opened_is_a_failure_in_words(
    monkeypatch: pytest.MonkeyPatch, forwarding: FakeForwarding, options: dict[str, Any], words: str
) -> None:
    result = hold(monkeypatch, forwarding, **options)
    assert result["failed"] is True
    assert words in result["msg"]


def test_check_mode_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    result = hold(monkeypatch, FakeForwarding(refusal="opened"), check_mode=True)
    assert result["skipped"] is True
