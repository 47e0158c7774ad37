"""Progress of long work: how far, how fast, how long still; and files that are whole or not there."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from training.config import ConfigError
from training.run.interruption import Interrupted, stop_requested

if TYPE_CHECKING:
    from collections.abc import Callable


class Progress:
    """Logs a line every `every` seconds, and keeps a file that says the same to other processes.

    Args:
        what: the work's name.
        total: the amount of work, in the caller's unit.
        every: seconds between two lines.
        done: the amount that an earlier run has already done.
        file: JSON with `stage`, `done`, `total`, `percent`, `seconds_left` and the figures; none without it.
    """

    def __init__(self, what: str, total: int, every: float = 20.0, done: int = 0, file: Path | None = None) -> None:
        self._what, self._total, self._every, self._file = what, total, every, file
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
        shown = "".join(f", {name} {value:.3f}" for name, value in figures.items())
        share = 100 * done / self._total
        logger.info(f"{self._what}: {share:.0f} % ({rate:,.1f}/s){shown}, {left / 60:.1f} min left")
        if self._file is not None:
            state = {"stage": self._what, "done": done, "total": self._total, "percent": round(share, 1)}
            write_json(self._file, {**state, "seconds_left": round(left), **figures})


class Checkpoint:
    """One file that a run resumes from; written beside and renamed, so that it is always whole.

    Args:
        path: the file.
        minutes: between two saves.
        run: the run's fingerprint.
    """

    def __init__(self, path: Path, minutes: float, run: str) -> None:
        self._path, self._run = path, run
        self._seconds = minutes * 60
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """What the last process of this run saved, or None.

        Raises:
            ConfigError: another run saved it.
        """
        import torch

        if not self._path.exists():
            return None
        saved: dict[str, Any] = torch.load(self._path, weights_only=True)
        if saved.get("run") != self._run:
            raise ConfigError(
                f"{self._path} is the checkpoint of another configuration or other data: to go on with it, give what "
                f"it was made with; to start anew, delete it or choose another --out"
            )
        state: dict[str, Any] = saved["state"]
        return state

    def due(self) -> bool:
        """Whether the time since the last save is up, or the process was asked to stop."""
        return stop_requested() or time.monotonic() - self._last >= self._seconds

    def save(self, state: dict[str, Any]) -> None:
        """Save the state.

        Raises:
            Interrupted: after the save, when the process was asked to stop.
        """
        import torch

        content = {"run": self._run, "state": state}
        write_beside(self._path, lambda path: torch.save(content, path))
        self._last = time.monotonic()
        if stop_requested():
            raise Interrupted

    def remove(self) -> None:
        """Forget the state: the run is complete."""
        self._path.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file that is whole whenever it is there."""
    text = json.dumps(content, indent=2) + "\n"
    write_beside(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def write_beside(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, put it on the disk and give it its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    write(beside)
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.replace(path)
