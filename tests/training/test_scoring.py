"""Scores, against cases that were counted by hand."""

from __future__ import annotations

import json

import pytest

from training.dataset import FIELDS, Answer, Note
from training.scoring import parse_answer, report, score


def answer(**values: str) -> Answer:
    return {name: values.get(name) for name in FIELDS}


def test_micro_f1_counts_a_wrong_value_twice_and_null_for_null_never() -> None:
    notes = [
        Note("a", answer(cancer_type="melanoma", stage="IV")),
        Note("b", answer(cancer_type="lung cancer", response="progression")),
        Note("c", answer()),
    ]
    given = [
        json.dumps(answer(cancer_type="melanoma", stage="III")),  # 1 right; 1 wrong value: false positive and negative
        json.dumps(answer(cancer_type="lung cancer")),  # 1 right; 1 missed
        json.dumps(answer(biomarker="PD-L1 5%")),  # 1 invented
    ]
    result = score(notes, given)
    assert (result.micro.right, result.micro.false_positive, result.micro.false_negative) == (2, 2, 2)
    assert result.micro.f1 == pytest.approx(0.5)
    assert result.fields["cancer_type"].f1 == 1.0
    assert result.fields["stage"].f1 == 0.0
    assert (result.notes, result.valid, result.all_right) == (3, 3, 0)


def test_an_answer_that_is_not_valid_counts_as_all_null() -> None:
    result = score([Note("a", answer(stage="IV"))], ['{"cancer_type": "mela'])
    assert (result.valid, result.fields["stage"].false_negative, result.micro.false_positive) == (0, 1, 0)
    assert result.micro.f1 == 0.0


@pytest.mark.parametrize(
    "raw",
    ["", "null", "[]", '{"stage": "IV"}', json.dumps(answer()) + "x", json.dumps(answer() | {"stage": 4}),
     json.dumps(answer() | {"more": None})],
)  # fmt: skip
def test_only_one_object_with_the_seven_fields_is_valid(raw: str) -> None:
    assert parse_answer(raw) is None


def test_a_valid_answer_is_parsed() -> None:
    assert parse_answer(json.dumps(answer(stage="IV"))) == answer(stage="IV")


def test_the_report_names_every_field_and_the_counts() -> None:
    text = report(score([Note("a", answer(stage="IV"))], [json.dumps(answer(stage="IV"))]))
    assert all(name in text for name in FIELDS)
    assert "1 notes, 1 valid answers, 1 right in all fields" in text
