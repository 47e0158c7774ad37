"""The synthetic notes: the same for the same seed, and their answers stand in them."""

from __future__ import annotations

from training.dataset import FIELDS
from training.notes import make_notes


def test_the_same_seed_gives_the_same_notes_and_another_seed_others() -> None:
    first, again, other = (list(make_notes(50, 0.3, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_notes_without_cancer_have_nothing_to_extract() -> None:
    assert all(set(note.answer.values()) == {None} for note in make_notes(200, 1.0, 3))


def test_values_that_are_copied_stand_in_the_note() -> None:
    for note in make_notes(500, 0.0, 4):
        text = note.text.lower()
        for name in ("cancer_type", "gene_mutation", "treatment", "biomarker"):
            for part in (note.answer[name] or "").split("; "):
                assert part.lower() in text, (note.text, name, part)


def test_every_field_is_sometimes_there_and_sometimes_not() -> None:
    notes = list(make_notes(500, 0.2, 5))
    for name in FIELDS:
        assert {note.answer[name] is None for note in notes} == {True, False}


def test_no_pattern_is_left_unfilled() -> None:
    for note in make_notes(1000, 0.5, 6):
        assert not set("[]{}|") & set(note.text), note.text
        assert "  " not in note.text
        assert tuple(note.answer) == FIELDS
