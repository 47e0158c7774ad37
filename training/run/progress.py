"""Progress of long work: how much is done, how fast, and how long the rest will take."""

from __future__ import annotations

import time
from pathlib import Path

from loguru import logger

from training.run.files import write_json


class Progress:
    """A line in the log every few seconds, and a file with the same figures for other processes."""

    def __init__(self, stage: str, total: int, every: float = 20.0, done: int = 0, file: Path | None = None) -> None:
        """Start to measure.

        Args:
            stage: name of the work.
            total: the amount of work, in the caller's unit.
            every: seconds between two lines.
            done: the amount that an earlier process has done.
            file: JSON file with `stage`, `done`, `total`, `percent`, `seconds_left` and the figures, or None.
        """
        self._stage, self._total, self._every, self._file = stage, total, every, file
        self._start_done = done
        self._start = self._last = time.monotonic()

    def report(self, done: int, **figures: float) -> None:
        """Report the amount done, and `figures` with it, if the time for a line has come."""
        now = time.monotonic()
        if now - self._last < self._every and done < self._total:
            return
        self._last = now
        rate = (done - self._start_done) / max(now - self._start, 1e-9)
        left = max(0, self._total - done) / rate if rate else 0.0
        shown = "".join(f", {name} {value:.3f}" for name, value in figures.items())
        percent = 100 * done / self._total
        logger.info(f"{self._stage}: {percent:.0f} % ({rate:,.1f}/s){shown}, {left / 60:.1f} min left")
        if self._file is not None:
            state = {"stage": self._stage, "done": done, "total": self._total, "percent": round(percent, 1)}
            write_json(self._file, {**state, "seconds_left": round(left), **figures})
