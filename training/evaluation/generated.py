"""Scores on generated texts unlike the training texts: with other phrasings, other values, or nothing of the task."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from training.data.prompt import Prompt
from training.evaluation.scoring import micro_f1, shares
from training.evaluation.sets import SETS

_NAMES = {
    "micro_f1": "micro-F1", "valid": "valid", "choice_right": "first field right", "all_right": "all fields right",
    "all_null": "all null",
}  # fmt: skip
Ask = Callable[[Sequence[str]], Sequence[str]]
"""A function that returns the model's answer to each text."""
Scores = dict[str, dict[str, float]]


def score_generated(ask: Ask, prompt: Prompt, count: int) -> Scores:
    """Have `count` texts of every set of the task answered, and score the answers.

    Returns:
        By name of the set: `notes`, their number, and the set's figures; empty for a task without a grammar.
    """
    scores: Scores = {}
    for note_set in SETS.get(prompt.task.name, ()) if count else ():
        notes = note_set.notes(prompt.task.name, count)
        answers = ask([note.text for note in notes])
        known = {"micro_f1": micro_f1(notes, answers, prompt.task), **shares(notes, answers, prompt.task)}
        scores[note_set.name] = {"notes": count, **{figure: known[figure] for figure in note_set.figures}}
    return scores


def as_text(scores: Scores) -> str:
    """Render the scores as text, a line for every set."""
    lines = []
    for name, score in scores.items():
        figures = ", ".join(f"{_NAMES[figure]} {value:.3f}" for figure, value in score.items() if figure in _NAMES)
        lines.append(f"{score['notes']} generated notes, {name}: {figures}\n")
    return "".join(lines)
