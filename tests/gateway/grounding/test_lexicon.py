"""The lexicon is checked when it is read."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from gateway.grounding.lexicon import LEXICON, Lexicon
from gateway.grounding.words import fold

FILE = Path("gateway/grounding/lexicon.yaml")


def test_the_words_are_strings_also_where_yaml_has_another_meaning_for_them() -> None:
    assert "no" in LEXICON.negations
    assert "on" in LEXICON.stop_words
    assert LEXICON.synonyms["two"] == "2"
    assert ("progress", "note") in LEXICON.headings


@pytest.mark.parametrize("name", ["negations", "polarity", "place_words", "markers", "counters", "measures", "copulas"])
def test_words_that_are_compared_are_in_the_form_of_comparison(name: str) -> None:
    assert {word: fold(word) for word in getattr(LEXICON, name) if fold(word) != word} == {}


def test_opposites_are_in_the_form_of_comparison() -> None:
    assert {word: fold(word) for word in LEXICON.opposites_of() if fold(word) != word} == {}


def test_opposites_hold_both_ways() -> None:
    opposites = LEXICON.opposites_of()
    assert opposites["high"] == {"low", "normal", "intermediate", "stable"}
    assert {"unstable", "progressive", "high"} <= opposites["stable"]
    assert all(word in opposites[other] for word, others in opposites.items() for other in others)


@pytest.mark.parametrize(
    "change",
    [
        {"negations": "no not no"},
        {"negations": "No not"},
        {"negations": ""},
        {"negations": False},
        {"negation": "no"},
        {"not_added": "xyz"},
        {"other_labels": "grade stage"},
        {"opposites": [["left"]]},
        {"synonyms": {"two": 2}},
        {"denials": "no | not | "},
        {"spaced_prefixes": "post"},
        {"receptors": "xy"},
        {"denial_links": {"beyond": "spread"}},
    ],
)
def test_a_bad_lexicon_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Lexicon.model_validate(yaml.safe_load(FILE.read_text("utf-8")) | change)
