"""How the model does on generated notes unlike those it learnt from: other phrasings, other values, or no cancer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from training.data.dataset import Note
from training.evaluation.scoring import micro_f1, read_answer
from training.notes.generator import Split, make_notes

_SEED = 99  # no seed of a training run


@dataclass(frozen=True)
class NoteSet:
    """Generated notes of one kind.

    Attributes:
        name: in a report.
        split: phrasings and values of the training notes, or held-out ones.
        no_cancer: notes without cancer, to be answered with null in every field, or notes with one.
    """

    name: str
    split: Split
    no_cancer: bool = False

    def notes(self, count: int) -> list[Note]:
        """The same `count` notes every time."""
        return list(make_notes(count, float(self.no_cancer), _SEED, self.split))


SETS = (
    NoteSet("held-out phrasings", "phrasings"),
    NoteSet("held-out values", "values"),
    NoteSet("held-out phrasings and values", "both"),
    NoteSet("no cancer", "training", no_cancer=True),
    NoteSet("no cancer, held-out phrasings", "phrasings", no_cancer=True),
)

Ask = Callable[[Sequence[str]], Sequence[str]]
"""Gives the model's answer to each text."""


def score_generated(ask: Ask, count: int) -> dict[str, dict[str, float]]:
    """Answer `count` notes of every set.

    Returns:
        By the set's name: `notes`, and `micro_f1` (exact) or, of notes without cancer, `all_null`, the share of them
        that is answered with null in every field.
    """
    scores: dict[str, dict[str, float]] = {}
    for chosen in SETS if count else ():
        notes = chosen.notes(count)
        answers = ask([note.text for note in notes])
        figure = {"all_null": _all_null(answers)} if chosen.no_cancer else {"micro_f1": micro_f1(notes, answers)}
        scores[chosen.name] = {"notes": count, **figure}
    return scores


def as_text(scores: dict[str, dict[str, float]]) -> str:
    """One line for every set."""
    lines = []
    for name, score in scores.items():
        figure = f"all null {score['all_null']:.3f}" if "all_null" in score else f"micro-F1 {score['micro_f1']:.3f}"
        lines.append(f"{score['notes']} generated notes, {name}: {figure}\n")
    return "".join(lines)


def _all_null(answers: Sequence[str]) -> float:
    read = (read_answer(answer).fields for answer in answers)
    return sum(fields is not None and not any(fields.values()) for fields in read) / len(answers)
