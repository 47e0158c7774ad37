"""Loss and F1 of a run by step, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.run.metrics import Record
from training.run.progress import write_beside

_SMOOTHED = 25  # steps that a point of the smoothed loss is the mean of


def draw_curves(metrics: Sequence[Record], path: Path) -> None:
    """Draw the training loss, the evaluations' loss and their F1, and write them as a PNG.

    Args:
        metrics: the records of a run.
        path: of the picture.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure  # type: ignore[import-not-found, unused-ignore]

    steps = [record for record in metrics if "loss" in record]
    evaluations = [record for record in metrics if "eval_f1" in record]
    figure = Figure(figsize=(11, 4), layout="constrained")
    loss, f1 = figure.subplots(1, 2)
    _draw(loss, steps, "loss", "each step", color="0.8", linewidth=0.8)
    loss.plot([record["step"] for record in steps], _means([record["loss"] for record in steps]), label=_MEAN)
    _draw(loss, evaluations, "eval_loss", "notes of the evaluation", marker="o")
    loss.set(title="Loss over the answers' tokens", xlabel="step", ylabel="cross entropy (nats)")
    loss.set_ylim(bottom=0)
    _draw(f1, evaluations, "eval_f1", "micro-F1, exact", marker="o")
    _draw(f1, evaluations, "eval_valid", "share of valid answers", marker="o", linestyle="--")
    f1.set(title="Answers to the notes of the evaluation", xlabel="step", ylim=(0, 1.02))
    f1.set_xlim(left=0)
    for axes in (loss, f1):
        axes.grid(alpha=0.3)
        axes.legend()
    # Without the metadata the same run gives the same bytes.
    write_beside(path, lambda beside: figure.savefig(beside, format="png", dpi=100, metadata={"Software": None}))


_MEAN = f"mean of {_SMOOTHED} steps"


def _draw(axes: Any, records: Sequence[Record], name: str, label: str, **style: Any) -> None:
    axes.plot([record["step"] for record in records], [record[name] for record in records], label=label, **style)


def _means(values: Sequence[float]) -> list[float]:
    """Of each value and those just before it."""
    windows = (values[max(0, end - _SMOOTHED) : end] for end in range(1, len(values) + 1))
    return [sum(window) / len(window) for window in windows]
