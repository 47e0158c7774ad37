"""Values are exchanged in the note and in the answer alike, or not at all."""

from __future__ import annotations

import random

from training.data.dataset import FIELDS, Note
from training.notes.grammar import drug_names, mutation_names
from training.notes.variation import Variation

NOTE = Note(
    "Lung cancer with EGFR L858R; PD-L1 10%. Osimertinib was given, osimertinib is tolerated. MRI: brain lesions.",
    dict.fromkeys(FIELDS)
    | {
        "cancer_type": "lung cancer",
        "gene_mutation": "EGFR L858R",
        "biomarker": "PD-L1 10%",
        "treatment": "osimertinib",
        "metastasis_site": "brain",
    },
)


def varied(note: Note, chance: float = 1.0) -> list[Note]:
    rng = random.Random(1)
    return [Variation(mutation_names(), drug_names(), chance).apply(note, rng) for _ in range(50)]


def test_the_note_contains_the_exchanged_values_of_its_answer() -> None:
    for note in varied(NOTE):
        for name in ("gene_mutation", "biomarker", "treatment", "metastasis_site"):
            value = note.answer[name]
            assert value is not None
            assert value.lower() in note.text.lower()
        assert note.answer["cancer_type"] == "lung cancer"
    for name in ("gene_mutation", "biomarker", "treatment"):
        assert len({note.answer[name] for note in varied(NOTE)}) > 5


def test_a_cancer_and_markers_that_the_note_contains_are_exchanged() -> None:
    note = Note(
        "Seen for lung cancer. CD41 positive. No change.",
        dict.fromkeys(FIELDS) | {"cancer_type": "lung cancer", "biomarker": "CD41 positive"},
    )
    for name in ("cancer_type", "biomarker"):
        new = {changed.answer[name]: changed.text for changed in varied(note)}
        assert len(new) > 20
        assert all(value is not None and value.lower() in text.lower() for value, text in new.items())
        assert not any("{" in text for text in new.values())


def test_every_occurrence_of_a_drug_is_exchanged_and_keeps_its_capital() -> None:
    texts = [note.text for note in varied(NOTE)]
    assert any("simertinib" not in text for text in texts)
    for note in varied(NOTE):
        drug = note.answer["treatment"] or ""
        assert f"{drug[:1].upper()}{drug[1:]} was given, {drug} is tolerated" in note.text


def test_a_site_is_not_exchanged_where_the_note_has_other_words_for_it() -> None:
    assert {note.answer["metastasis_site"] for note in varied(NOTE)} == {"brain"}  # the note has an MRI
    plain = Note(NOTE.text.replace("MRI: ", ""), NOTE.answer)
    assert len({note.answer["metastasis_site"] for note in varied(plain)}) > 3


def test_with_a_chance_of_zero_no_note_changes() -> None:
    assert set(map(repr, varied(NOTE, 0.0))) == {repr(NOTE)}


def test_a_part_of_the_exchanged_names_is_made_up() -> None:
    known = {*mutation_names(), *drug_names()}
    for name in ("gene_mutation", "treatment"):
        new = [note.answer[name] for note in varied(NOTE)]
        assert 0.2 < sum(value not in known for value in new) / len(new) < 0.7
