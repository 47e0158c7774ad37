"""Synthetic notes are the same for the same seed, and contain the values of their answers."""

from __future__ import annotations

import re
from functools import cache
from typing import get_args

import pytest

from training.data.dataset import FIELDS, Note
from training.notes.generator import make_notes
from training.notes.grammar import drug_names, mutation_names
from training.patterns import Split

SPLITS: tuple[Split, ...] = get_args(Split)
FREE_FIELDS = ("cancer_type", "gene_mutation", "treatment")  # the others have values that every note may share


def test_the_same_seed_gives_the_same_notes_and_another_seed_others() -> None:
    first, again, other = (list(make_notes(50, 0.3, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("split", SPLITS)
def test_notes_without_cancer_have_nothing_to_extract(split: Split) -> None:
    assert all(set(note.answer.values()) == {None} for note in make_notes(200, 1.0, 3, split))


@pytest.mark.parametrize("split", SPLITS)
def test_the_note_contains_the_values_of_the_fields_that_are_copied(split: Split) -> None:
    for note in make_notes(500, 0.0, 4, split):
        text = note.text.lower()
        for name in ("cancer_type", "gene_mutation", "treatment", "biomarker"):
            for part in (note.answer[name] or "").split("; "):
                assert part.lower() in text, (note.text, name, part)


def test_every_field_is_null_in_some_notes_and_not_in_others() -> None:
    notes = list(make_notes(500, 0.2, 5))
    for name in FIELDS:
        assert {note.answer[name] is None for note in notes} == {True, False}


@cache
def values(split: Split) -> set[str]:
    """Return the single values of the free fields of many notes."""
    answers = (note.answer for note in make_notes(2000, 0.0, 7, split))
    texts = (answer[name] or "" for answer in answers for name in FREE_FIELDS)
    return {value for text in texts for value in re.split("; | and ", text) if value}


@pytest.mark.slow
def test_held_out_values_are_in_no_training_note() -> None:
    training = values("training")
    for split in ("values", "both"):
        assert not values(split) & training
    assert not values("values") & {*mutation_names(), *drug_names()}
    assert not values("phrasings") & values("values")


def frames(notes: list[Note]) -> set[str]:
    """Return all sequences of three words: they show phrasing more than values."""
    words = (re.findall(r"[a-z]+", note.text.lower()) for note in notes)
    return {" ".join(text[at : at + 3]) for text in words for at in range(len(text) - 2)}


def test_held_out_phrasings_share_few_word_sequences_with_training_notes() -> None:
    training = frames(list(make_notes(3000, 0.2, 8, "plain")))
    again = frames(list(make_notes(200, 0.2, 9, "plain")))
    held_out = frames(list(make_notes(200, 0.2, 9, "phrasings")))
    assert len(again & training) / len(again) > 0.55
    assert len(held_out & training) / len(held_out) < 0.45


@pytest.mark.parametrize("split", SPLITS)
def test_no_note_contains_marks_of_the_grammar(split: Split) -> None:
    for note in make_notes(1000, 0.5, 6, split):
        assert not set("[]{}|") & set(note.text), note.text
        assert "  " not in note.text
        assert tuple(note.answer) == FIELDS
