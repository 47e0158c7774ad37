"""Scores on generated notes unlike the training notes: with other phrasings, other values, or no cancer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.data.dataset import Note
from training.evaluation.scoring import micro_f1, read_answer
from training.notes.generator import make_notes
from training.notes.grammar import Split

_SEED = 99  # of no training run


@dataclass(frozen=True)
class NoteSet:
    """Generated notes of one kind.

    Attributes:
        name: name in a report.
        split: where phrasings and values come from: those of the training notes, or held-out ones.
        no_cancer: whether the notes are without cancer, so that every field of the answer is null.
    """

    name: str
    split: Split
    no_cancer: bool = False

    def notes(self, count: int) -> list[Note]:
        """Generate `count` notes, the same ones every time."""
        return list(make_notes(count, float(self.no_cancer), _SEED, self.split))


SETS = (
    NoteSet("held-out phrasings", "phrasings"),
    NoteSet("held-out values", "values"),
    NoteSet("held-out phrasings and values", "both"),
    NoteSet("no cancer", "training", no_cancer=True),
    NoteSet("no cancer, held-out phrasings", "phrasings", no_cancer=True),
)

Ask = Callable[[Sequence[str]], Sequence[str]]
"""A function that returns the model's answer to each text."""


def score_generated(ask: Ask, count: int) -> dict[str, dict[str, float]]:
    """Have `count` notes of every set answered, and score the answers.

    Returns:
        By name of the set: `notes`, their number, and `micro_f1` (exact) or, for notes without cancer, `all_null`, the
        share of answers with null in every field.
    """
    scores: dict[str, dict[str, float]] = {}
    for note_set in SETS if count else ():
        notes = note_set.notes(count)
        answers = ask([note.text for note in notes])
        figure = {"all_null": _all_null(answers)} if note_set.no_cancer else {"micro_f1": micro_f1(notes, answers)}
        scores[note_set.name] = {"notes": count, **figure}
    return scores


def as_text(scores: dict[str, dict[str, float]]) -> str:
    """Render the scores as text, a line for every set."""
    lines = []
    for name, score in scores.items():
        figure = f"all null {score['all_null']:.3f}" if "all_null" in score else f"micro-F1 {score['micro_f1']:.3f}"
        lines.append(f"{score['notes']} generated notes, {name}: {figure}\n")
    return "".join(lines)


def _all_null(answers: Sequence[str]) -> float:
    read = (read_answer(answer).fields for answer in answers)
    return sum(fields is not None and not any(fields.values()) for fields in read) / len(answers)
