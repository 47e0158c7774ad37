"""Validation notes that are among the training notes, or nearly so, are found."""

from __future__ import annotations

import pytest

from training.data.dataset import FIELDS, DatasetError, Note
from training.data.leaks import check_no_leak, find_leaks

LONG = (
    "A 61-year-old woman with lung adenocarcinoma came with cough and weight loss, and a scan of the chest showed a "
    "mass of 4 cm in the left upper lobe with enlarged nodes."
)
OTHER = (
    "A man of 70 years with melanoma of the back, first seen by his family doctor, has had no treatment until today."
)


def notes(*texts: str) -> dict[int, Note]:
    return {line: Note(text, dict.fromkeys(FIELDS)) for line, text in enumerate(texts, start=1)}


def test_a_text_in_both_files_is_a_leak_whatever_its_case_and_white_space() -> None:
    training, validation = notes("One  note.", "Another note."), notes("A third note.", "one note.")
    check_no_leak(training, notes("A third note."))
    with pytest.raises(DatasetError, match=r"line 2 \(training line 1\)"):
        check_no_leak(training, validation)
    (leak,) = find_leaks(training, validation)
    assert (leak.line, leak.training_line, leak.is_exact) == (2, 1, True)


def test_a_copy_with_other_numbers_is_a_near_leak() -> None:
    (leak,) = find_leaks(notes(OTHER, LONG), notes(LONG.replace("61", "67").replace("4 cm", "5 cm")))
    assert (leak.training_line, leak.is_exact) == (2, False)
    assert leak.overlap > 0.9


def test_a_note_that_shares_one_phrase_with_a_training_note_is_no_leak() -> None:
    assert find_leaks(notes(LONG), notes(OTHER + " A scan of the chest showed a mass of 4 cm in the left lung.")) == []
