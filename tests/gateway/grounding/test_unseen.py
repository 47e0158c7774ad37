"""Unseen characters are taken out, and offsets lead back to the text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.grounding.grounder import Evidence, find_evidence
from gateway.grounding.unseen import seen


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("melanoma", "melanoma"),
        ("mela\u200dno\ufe0fma\ufeff", "melanoma"),
        ("lung\u200bcancer", "lung\u200bcancer"),
        ("lung\ufeff\u200b\u2060cancer", "lung\u200bcancer"),
        ("un\u200bresectable", "unresectable"),
        ("4\u200b0%", "40%"),
        ("bevaci\u00ad\nzumab, beva\u00adcizumab", "bevaci\u00ad\nzumab, bevacizumab"),
        ("👩🏽\u200d⚕\ufe0f \u200emelanoma", "👩🏽\u200d⚕\ufe0f melanoma"),
    ],
)
def test_what_is_unseen_is_taken_out(text: str, rest: str) -> None:
    assert seen(text).text == rest


@given(st.text(alphabet="ab 1-\u200b\u200d\u00ad\n👩", max_size=40))
def test_every_character_that_is_left_leads_back_to_itself(text: str) -> None:
    left = seen(text)
    spans = [left.span(position, position + 1) for position in range(len(left.text))]
    assert [text[start:end] for start, end in spans] == list(left.text)
    assert spans == sorted(spans)


def test_evidence_has_the_offsets_of_the_text_as_it_was_given() -> None:
    text = "\ufeffHER2\u200b (1\u2060+), mela\u200dnoma"
    assert find_evidence(text, "melanoma") == [Evidence("mela\u200dnoma", 14, 23, "normalized")]
    assert find_evidence(text, "HER2 positive") == []
