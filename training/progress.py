"""Progress of long work: how far, how fast, how long still; and files that are whole or not there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from loguru import logger


class Progress:
    """Logs a line every `every` seconds.

    Args:
        total: the amount of work, in the caller's unit.
        every: seconds between two lines.
        done: the amount that an earlier run has already done.
    """

    def __init__(self, what: str, total: int, every: float = 20.0, done: int = 0) -> None:
        self._what, self._total, self._every = what, total, every
        self._start_done = done
        self._start = self._last = time.monotonic()

    def report(self, done: int, **figures: float) -> None:
        """Say where the work stands if it is time to; `figures` go into the line."""
        now = time.monotonic()
        if now - self._last < self._every and done < self._total:
            return
        self._last = now
        rate = (done - self._start_done) / max(now - self._start, 1e-9)
        left = max(0, self._total - done) / rate if rate else 0.0
        shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        share = 100 * done / self._total
        logger.info(f"{self._what}: {share:.0f} % ({rate:,.0f}/s), {shown}, {left / 60:.1f} min left")


class Checkpoint:
    """One file that a run resumes from; written beside and renamed, so that it is always whole."""

    def __init__(self, path: Path, minutes: float) -> None:
        self._path = path
        self._seconds = minutes * 60
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """What the last run saved, or None."""
        if not self._path.exists():
            return None
        logger.info(f"resuming from {self._path}")
        state: dict[str, Any] = torch.load(self._path, weights_only=True)
        return state

    def due(self) -> bool:
        """Whether the time since the last save is up."""
        return time.monotonic() - self._last >= self._seconds

    def save(self, state: dict[str, Any]) -> None:
        """Save the state."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".part")
        torch.save(state, beside)
        beside.replace(self._path)
        self._last = time.monotonic()

    def remove(self) -> None:
        """Forget the state: the run is complete."""
        self._path.unlink(missing_ok=True)
