"""SIGTERM: what runs finishes, what only waits for its client does not hold the end up."""

import json
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.gateway.server.conftest import KEY, Engine, Served, start

pytestmark = pytest.mark.slow

HEAD = b"POST /api/v1/extract HTTP/1.1\r\nHost: x\r\nX-API-Key: " + KEY.encode() + b"\r\nContent-Length: 28\r\n"
BODY = b'{"text": "Stage IV cancer."}'
# Far below the time to drain where that must not be waited for, far above what a slow machine needs.
SOON = 15.0


def ended(served: Served) -> float:
    """Wait for the process and return the seconds that it took."""
    began = time.monotonic()
    assert served.process.wait(60) == 0
    return time.monotonic() - began


def test_clients_that_send_nothing_or_half_a_request_do_not_hold_up_the_end(engine_url: str, tmp_path: Path) -> None:
    served = start(tmp_path, ENGINE_URL=engine_url, DRAIN_TIMEOUT="60")
    with (
        served.connect(),
        served.connect() as idle,
        served.connect() as half_head,
        served.connect() as half_body,
        served.connect() as rest,
    ):
        idle.send(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.answer().status == 200
        half_head.send(HEAD)
        half_body.send(HEAD + b"\r\n" + BODY[:5])
        rest.send(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        assert rest.answer().status == 404
        served.process.send_signal(signal.SIGTERM)
        answer = half_body.answer()
        assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
        assert ended(served) < SOON
    assert "ERROR" not in served.log()


def test_what_outlasts_the_drain_is_told_so_or_cut(
    engine_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "seconds", 4.0)
    served = start(tmp_path, ENGINE_URL=engine_url, DRAIN_TIMEOUT="0.5", SEND_TIMEOUT="60")
    with served.connect() as running, served.connect() as stalled:
        stalled.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # The answers are more than the kernel takes for a client that reads none of them.
        stalled.send(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 15)
        running.send(HEAD + b"X-Request-ID: running\r\n\r\n" + BODY)
        time.sleep(0.5)
        served.process.send_signal(signal.SIGTERM)
        assert running.answer().status == 503
        assert ended(served) < SOON
    lines = [json.loads(line) for line in served.log().splitlines()]
    assert [line["status"] for line in lines if line.get("request_id") == "running"] == [503]
    assert "ERROR" not in served.log()


def test_a_closed_port_takes_no_connection_and_open_ones_get_one_more_answer(
    engine_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "seconds", 3.0)
    served = start(tmp_path, ENGINE_URL=engine_url, DRAIN_TIMEOUT="60", DRAIN_MODE="close")
    with served.connect() as running, served.connect() as idle, served.connect() as half, served.connect():
        idle.send(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.answer().status == 200
        running.send(HEAD + b"\r\n" + BODY)
        half.send(HEAD + b"\r\n" + BODY[:5])
        time.sleep(0.5)
        served.process.send_signal(signal.SIGTERM)
        while is_open(served.port):
            time.sleep(0.05)
        idle.send(HEAD + b"\r\n" + BODY)
        half.send(BODY[5:])
        for client in (running, idle, half):
            answer = client.answer()
            assert (answer.status, answer.headers.get("Connection")) == (200, "close")
        assert ended(served) < SOON
    assert "ERROR" not in served.log()


def test_a_proxy_that_sends_on_while_the_port_is_closed_loses_nothing(engine_url: str, tmp_path: Path) -> None:
    served = start(tmp_path, ENGINE_URL=engine_url, DRAIN_TIMEOUT="60", DRAIN_MODE="close")
    # As a proxy's pool: each connection is used until an answer ends it, then the next one is.
    pool = [served.connect() for _ in range(10)]
    with served.connect() as unfinished:
        # It keeps the gateway busy, however slowly this test runs.
        unfinished.send(HEAD + b"\r\n" + BODY[:5])
        served.process.send_signal(signal.SIGTERM)
        answers = []
        for connection in pool:
            with connection:
                is_last = False
                while not is_last:
                    connection.send(HEAD + b"\r\n" + BODY)
                    answer = connection.answer()
                    answers.append(answer.status)
                    is_last = answer.headers.get("Connection") == "close"
        unfinished.send(BODY[5:])
        answers.append(unfinished.answer().status)
    assert set(answers) == {200}
    assert len(answers) > len(pool)
    assert ended(served) < SOON


def test_what_has_connected_before_the_port_closes_is_served(engine_url: str, tmp_path: Path) -> None:
    served = start(tmp_path, ENGINE_URL=engine_url, DRAIN_TIMEOUT="60", DRAIN_MODE="close")
    # As a busy machine does: the process gets no time until all of it has happened, a second of its clock included.
    served.process.send_signal(signal.SIGSTOP)
    with served.connect() as client:
        client.send(HEAD + b"\r\n" + BODY)
        served.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        served.process.send_signal(signal.SIGCONT)
        assert client.answer().status == 200
    assert ended(served) < SOON


def is_open(port: int) -> bool:
    """Return whether a connection is accepted."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True
