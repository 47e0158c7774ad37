"""SIGTERM and Ctrl-C as a request: the work saves a checkpoint at its next safe place and then stops."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_RESUMABLE = 75  # EX_TEMPFAIL of sysexits.h: try again
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_received: list[int] = []


class Interrupted(Exception):  # noqa: N818 - no error: the work was asked to stop
    """The work stopped because it was asked to; a checkpoint is saved."""


@contextmanager
def signals_as_requests() -> Iterator[None]:
    """Take SIGTERM and SIGINT as requests within this block; a second one of either ends the process at once."""

    def take(number: int, _frame: FrameType | None) -> None:
        _received.append(number)
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)

    _received.clear()
    before = {number: signal.signal(number, take) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_requested() -> bool:
    """Whether the process was asked to stop."""
    return bool(_received)


def exit_status() -> int:
    """What a stopped process ends with: 130 after Ctrl-C, as shells expect, else 75."""
    return 130 if _received[:1] == [signal.SIGINT] else EXIT_RESUMABLE
