"""When values count as right, by each rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.evaluation.matching import items, normalise
from gateway.evaluation.scores import Counts, count

VALUES = st.text(alphabet="aB+-–&;,./() \u00a0é\u0301ﬁ1then and", min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Lung Adenocarcinoma", "lung  adenocarcinoma"),
        ("PD\u2011L1 60%", "PD-L1 60%"),  # non-breaking hyphen
        ("PD–L1", "PD L1"),
        ("non-small cell", "non small-cell"),
        ("nivolumab and ipilimumab", "nivolumab + ipilimumab"),
        ("FOLFOX plus bevacizumab", "FOLFOX & bevacizumab"),
        ("brain, bone and liver", "brain; bone; liver"),
        ("brain,bone", "brain, and bone"),
        ("progression.", "Progression"),
        ("caf\u00e9 au lait", "cafe\u0301 au lait"),
        ("ﬁbrosis", "fibrosis"),
        ("IL\u20112 “high”", 'IL-2 "high"'),
        ("STRASSE", "straße"),
    ],
)
def test_normalise_ignores_how_a_value_is_written(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("brain; bone", "bone; brain"),  # the order is left to `items`
        ("ER+", "ER-"),
        ("ER-", "ER"),
        ("PSA 1,200", "PSA 1; 200"),
        ("IV", "4"),
        ("café", "cafe"),
        ("nivolumab then ipilimumab", "nivolumab and ipilimumab"),
        ("mixed (lung, liver)", "mixed (lung; liver)"),  # brackets keep their separators
        ("progression", "progressive disease"),
        ("A/B", "A; B"),
    ],
)
def test_normalise_keeps_differences_of_meaning(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("brain", {"brain"}),
        ("brain, bone and liver", {"brain", "bone", "liver"}),
        ("docetaxel, carboplatin, and trastuzumab", {"docetaxel", "carboplatin", "trastuzumab"}),
        ("nivolumab + ipilimumab; surgery", {"nivolumab", "ipilimumab", "surgery"}),
        ("surgery, then FOLFOX", {"surgery", "folfox"}),
        ("surgery then FOLFOX followed by olaparib", {"surgery", "folfox", "olaparib"}),
        ("ER+, PR+, HER2-", {"er+", "pr+", "her2-"}),
        ("MSI-H (PCR, IHC), TMB 1,200", {"msi h (pcr, ihc)", "tmb 1,200"}),
        ("ER+/PR+", {"er+/pr+"}),
        ("squamous cell carcinoma (head and neck)", {"squamous cell carcinoma (head and neck)"}),
        ("a) first, b) second", {"a) first", "b) second"}),  # brackets that do not pair are no brackets
        ("ipilimumab + ipilimumab", {"ipilimumab"}),  # a repetition says nothing new
        ("sand and android", {"sand", "android"}),
        (" ; ", {";"}),
    ],
)
def test_items_of_a_value(value: str, expected: set[str]) -> None:
    assert items(value) == expected


def test_items_are_counted_each() -> None:
    # brain is right, lung too much, bone and liver missed
    assert count("items", "brain, bone, liver", "Lung and brain") == Counts(1, 1, 2)
    assert count("items", None, "lung and brain") == Counts(0, 2, 0)
    assert count("items", "lung and brain", None) == Counts(0, 0, 2)
    assert count("items", None, None) == Counts()


@given(VALUES)
def test_case_and_space_never_count(value: str) -> None:
    assert normalise(f" {value.upper()}\t") == normalise(value.replace(" ", "  "))


@given(VALUES, VALUES)
def test_right_by_one_rule_is_right_by_every_later_one(one: str, other: str) -> None:
    if one == other:
        assert normalise(one) == normalise(other)
    if normalise(one) == normalise(other):
        assert items(one) == items(other)
    assert items(one)
