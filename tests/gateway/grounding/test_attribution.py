"""Every line of the lexicon that makes a finding another person's does so."""

import pytest

from gateway.grounding.grounder import find_evidence
from gateway.grounding.lexicon import LEXICON

VALUE = "bolanic lesions"


@pytest.mark.parametrize(
    "text",
    [
        "Her {} had bolanic lesions.",
        "Family: {}: bolanic lesions.",
        "Bolanic lesions ({})",
        "Bolanic lesions in her {}.",
        "Bolanic lesions at age 45 in the maternal {}.",
    ],
)
def test_what_a_relative_has_is_not_the_patients(text: str) -> None:
    assert [one for one in LEXICON.relatives if find_evidence(text.format(one), VALUE)] == []


def test_a_relative_has_it_by_any_of_these_words() -> None:
    assert [
        word for word in LEXICON.relatives_have if find_evidence(f"His father {word} bolanic lesions.", VALUE)
    ] == []


@pytest.mark.parametrize(
    "text",
    [
        "The 45-year-old mother has bolanic lesions.",
        "Her mother had asthma. She has bolanic lesions.",
        "Her mother had asthma, she has bolanic lesions.",
        "Sister Mary Joseph nodule with bolanic lesions.",
        "She lives with her mother. Bolanic lesions.",
        "Bolanic lesions, her mother was told.",
        "Bolanic lesions in a mother of two.",
        "Considered for surgery of bolanic lesions.",
        "Bolanic lesions were considered unchanged.",
    ],
)
def test_what_is_said_beside_a_relative_or_a_plan_is_the_patients(text: str) -> None:
    assert find_evidence(text, VALUE) != []


@pytest.mark.parametrize("text", ["Family history of bolanic lesions.", "Her mother had bolanic lesions."])
def test_a_value_about_the_family_has_evidence_there(text: str) -> None:
    assert find_evidence(text, text.removesuffix(".")) != []


@pytest.mark.parametrize(
    "text",
    [
        "If it grows, bolanib would be an option.",
        "Should it grow, consider bolanib.",
        "Bolanib could be considered later.",
        "Bolanib may be offered.",
        "Bolanib remains an option.",
        "If she relapses, we would start bolanib.",
        "Bolanib if progression.",
    ],
)
def test_what_may_come_to_be_was_not_given(text: str) -> None:
    assert find_evidence(text, "bolanib") == []
