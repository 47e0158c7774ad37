"""The bars of a run: what a model has to reach to be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.config import Bar, ConfigError
from training.evaluation.sets import SETS


class BelowBarsError(Exception):
    """The model is below a bar of its configuration; the message lists those bars."""


def check_names(bars: Sequence[Bar], task: str) -> None:
    """Make sure that every bar is on something that an evaluation of the task measures.

    Raises:
        ConfigError: at least one is not; the message lists all of them.
    """
    measured: dict[str, tuple[str, ...]] = {note_set.name: note_set.figures for note_set in SETS.get(task, ())}
    known = "; ".join(["validation: all", *(f"{name}: {', '.join(figures)}" for name, figures in measured.items())])
    problems = [
        f"bars.{number}: the task {task} has no {bar.figure} of {bar.notes!r}; it has - {known}"
        for number, bar in enumerate(bars)
        if bar.notes != "validation" and bar.figure not in measured.get(bar.notes, ())
    ]
    if problems:
        raise ConfigError("\n  ".join(problems))


def compare(bars: Sequence[Bar], measured: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Compare what was measured with the bars.

    Args:
        bars: the bars of the configuration.
        measured: figures by the name of the set of texts.

    Returns:
        For each bar its entries, with `value`, None where it was not measured, and `met`.
    """
    compared = []
    for bar in bars:
        value = measured.get(bar.notes, {}).get(bar.figure)
        compared.append({**bar.model_dump(), "value": value, "met": value is not None and value >= bar.at_least})
    return compared


def as_text(compared: Sequence[Mapping[str, Any]]) -> str:
    """Render the comparison as text, a line for every bar."""
    return "".join(
        f"{'met' if bar['met'] else 'BELOW'}: {bar['figure']} on {bar['notes']}: "
        f"{'not measured' if bar['value'] is None else format(bar['value'], '.3f')}, at least {bar['at_least']:.3f}\n"
        for bar in compared
    )


def check_met(compared: Sequence[Mapping[str, Any]]) -> None:
    """Make sure that every bar is met.

    Raises:
        BelowBarsError: at least one is not.
    """
    below = [bar for bar in compared if not bar["met"]]
    if below:
        raise BelowBarsError(
            f"the model is below {len(below)} of the {len(compared)} bars of its configuration, and not to be used:\n"
            + as_text(below).rstrip()
        )
