"""SIGTERM and Ctrl-C as requests to stop: the work saves a checkpoint as soon as it safely can, and ends."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_RESUMABLE = 75  # EX_TEMPFAIL of sysexits.h: try again
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_received: list[int] = []


class Interrupted(Exception):  # noqa: N818 - not an error
    """The work stopped because it was asked to; a checkpoint is saved."""


@contextmanager
def signals_as_requests() -> Iterator[None]:
    """Handle SIGTERM and SIGINT as requests within this block; a second signal ends the process at once."""

    def handle(number: int, _frame: FrameType | None) -> None:
        _received.append(number)
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)

    _received.clear()
    previous = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def stop_requested() -> bool:
    """Tell whether the process was asked to stop."""
    return bool(_received)


def exit_status() -> int:
    """Return the exit status of a stopped process: 130 after Ctrl-C, as shells expect, else 75."""
    return 130 if _received[:1] == [signal.SIGINT] else EXIT_RESUMABLE
