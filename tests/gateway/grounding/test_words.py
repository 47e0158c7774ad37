"""Words are read in bounded time, however long they are made."""

import pytest

from gateway.grounding.grounder import find_evidence
from gateway.grounding.words import _MOST_RUNS, _WORD_START, fold, scan

# One word each, of any length: letters with marks, vowel signs or joiners between them, and one letter's marks.
ENDLESS = {"marks": "e\u0301\u0301", "vowel signs": "\u0915\u094d\u0937\u093f", "joiners": "a\u200d", "one": "\u0301"}


def test_a_word_longer_than_any_value_is_not_folded() -> None:
    # Each of these characters is eighteen, once folded.
    word = "\ufdfa" * 100_000
    assert fold(word) == word
    assert len(fold("\ufdfa" * 10)) > 100


@pytest.mark.parametrize("unit", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_word_is_read_in_short_calls(unit: str) -> None:
    text = "a" + unit * 30_000
    assert max(len(match[0]) for match in _WORD_START.finditer(text)) < (_MOST_RUNS + 1) ** 2


@pytest.mark.parametrize("unit", ENDLESS.values(), ids=ENDLESS)
def test_nothing_begins_inside_an_endless_word(unit: str) -> None:
    within = "a" + unit * 5_000 + "brain"
    assert find_evidence(within, "brain") == []
    behind = within + " brain"
    assert [(each.start, each.match) for each in find_evidence(behind, "brain")] == [(len(within) + 1, "exact")]


def test_a_long_text_has_the_words_of_its_parts() -> None:
    hindi = "\u092b\u0947\u092b\u0921\u093c\u0947 \u0915\u0940 \u0917\u093e\u0901\u0920"
    line = f"{hindi}, Me\u0301tastases ce\u0301re\u0301brales: EGFR+ \u80ba\u764c. "
    assert scan(line * 400).forms == scan(line).forms * 400
