"""Made-up values are many, and none of them is held out."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from training.data.dataset import FIELDS
from training.notes import invention
from training.notes.generator import make_notes

INVENTIONS: list[Callable[[random.Random], str]] = [
    function for name, function in vars(invention).items() if name.startswith("invent_")
]


@pytest.mark.parametrize("invent", INVENTIONS)
def test_invented_values_are_many_and_the_same_for_the_same_seed(invent: Callable[[random.Random], str]) -> None:
    first, again = ([invent(rng) for _ in range(200)] for rng in (random.Random(1), random.Random(1)))
    assert first == again
    assert len(set(first)) > 120


def test_no_invented_value_is_a_held_out_value() -> None:
    answers = [note.answer for note in make_notes(2000, 0.0, 3, "values")]
    held_out = {value.lower() for answer in answers for name in FIELDS for value in [answer[name]] if value}
    rng = random.Random(4)
    assert not {invent(rng).lower() for invent in INVENTIONS for _ in range(3000)} & held_out


def test_half_of_the_training_notes_have_an_invented_cancer() -> None:
    known = {note.answer["cancer_type"] for note in make_notes(3000, 0.0, 5, "phrasings")}
    made_up = [note.answer["cancer_type"] not in known for note in make_notes(1000, 0.0, 5)]
    assert 0.4 < sum(made_up) / len(made_up) < 0.6
