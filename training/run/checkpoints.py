"""Checkpoints: one file while the base trains, a folder of them while an adapter does.

Both belong to one run, which its fingerprint identifies; a checkpoint of another run is refused. In an adapter's
folder `run.json` has the fingerprint; `checkpoint-STEP` is what the Trainer writes, complete when it contains
`complete`; `best` is the adapter with the highest F1 so far, with its figures in `best.json`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.config import ConfigError
from training.run.files import write_atomically, write_json
from training.run.interruption import Interrupted, stop_requested

_COMPLETE = "complete"


def fingerprint(*parts: Any) -> str:
    """Return the SHA-256 of JSON-like values: all that the outcome of a run depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _refusal(path: Path, subject: str, dependencies: str) -> ConfigError:
    return ConfigError(
        f"{path} {subject} of another {dependencies}: to resume that run, use the configuration and data that it was "
        "started with; to start a new one, delete this or choose another --out"
    )


class Checkpoint:
    """One file that a run resumes from, written atomically."""

    def __init__(self, path: Path, minutes: float, run: str) -> None:
        """Take the file's path, the minutes between two saves, and the run's fingerprint."""
        self._path, self._run = path, run
        self._seconds = minutes * 60
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the state that an earlier process of this run saved, or None.

        Raises:
            ConfigError: another run saved it.
        """
        import torch

        if not self._path.exists():
            return None
        content: dict[str, Any] = torch.load(self._path, weights_only=True)
        if content.get("run") != self._run:
            raise _refusal(self._path, "is the checkpoint", "configuration or other data")
        state: dict[str, Any] = content["state"]
        return state

    def is_due(self) -> bool:
        """Tell whether it is time to save, or the process was asked to stop."""
        return stop_requested() or time.monotonic() - self._last >= self._seconds

    def save(self, state: dict[str, Any]) -> None:
        """Save the state.

        Raises:
            Interrupted: after the save, when the process was asked to stop.
        """
        import torch

        content = {"run": self._run, "state": state}
        write_atomically(self._path, lambda path: torch.save(content, path))
        self._last = time.monotonic()
        if stop_requested():
            raise Interrupted

    def remove(self) -> None:
        """Delete the file: the run is complete."""
        self._path.unlink(missing_ok=True)


class Checkpoints:
    """The folder of one run's checkpoints."""

    def __init__(self, folder: Path, run: str) -> None:
        """Claim `OUT/checkpoints` for the run with this fingerprint.

        Raises:
            ConfigError: the folder holds the checkpoints of another run.
        """
        self.folder = folder
        record = folder / "run.json"
        if record.exists() and json.loads(record.read_text(encoding="utf-8"))["fingerprint"] != run:
            raise _refusal(folder, "holds checkpoints", "configuration, base or data")
        write_json(record, {"fingerprint": run})

    def latest(self) -> Path | None:
        """Return the newest complete checkpoint; delete incomplete ones, which a killed process left."""
        complete = []
        for path in self.folder.glob("checkpoint-*"):
            if (path / _COMPLETE).exists():
                complete.append(path)
            else:
                shutil.rmtree(path)
        return max(complete, key=step_of, default=None)

    def mark_complete(self, step: int) -> None:
        """Mark the checkpoint of this step as complete, once all of it is written."""
        (self.folder / f"checkpoint-{step}" / _COMPLETE).touch()

    @property
    def best(self) -> Path:
        """Folder of the best adapter."""
        return self.folder / "best"

    def best_figures(self) -> dict[str, float] | None:
        """Return the figures of the best evaluation so far, with its `step`; None before the first."""
        path = self.best / "best.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def offer(self, save: Callable[[Path], object], step: int, figures: dict[str, float]) -> None:
        """Keep the adapter, which `save` writes into a folder, if its `eval_f1` exceeds all earlier ones."""
        best = self.best_figures()
        if best is not None and figures["eval_f1"] <= best["eval_f1"]:
            return
        temporary = self.folder / "best.part"
        shutil.rmtree(temporary, ignore_errors=True)
        save(temporary)
        write_json(temporary / "best.json", {"step": step, **figures})
        shutil.rmtree(self.best, ignore_errors=True)
        temporary.rename(self.best)

    def remove(self) -> None:
        """Delete the folder: the run is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)


def step_of(checkpoint: Path) -> int:
    """Return the step in the name of a checkpoint's folder."""
    return int(checkpoint.name.rpartition("-")[2])
