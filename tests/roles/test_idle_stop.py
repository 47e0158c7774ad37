"""The script that stops an idle instance: what counts as use, when it stops, and what a week with it comes to."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gateway.observability.metrics import Metrics
from tests.fakes.http_service import HttpFake
from tests.support.role_variables import ROLES

MINUTES = 30


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    """Yield the script as a Python module."""
    specification = importlib.util.spec_from_file_location("idle_stop", ROLES / "idle_stop/files/idle_stop.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    # Its dataclasses look their module up.
    sys.modules["idle_stop"] = module
    specification.loader.exec_module(module)
    yield module
    del sys.modules["idle_stop"]


def metrics(*answers: tuple[str, int], running: int = 0) -> str:
    """Return what the gateway shows after these answers, by route and status."""
    shown = Metrics()
    shown.watch("gateway_running", "", lambda: running)
    shown.watch("gateway_queue_waiting", "", lambda: 0)
    for route, status in answers:
        shown.answered(route, status, 0.1)
    return shown.exposition().decode()


class FakeMetrics(HttpFake):
    """A gateway's /metrics with a given text."""

    text = ""

    def answer(self, request: Any) -> None:
        """Send the text."""
        request.send_response(200)
        request.end_headers()
        request.wfile.write(self.text.encode())


def test_requests_with_a_key_count_and_others_do_not(script: ModuleType) -> None:
    used = metrics(("/api/v1/extract", 200), ("/v1/chat/completions", 502), ("/api/v1/extract", 422))
    assert script.gateway_reading(used).requests == 3
    unused = metrics(("/health", 200), ("/metrics", 200), ("/api/v1/extract", 401), ("/v1/models", 429), ("none", 404))
    assert script.gateway_reading(unused).requests == 0


def test_a_request_that_runs_is_use(script: ModuleType) -> None:
    assert script.gateway_reading(metrics(running=1)).use == "requests run or wait"
    assert script.gateway_reading(metrics()).use is None


def test_a_gateway_that_cannot_be_read_is_use(script: ModuleType) -> None:
    with FakeMetrics() as fake:
        url = f"http://127.0.0.1:{fake.port}/metrics"
        fake.text = metrics(("/api/v1/extract", 200))
        assert script.ask_gateway(url) == script.Reading(None, 1.0)
        for wrong in ("", "<html>another program</html>", "up 1\n"):
            fake.text = wrong
            assert "cannot be read" in script.ask_gateway(url).use
    assert "cannot be read" in script.ask_gateway(url).use


def test_a_session_is_found_by_its_program(script: ModuleType, tmp_path: Path) -> None:
    for number, line in enumerate(("/usr/sbin/sshd\0-D", "/bin/sh\0/opt/ssm-session-worker\0x", "grep\0-r\0worker")):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "cmdline").write_text(line)
    assert script.session(["ssm-session-worker"], tmp_path) == "a session is open"
    assert script.session(["worker"], tmp_path) is None


@pytest.mark.parametrize(
    ("stack", "training", "words"),
    [
        ("active", "inactive", None),
        ("failed", "failed", None),
        ("activating", "inactive", "slm.service is activating"),
        ("deactivating", "inactive", "slm.service is deactivating"),
        ("active", "active", "training.service is active"),
        ("", "", None),
    ],
)
def test_units_at_work_are_use(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stack: str,
    training: str,
    words: str | None,
) -> None:
    fake = tmp_path / "systemctl"
    fake.write_text(
        f'#!/bin/sh\nfor unit; do :; done\ncase $unit in slm*) echo "{stack}";; *) echo "{training}";; esac\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert script.busy_unit("slm.service", "training.service") == words


def test_a_systemd_that_cannot_be_asked_is_use(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "systemd cannot be asked" in script.busy_unit("slm.service", "training.service")


def test_the_wait_begins_with_the_boot_and_with_each_use(script: ModuleType, tmp_path: Path) -> None:
    idle, used = script.Reading(None, 5.0), script.Reading("a session is open")
    readings = [(0, idle), (1799, idle), (1800, used), (1860, idle), (1861, script.Reading(None, 5.0)), (3659, idle)]
    decisions = [
        script.run({"minutes": MINUTES}, state=tmp_path / "state.json", look=lambda _, seen=seen: seen, now=now)
        for now, seen in readings
    ]
    # The reading during the session asked no gateway: the one after it is the first to be compared.
    assert [decision.stop for decision in decisions] == [False] * 6
    assert decisions[1].idle == 1799
    last = script.run({"minutes": MINUTES}, state=tmp_path / "state.json", look=lambda _: idle, now=3660)
    assert last.stop


@pytest.mark.parametrize("content", ["", "{}", '{"since": "x", "requests": 1}', "[]"])
def test_a_state_of_no_use_begins_the_wait_anew(script: ModuleType, tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    decision = script.run(
        {"minutes": MINUTES}, state=tmp_path / "state.json", look=lambda _: script.Reading(None, 1.0), now=1e6
    )
    assert not decision.stop
    assert json.loads((tmp_path / "state.json").read_text()) == {"since": 1e6, "requests": 1.0}


def test_a_week_of_a_ward(script: ModuleType) -> None:
    """Notes come on working days from 8 to 18; the first of a day starts the instance, and the evening stops it."""
    chance = random.Random(1)
    running, state, requests, hours, stops, lost = False, None, 0.0, 0.0, 0, 0
    for minute in range(7 * 24 * 60):
        day, hour = divmod(minute // 60, 24)
        comes = day < 5 and 8 <= hour < 18 and chance.random() < 0.3
        if comes and not running:
            running, state, requests = True, None, 0.0
        if not running:
            continue
        requests += comes
        hours += 1 / 60
        decision = script.decide(state, script.Reading(None, requests), 60.0 * minute, 60.0 * MINUTES)
        state = decision.state
        if decision.stop:
            running = False
            stops += 1
            lost += comes
    assert lost == 0
    assert stops == 5  # no gap of a day is as long, and each evening is
    assert 50 <= hours <= 5 * 11


def test_nothing_is_looked_at_where_it_is_off(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "idle-stop.json").write_text(json.dumps({"minutes": 0}))
    assert script.main(["--configuration", str(tmp_path / "idle-stop.json")]) == 0
    assert capsys.readouterr().out == ""
