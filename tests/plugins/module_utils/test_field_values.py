"""The rule of the instance is the evaluation's own."""

from __future__ import annotations

import random

import pytest
from ansible_collections.slm.serving.plugins.module_utils import field_values

from gateway.evaluation import matching

WORDS = (
    *(
        "EGFR L858R",
        "PD-L1: 10%",
        "t(9;22)(q34;q11)",
        "1,200 mg",
        "Müller",
        "ﬁbrosis",
        "stage Ⅳ",
        "non\u2011small",
        "a\u2212b",
    ),
    *("brain", "Liver.", "FOLFOX", "“quoted; text”", '"x, y"', '"', "(open", "closed)", "[a; b]", "«c, d»", ".", "  "),
)
JOINERS = ("; ", ", ", " and ", " & ", " + ", " plus ", ", and ", " then ", " followed by ", " ", "-", ";", ",")
# Every word alone, and lists of them from a fixed seed.
RANDOM = random.Random(13)
VALUES = [
    *WORDS,
    "",
    *("".join(RANDOM.choice(JOINERS if at % 2 else WORDS) for at in range(RANDOM.randint(2, 9))) for _ in range(400)),
]


def test_values_are_cut_and_normalised_as_the_evaluation_does() -> None:
    differing = [value for value in VALUES if field_values.items(value) != matching.items(value)]
    assert differing == []
    assert [value for value in VALUES if field_values.normalise(value) != matching.normalise(value)] == []


@pytest.mark.parametrize(
    ("expected", "given", "same"),
    [
        ("liver", "Liver.", True),
        ("KRAS G12D; TP53", "TP53 and KRAS G12D", True),
        ("IV", "Stage IV", False),
        ("brain", "brain; bone", False),
        (None, None, True),
        (None, "none", False),
        ("none", None, False),
        ("1", 1, False),
    ],
)
def test_values_that_are_the_same(expected: object, given: object, same: bool) -> None:
    assert field_values.is_same(expected, given) is same
