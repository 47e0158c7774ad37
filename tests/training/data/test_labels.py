"""Training answers are brought to one spelling."""

from __future__ import annotations

import pytest

from training.data.dataset import FIELDS, Note
from training.data.labels import harmonise


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("metastasis_site", "brain; bone", "brain, bone"),
        ("metastasis_site", "liver and lung", "liver, lung"),
        ("metastasis_site", "bone (spine and pelvis)", "bone (spine and pelvis)"),
        ("biomarker", "MSI-H, TMB-high", "MSI-H; TMB-high"),
        ("biomarker", "HER2 positive (IHC 3+, FISH)", "HER2 positive (IHC 3+, FISH)"),
        ("treatment", "dabrafenib + trametinib", "dabrafenib and trametinib"),
        (
            "treatment",
            "trastuzumab + pertuzumab + docetaxel; surgery",
            "trastuzumab, pertuzumab and docetaxel; surgery",
        ),
        ("treatment", "osimertinib 80 mg daily", "osimertinib"),
        ("stage", "III A", "IIIA"),
        ("stage", "IV", "IV"),
        ("response", "mixed response and progression", "mixed response and progression"),
    ],
)
def test_a_value_is_brought_to_the_most_frequent_form(name: str, given: str, expected: str) -> None:
    note = Note("A note.", dict.fromkeys(FIELDS) | {name: given})
    assert harmonise(note).answer == note.answer | {name: expected}


def test_drugs_stay_joined_by_plus_where_the_note_joins_them_so() -> None:
    note = Note("On dabrafenib + trametinib.", dict.fromkeys(FIELDS) | {"treatment": "dabrafenib + trametinib"})
    assert harmonise(note) == note
