"""How right answers are: exact precision, recall and F1 of every field, and whether answers are valid at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from training.dataset import FIELDS, Answer, Note


@dataclass
class Score:
    """Counts of one field, or of all: values that are right, wrong or invented, and missed."""

    right: int = 0
    false_positive: int = 0
    false_negative: int = 0

    def add(self, expected: str | None, given: str | None) -> None:
        """Count one pair. A wrong value is a false positive and a false negative; null for null counts nowhere."""
        if given is not None and given == expected:
            self.right += 1
            return
        self.false_positive += given is not None
        self.false_negative += expected is not None

    def __add__(self, other: Score) -> Score:
        return Score(
            self.right + other.right,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
        )

    @property
    def precision(self) -> float:
        """Share of the given values that are right; 0 when none was given."""
        return self.right / max(1, self.right + self.false_positive)

    @property
    def recall(self) -> float:
        """Share of the expected values that were given; 0 when none was expected."""
        return self.right / max(1, self.right + self.false_negative)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.right / max(1, 2 * self.right + self.false_positive + self.false_negative)


@dataclass
class Result:
    """The scores of one evaluation."""

    notes: int = 0
    valid: int = 0
    all_right: int = 0
    fields: dict[str, Score] = field(default_factory=lambda: {name: Score() for name in FIELDS})

    @property
    def micro(self) -> Score:
        """All fields' counts together."""
        total = Score()
        for score in self.fields.values():
            total += score
        return total


def parse_answer(raw: str) -> Answer | None:
    """The model's text as an answer, or None when it is not one JSON object with exactly the seven fields."""
    try:
        answer = json.loads(raw)
    except json.JSONDecodeError:
        return None
    if not isinstance(answer, dict) or tuple(answer) != FIELDS:
        return None
    if any(value is not None and not isinstance(value, str) for value in answer.values()):
        return None
    return answer


def score(notes: Sequence[Note], raw_answers: Sequence[str]) -> Result:
    """Compare the model's texts with the expected answers; an invalid answer counts as null in every field."""
    result = Result()
    for note, raw in zip(notes, raw_answers, strict=True):
        answer = parse_answer(raw)
        result.notes += 1
        result.valid += answer is not None
        result.all_right += answer == note.answer
        for name in FIELDS:
            result.fields[name].add(note.answer[name], None if answer is None else answer[name])
    return result


def report(result: Result) -> str:
    """The scores as a text table."""
    lines = [f"{'field':<16}{'precision':>10}{'recall':>8}{'F1':>8}"]
    for name, counts in (*result.fields.items(), ("micro", result.micro)):
        lines.append(f"{name:<16}{counts.precision:>10.3f}{counts.recall:>8.3f}{counts.f1:>8.3f}")
    lines.append(f"{result.notes} notes, {result.valid} valid answers, {result.all_right} right in all fields")
    return "\n".join(lines) + "\n"
