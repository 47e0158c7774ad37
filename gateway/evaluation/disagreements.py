"""Where an answer and the expectation differ, and which words of the note each of them rests on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gateway.evaluation.answers import Answer
from gateway.evaluation.dataset import Example
from gateway.evaluation.scores import count
from gateway.grounding.grounder import Grounder

_Mark = tuple[int, int, str]
KINDS: Mapping[str, str] = {
    "invented": "a value where null was expected",
    "missed": "null where a value was expected",
    "wrong": "another value, with no item in common",
    "partly": "some items are right",
    "wording": "right but for case, dashes, separators or the order of items",
}


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One field of one note that is not exactly right. `kind` is one of `KINDS`."""

    field: str
    kind: str
    expected: str | None
    given: str | None
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the note's text with the fields for which it is evidence of the expected and of the given value."""

    text: str
    expected: tuple[str, ...]
    given: tuple[str, ...]


def find_disagreements(fields: Sequence[str], example: Example, answer: Answer) -> list[Disagreement]:
    """Return the fields that are not exactly right, in the task's order; all values where there is no answer."""
    disagreements = []
    for field in fields:
        expected, given = example.expected.get(field), (answer.fields or {}).get(field)
        if expected != given:
            confidence = answer.confidence.get(field)
            disagreements.append(Disagreement(field, _kind(expected, given), expected, given, confidence))
    return disagreements


def _kind(expected: str | None, given: str | None) -> str:
    if expected is None:
        return "invented"
    if given is None:
        return "missed"
    shared = count("items", expected, given)
    if shared.false_positive == shared.false_negative == 0:
        return "wording"
    return "partly" if shared.right else "wrong"


def segments(text: str, disagreements: Iterable[Disagreement]) -> list[Segment]:
    """Cut a note where evidence starts and ends.

    Args:
        text: the note.
        disagreements: the fields whose evidence is shown.
    """
    find = Grounder(text).find
    expected: list[_Mark] = []
    given: list[_Mark] = []
    for one in disagreements:
        expected += [(span.start, span.end, one.field) for span in find(one.expected)]
        given += [(span.start, span.end, one.field) for span in find(one.given)]
    edges = sorted({0, len(text), *(edge for start, end, _ in (*expected, *given) for edge in (start, end))})
    return [
        Segment(text[start:end], _over(expected, start, end), _over(given, start, end))
        for start, end in pairwise(edges)
    ]


def _over(marks: Iterable[_Mark], start: int, end: int) -> tuple[str, ...]:
    """Return the fields whose evidence covers the text from `start` to `end`."""
    return tuple(dict.fromkeys(field for first, last, field in marks if first <= start and end <= last))
