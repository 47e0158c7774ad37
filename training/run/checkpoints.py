"""The checkpoints of an adapter's training: which is whole, whether it belongs to this run, and which is the best.

`checkpoints/run.json` says which run they belong to; `checkpoints/checkpoint-STEP` is what the Trainer writes, whole
when it holds `complete`; `checkpoints/best` is the adapter with the highest F1 so far, with its figures in `best.json`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.config import ConfigError
from training.run.progress import write_json

if TYPE_CHECKING:
    from collections.abc import Callable

_COMPLETE = "complete"


def fingerprint(*parts: Any) -> str:
    """SHA-256 of values that JSON can hold: what a run's outcome depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class Checkpoints:
    """The folder of one run's checkpoints.

    Args:
        folder: `OUT/checkpoints`.
        run: the run's fingerprint.

    Raises:
        ConfigError: the folder holds the checkpoints of another run.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self.folder = folder
        mark = folder / "run.json"
        if mark.exists() and json.loads(mark.read_text(encoding="utf-8"))["fingerprint"] != run:
            raise ConfigError(
                f"{folder} holds checkpoints of another configuration, base or data: to go on with those, give what "
                f"they were made with; to start anew, delete the folder or choose another --out"
            )
        write_json(mark, {"fingerprint": run})

    def latest(self) -> Path | None:
        """The newest whole checkpoint. Those that a kill cut off are removed."""
        whole = []
        for path in self.folder.glob("checkpoint-*"):
            if (path / _COMPLETE).exists():
                whole.append(path)
            else:
                shutil.rmtree(path)
        return max(whole, key=step_of, default=None)

    def mark_complete(self, step: int) -> None:
        """Say that the checkpoint of this step is whole; to be called when all of it is written."""
        (self.folder / f"checkpoint-{step}" / _COMPLETE).touch()

    @property
    def best(self) -> Path:
        """Folder of the best adapter."""
        return self.folder / "best"

    def best_figures(self) -> dict[str, float] | None:
        """Figures of the best evaluation so far, with its `step`; None before the first."""
        path = self.best / "best.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def offer(self, save: Callable[[Path], object], step: int, figures: dict[str, float]) -> None:
        """Keep the adapter, which `save` writes into a folder, if its `eval_f1` is above all before it."""
        best = self.best_figures()
        if best is not None and figures["eval_f1"] <= best["eval_f1"]:
            return
        beside = self.folder / "best.part"
        shutil.rmtree(beside, ignore_errors=True)
        save(beside)
        write_json(beside / "best.json", {"step": step, **figures})
        shutil.rmtree(self.best, ignore_errors=True)
        beside.rename(self.best)

    def remove(self) -> None:
        """Delete everything: the run is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint's folder is named after."""
    return int(checkpoint.name.rpartition("-")[2])
