"""Inconsistent labels: the same value in several spellings, which the note does not predict and no model can learn."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass

from gateway.evaluation.matching import items, normalise
from training.data.dataset import Note
from training.data.labels import harmonise

_SEPARATORS = (", ", "; ", " and ", " + ", " plus ", " / ", " then ", " followed by ")
_WORDS_FOR_NULL = {"none", "null", "n/a", "na", "nil", "unknown", "not specified", "not reported", "-"}
_FILLERS = {"disease", "of", "the", "to", "with", "in"}
_ENDING = re.compile(r"(?:ions?|ive|ed|ing|es|s)$")
_SHORTEST_STEM = 4
_WORD = re.compile(r"[\w<>~]+[+-]?")  # with the sign that distinguishes ER+ from ER-


@dataclass(frozen=True)
class Group:
    """Several spellings of one value.

    Attributes:
        rule: `spelling`: equal after the evaluation's normalisation (case, dashes, separators); `items`: the same items
            in another order or joined by other words; `words`: the same words but for endings and filler words
            ("progression", "progressive disease"), a guess that a person has to check.
        counts: how often each spelling occurs, the most frequent first.
    """

    rule: str
    counts: dict[str, int]

    @property
    def minority(self) -> int:
        """How many labels are not in the most frequent spelling."""
        return sum(self.counts.values()) - max(self.counts.values())


@dataclass(frozen=True)
class FieldReport:
    """The labels of one field.

    Attributes:
        values: number of labels that are not null.
        distinct: number of different ones among them.
        groups: values with several spellings, the largest minority first.
        separators: number of labels with each separator of items.
        harmonised: number of labels not in the most frequent spelling after `data/labels.py` has harmonised them.
    """

    values: int
    distinct: int
    groups: list[Group]
    separators: dict[str, int]
    harmonised: int

    @property
    def minority(self) -> int:
        """How many labels are not in their most frequent spelling, without the guesses."""
        return sum(group.minority for group in self.groups if group.rule != "words")


@dataclass(frozen=True)
class Oddity:
    """One label that looks like a mistake."""

    line: int
    field: str
    value: str
    why: str


@dataclass(frozen=True)
class Consistency:
    """The inconsistencies of a data set's labels.

    Attributes:
        fields: reports by field name.
        oddities: single labels that look like mistakes.
        contradictions: line numbers of notes that have one text and different labels.
    """

    fields: dict[str, FieldReport]
    oddities: list[Oddity]
    contradictions: list[list[int]]


def check_consistency(notes: Mapping[int, Note], max_chars: Mapping[str, int]) -> Consistency:
    """Find inconsistent labels.

    Args:
        notes: notes by line number.
        max_chars: by field, the length of the longest value that the task allows: the engine's grammar enforces it.
    """
    harmonised = [harmonise(note) for note in notes.values()]
    return Consistency(
        fields={
            field: _field_report(
                Counter(value for note in notes.values() if (value := note.answer.get(field)) is not None),
                Counter(value for note in harmonised if (value := note.answer.get(field)) is not None),
            )
            for field in max_chars
        },
        oddities=[oddity for line, note in notes.items() for oddity in _oddities(line, note, max_chars)],
        contradictions=_contradictions(notes),
    )


def _field_report(labels: Counter[str], harmonised: Counter[str]) -> FieldReport:
    groups = _groups(labels)
    return FieldReport(
        values=labels.total(),
        distinct=len(labels),
        groups=groups,
        separators={
            separator: count
            for separator in _SEPARATORS
            if (count := sum(number for label, number in labels.items() if separator in label))
        },
        harmonised=sum(group.minority for group in _groups(harmonised) if group.rule != "words"),
    )


def _groups(labels: Counter[str]) -> list[Group]:
    """Group the spellings: each is in at most one certain group; guesses are made only where that left them apart."""
    certain = [
        Group(
            "spelling" if len({normalise(spelling) for spelling in group}) == 1 else "items",
            _by_frequency(group, labels),
        )
        for group in _group_by(labels, items)
    ]
    guesses = [
        Group("words", _by_frequency(group, labels))
        for group in _group_by(labels, _stems)
        if len({items(spelling) for spelling in group}) > 1
    ]
    return sorted([*certain, *guesses], key=lambda group: (-group.minority, next(iter(group.counts))))


def _group_by(labels: Iterable[str], key: Callable[[str], Hashable]) -> list[list[str]]:
    by_key: defaultdict[Hashable, list[str]] = defaultdict(list)
    for label in labels:
        by_key[key(label)].append(label)
    return [group for group in by_key.values() if len(group) > 1]


def _by_frequency(group: Iterable[str], labels: Counter[str]) -> dict[str, int]:
    return {label: labels[label] for label in sorted(group, key=lambda label: (-labels[label], label))}


def _stems(label: str) -> frozenset[str]:
    words = _WORD.findall(normalise(label))
    stems = (_ENDING.sub("", word) if len(word) > _SHORTEST_STEM + 2 else word for word in words)
    return frozenset(stem for word, stem in zip(words, stems, strict=True) if word not in _FILLERS) or frozenset(words)


def _oddities(line: int, note: Note, max_chars: Mapping[str, int]) -> Iterable[Oddity]:
    for field, value in note.answer.items():
        if value is None:
            continue
        if value != value.strip():
            yield Oddity(line, field, value, "white space at the start or end")
        if value.strip().casefold() in _WORDS_FOR_NULL:
            yield Oddity(line, field, value, "a word instead of null")
        if any(ord(character) < 32 for character in value):
            yield Oddity(line, field, value, "a control character")
        if len(value) > max_chars[field]:
            yield Oddity(line, field, value, f"longer than the {max_chars[field]} characters that the task allows")


def _contradictions(notes: Mapping[int, Note]) -> list[list[int]]:
    lines: defaultdict[str, list[int]] = defaultdict(list)
    for line, note in notes.items():
        lines[" ".join(note.text.casefold().split())].append(line)
    return [same for same in lines.values() if any(notes[line].answer != notes[same[0]].answer for line in same)]
