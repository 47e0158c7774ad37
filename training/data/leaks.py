"""Leaks: validation notes that are among the training notes, or nearly so."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from training.data.dataset import DatasetError, Note

_SHINGLE = 8  # words in a row: long enough not to be shared by chance, even among notes of one grammar
_NEAR = 0.5
_WORD = re.compile(r"[^\W\d_]+|\d+")


@dataclass(frozen=True)
class Leak:
    """A validation note that is also a training note, or shares more than half of its text with one.

    Attributes:
        line: line number of the validation note.
        training_line: line number of the most similar training note.
        overlap: share, 0 to 1, of the validation note's sequences of eight words that the training note has too,
            whatever the numbers in them; 1.0 only where the texts are equal but for case and white space.
    """

    line: int
    training_line: int
    overlap: float

    @property
    def is_exact(self) -> bool:
        """Whether the texts are the same."""
        return self.overlap == 1.0


def find_leaks(training: Mapping[int, Note], validation: Mapping[int, Note]) -> list[Leak]:
    """Find the validation notes that are training notes, and those that share more than half of their text with one.

    Args:
        training: notes by line number.
        validation: notes by line number.
    """
    texts = {_plain(note.text): line for line, note in training.items()}
    holders: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for line, note in training.items():
        for shingle in _shingles(note.text):
            holders[shingle].append(line)
    leaks = []
    for line, note in validation.items():
        if (training_line := texts.get(_plain(note.text))) is not None:
            leaks.append(Leak(line, training_line, 1.0))
            continue
        shingles = _shingles(note.text)
        shared = Counter(holder for shingle in shingles for holder in holders.get(shingle, ()))
        if shared:
            nearest, count = shared.most_common(1)[0]
            if count / len(shingles) > _NEAR:
                # Never 1.0, which stands for equal texts: here numbers or punctuation differ.
                leaks.append(Leak(line, nearest, min(0.99, round(count / len(shingles), 2))))
    return leaks


def check_no_leak(training: Mapping[int, Note], validation: Mapping[int, Note]) -> None:
    """Make sure that no validation text is a training text too, whatever its case and white space.

    Raises:
        DatasetError: at least one is.
    """
    texts = {_plain(note.text): line for line, note in training.items()}
    shared = [(line, texts[text]) for line, note in validation.items() if (text := _plain(note.text)) in texts]
    if shared:
        pairs = ", ".join(f"{line} (training line {other})" for line, other in shared[:10])
        more = ", ..." if len(shared) > 10 else ""
        raise DatasetError(f"{len(shared)} validation text(s) are in the training data: line {pairs}{more}")


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _shingles(text: str) -> set[tuple[str, ...]]:
    """Return all word sequences; every number counts as the same word, so that a copy with another age is found."""
    words = ["0" if word.isdigit() else word for word in _WORD.findall(text.casefold())]
    return {tuple(words[i : i + _SHINGLE]) for i in range(len(words) - _SHINGLE + 1)}
