"""SIGTERM and Ctrl-C as a request: the work saves a checkpoint at its next safe place and then stops."""

from __future__ import annotations

import signal
from types import FrameType

EXIT_RESUMABLE = 75  # EX_TEMPFAIL of sysexits.h: try again
_received: list[int] = []


class Interrupted(Exception):  # noqa: N818 - no error: the work was asked to stop
    """The work stopped because it was asked to; a checkpoint is saved."""


def catch_signals() -> None:
    """Take SIGTERM and SIGINT as requests from here on; a second one of either ends the process at once."""

    def note(number: int, _frame: FrameType | None) -> None:
        _received.append(number)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, note)
    signal.signal(signal.SIGINT, note)


def stop_requested() -> bool:
    """Whether the process was asked to stop."""
    return bool(_received)


def exit_status() -> int:
    """What a stopped process ends with: 130 after Ctrl-C, as shells expect, else 75."""
    return 130 if _received[:1] == [signal.SIGINT] else EXIT_RESUMABLE
