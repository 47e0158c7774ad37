"""Closing with care, and cutting a client that takes nothing: with a transport that says what a test wants."""

import asyncio
from typing import Any

import pytest

from gateway.server import wire
from gateway.server.wire import Wire
from tests.gateway.conftest import until

SECONDS = 0.02


class Below(asyncio.Transport):
    """A transport whose buffer holds what the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.written = b""
        self.buffered = 0
        self.reset = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return a socket without a file, as none is needed."""
        return self if name == "socket" else default

    def fileno(self) -> int:
        """Fail as a socket of another system might."""
        raise OSError

    def getsockopt(self, *_: int) -> int:
        """Return that there is no error."""
        return 0

    def get_write_buffer_size(self) -> int:
        """Return what the test says."""
        return self.buffered

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.written += data

    def can_write_eof(self) -> bool:
        """Return that it can, as without TLS."""
        return True

    def is_closing(self) -> bool:
        """Return whether it was closed."""
        return bool({"close", "abort"} & set(self.calls))

    def __getattribute__(self, name: str) -> Any:
        """Note the calls that end something."""
        if name == "write_eof" and self.reset:
            return self.fileno  # fails as the system's call does
        if name in ("close", "abort", "write_eof", "pause_reading", "resume_reading"):
            return lambda: self.calls.append(name)
        return super().__getattribute__(name)


def wired(*, may_still_send: bool = False) -> tuple[Wire, Below]:
    below = Below()
    return Wire(below, SECONDS, lambda: may_still_send), below


async def test_a_client_that_takes_nothing_is_cut() -> None:
    connection, below = wired()
    below.buffered = 100
    connection.watch()
    await until(lambda: "abort" in below.calls)


async def test_a_client_that_is_slow_is_waited_for() -> None:
    connection, below = wired()
    below.buffered = 1000
    connection.watch()
    for _ in range(10):
        below.buffered -= 50
        connection._check_progress()  # what the timer calls
    assert "abort" not in below.calls
    connection.lost()


async def test_what_has_gone_out_is_watched_no_more() -> None:
    connection, below = wired()
    below.buffered = 100
    connection.watch()
    connection.unwatch()
    await asyncio.sleep(3 * SECONDS)
    assert "abort" not in below.calls


async def test_a_connection_that_is_closed_is_cut_if_its_answer_does_not_go_out() -> None:
    connection, below = wired()
    below.buffered = 100
    connection.close()
    connection.unwatch()
    await until(lambda: below.calls == ["close", "abort"])


async def test_a_connection_that_is_gone_is_watched_no_more_though_it_is_closed_behind_that() -> None:
    # uvloop still counts what a connection that was cut did not send.
    connection, below = wired()
    below.buffered = 100
    connection.lost()
    connection.close()
    await asyncio.sleep(3 * SECONDS)
    assert below.calls == ["close"]


async def test_a_client_that_has_sent_all_is_closed_at_once() -> None:
    connection, below = wired()
    connection.close()
    connection.close()
    assert below.calls == ["close"]


async def test_a_client_that_still_sends_is_read_on_and_then_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "DISCARDED_BYTES", 100)
    connection, below = wired(may_still_send=True)
    connection.hold(True)
    connection.close()
    assert connection.is_closing()
    assert below.calls == ["pause_reading", "write_eof", "resume_reading"]
    connection.discard(b"x" * 100)
    assert "abort" not in below.calls
    connection.discard(b"x")
    assert below.calls[-1] == "abort"
    connection.lost()


async def test_a_client_that_has_reset_its_connection_meanwhile_is_cut() -> None:
    connection, below = wired(may_still_send=True)
    below.reset = True
    connection.close()
    assert below.calls == ["abort"]


@pytest.mark.parametrize(("time", "sends"), [("SILENCE_SECONDS", False), ("DISCARD_SECONDS", True)])
async def test_reading_on_ends_with_silence_and_in_any_case(
    monkeypatch: pytest.MonkeyPatch, time: str, sends: bool
) -> None:
    monkeypatch.setattr(wire, time, SECONDS)
    connection, below = wired(may_still_send=True)
    connection.close()
    async with asyncio.timeout(5):
        while "abort" not in below.calls:
            if sends:
                connection.discard(b"x")
            await asyncio.sleep(SECONDS / 4)
    connection.lost()


async def test_reading_goes_on_when_nobody_wants_it_to_stop() -> None:
    connection, below = wired()
    connection.pause_reading()
    connection.hold(True)
    connection.resume_reading()
    assert below.calls == ["pause_reading"] * 3
    connection.hold(False)
    assert below.calls[-1] == "resume_reading"


async def test_a_probe_is_the_beginning_of_the_answer() -> None:
    connection, below = wired()
    connection.probe()
    connection.write(b"HTTP/1.1 200 OK\r\n")
    connection.write(b"HTTP/1.1 as text")
    assert below.written == b"HTTP/1.1 200 OK\r\nHTTP/1.1 as text"
    connection.lost()
