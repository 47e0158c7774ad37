"""The model card: what a run measured, read from the run's own files and rendered with `card.md.j2`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from training.config import ConfigError
from training.run.files import write_text
from training.run.metrics import Record, read_metrics

_LAST_STEPS = 50  # of the loss at the end, which is averaged: that of a single step varies


def write_card(out: Path) -> Path:
    """Write OUT/README.md from OUT's run.json, and from metrics.jsonl, evaluation.json and evaluation-base.json if any.

    Returns:
        The card's path.

    Raises:
        ConfigError: there is no run.json with a trained adapter.
    """
    run = _read(out / "run.json")
    if run is None or "adapter" not in run:
        raise ConfigError(f"{out} holds no run.json with a trained adapter: train one with `adapter` or `run`")
    evaluation, base_alone = _read(out / "evaluation.json"), _read(out / "evaluation-base.json")
    has_curves = (out / "curves.png").exists()
    path = out / "README.md"
    write_text(path, card(run, read_metrics(out / "metrics.jsonl"), evaluation, base_alone, has_curves=has_curves))
    return path


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def card(
    run: Mapping[str, Any],
    metrics: Sequence[Record],
    evaluation: Mapping[str, Any] | None = None,
    base_alone: Mapping[str, Any] | None = None,
    *,
    has_curves: bool = False,
) -> str:
    """Render the card, in Markdown with the header that the Hugging Face Hub reads.

    Args:
        run: content of `run.json`.
        metrics: the records of `metrics.jsonl`.
        evaluation: the document of `gateway.evaluation`, or None.
        base_alone: the same of the base without the adapter, or None.
        has_curves: whether there is a `curves.png` beside the card.
    """
    losses = [record["loss"] for record in metrics if "loss" in record]
    environment = Environment(  # noqa: S701 - Markdown, no HTML
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["json"] = json.dumps
    return environment.get_template("card.md.j2").render(
        adapter=run["adapter"],
        base=run.get("base"),
        evaluation=evaluation,
        base_alone=base_alone,
        has_curves=has_curves,
        losses=losses,
        last_losses=losses[-_LAST_STEPS:],
        seconds=max((record["seconds"] for record in metrics), default=0.0),
        tokens=sum(record["tokens"] for record in metrics if "loss" in record),
    )
