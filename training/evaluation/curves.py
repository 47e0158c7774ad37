"""The curves of a run: loss and F1 by step, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.run.files import write_atomically
from training.run.metrics import Record

_WINDOW = 25  # steps of the moving average of the loss


def draw_curves(metrics: Sequence[Record], path: Path) -> None:
    """Plot the training loss, and the loss and F1 of the evaluations, and write the figure as a PNG.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure  # type: ignore[import-not-found, unused-ignore]

    steps = [record for record in metrics if "loss" in record]
    evaluations = [record for record in metrics if "eval_f1" in record]
    figure = Figure(figsize=(11, 4), layout="constrained")
    loss, f1 = figure.subplots(1, 2)
    _plot(loss, steps, "loss", "each step", color="0.8", linewidth=0.8)
    means = _means([record["loss"] for record in steps])
    loss.plot([record["step"] for record in steps], means, label=f"mean of {_WINDOW} steps")
    _plot(loss, evaluations, "eval_loss", "notes of the evaluation", marker="o")
    loss.set(title="Loss over the answers' tokens", xlabel="step", ylabel="cross entropy (nats)")
    loss.set_ylim(bottom=0)
    _plot(f1, evaluations, "eval_f1", "micro-F1, exact", marker="o")
    _plot(f1, evaluations, "eval_valid", "share of valid answers", marker="o", linestyle="--")
    f1.set(title="Answers to the notes of the evaluation", xlabel="step", ylim=(0, 1.02))
    f1.set_xlim(left=0)
    for axes in (loss, f1):
        axes.grid(alpha=0.3)
        axes.legend()
    metadata = {"Software": None}  # so that the same run gives the same bytes
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=100, metadata=metadata))


def _plot(axes: Any, records: Sequence[Record], name: str, label: str, **style: Any) -> None:
    axes.plot([record["step"] for record in records], [record[name] for record in records], label=label, **style)


def _means(values: Sequence[float]) -> list[float]:
    """Return the moving average, over each value and those just before it."""
    windows = (values[max(0, end - _WINDOW) : end] for end in range(1, len(values) + 1))
    return [sum(window) / len(window) for window in windows]
