"""The figures of a run in its course: a file of JSON lines, and TensorBoard's events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from loguru import logger

Record = dict[str, Any]


def read_metrics(path: Path) -> list[Record]:
    """Read the records of a metrics file, if there is one; an incomplete line is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


class MetricsLog:
    """A log of a run's figures, in `metrics.jsonl` and for TensorBoard.

    A record has `step` and figures: of every step `loss`, `learning_rate`, `grad_norm`, `epoch` and `tokens`; of every
    evaluation `eval_loss`, `eval_f1` and `eval_valid`; of both `seconds`, the time of training so far.

    Attributes:
        seconds: time that earlier processes of the run have trained.
        evaluated: the steps that were evaluated.
    """

    def __init__(self, path: Path, events: Path, step: int) -> None:
        """Open the log.

        Args:
            path: the JSONL file.
            events: TensorBoard's folder.
            step: the step that the run resumes from; records of later ones are dropped, as these steps are repeated.
        """
        records = [record for record in read_metrics(path) if record["step"] <= step] if step else []
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        self.seconds = max((record["seconds"] for record in records), default=0.0)
        self.evaluated = {record["step"] for record in records if "eval_f1" in record}
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._events = _events_writer(events, step)

    def write(self, step: int, **figures: float) -> None:
        """Add one record."""
        if "eval_f1" in figures:
            self.evaluated.add(step)
        self._file.write(json.dumps({"step": step, **figures}) + "\n")
        if self._events is not None:
            for name, value in figures.items():
                self._events.add_scalar(name.replace("eval_", "evaluation/"), value, step)

    def close(self) -> None:
        """Write what is buffered, and close the files."""
        self._file.close()
        if self._events is not None:
            self._events.close()


def _events_writer(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        logger.warning("TensorBoard is not installed: the metrics go to metrics.jsonl only")
        return None
    # purge_step hides from TensorBoard what an earlier process wrote after this step.
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
