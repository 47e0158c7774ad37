"""Scores of the model's answers, against cases counted by hand. The rules themselves are tested with the gateway."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.evaluation.document import load_run
from training.data.dataset import FIELDS, Answer, Note
from training.data.prompt import load_prompt
from training.evaluation.scoring import micro_f1, read_answer, report, save, score, shares

TASK = load_prompt().task


def answer(**values: str) -> Answer:
    return {name: values.get(name) for name in FIELDS}


NOTES = [
    Note("melanoma IV", answer(cancer_type="melanoma", stage="IV")),
    Note("lung cancer, progression", answer(cancer_type="lung cancer", response="progression")),
    Note("nothing", answer()),
]
RAW = [
    json.dumps(answer(cancer_type="melanoma", stage="III")),  # 1 right; 1 wrong value: false positive and negative
    json.dumps(answer(cancer_type="lung cancer")),  # 1 right; 1 missed
    json.dumps(answer(biomarker="PD-L1 5%")),  # 1 invented
]


def test_micro_f1_counts_a_wrong_value_twice_and_null_for_null_never() -> None:
    result = score(NOTES, RAW, TASK, resamples=0)
    assert [result.sums[f"exact/cancer_type/{outcome}"] for outcome in ("right", "false_positive")] == [2, 0]
    # 2 right, 2 false positives, 2 false negatives: 4 / (4 + 2 + 2)
    assert result.value("exact/micro/f1") == pytest.approx(0.5)
    assert micro_f1(NOTES, RAW, TASK) == pytest.approx(0.5)
    assert result.value("exact/cancer_type/f1") == 1.0
    assert result.value("exact/stage/f1") == 0.0
    assert (result.sums["notes/all"], result.sums["notes/valid"], result.sums["notes/exact"]) == (3, 3, 0)


def test_an_answer_that_cannot_be_parsed_counts_as_null_in_every_field() -> None:
    notes, raw = [Note("IV", answer(stage="IV"))], ['{"cancer_type": "mela']
    result = score(notes, raw, TASK, resamples=0)
    assert dict(result.errors) == {"not_json": 1}
    assert (result.sums["exact/stage/false_negative"], result.sums["exact/stage/false_positive"]) == (1, 0)
    assert micro_f1(notes, raw, TASK) == 0.0


def test_a_value_that_is_too_long_is_invalid_and_counts_as_wrong() -> None:
    notes, raw = [Note("IV", answer(stage="IV"))], [json.dumps(answer(stage="IV" * 100))]
    result = score(notes, raw, TASK, resamples=0)
    assert dict(result.errors) == {"too_long": 1}
    assert (result.sums["exact/stage/false_negative"], result.sums["exact/stage/false_positive"]) == (1, 1)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        ("", "not_json"),
        ("null", "not_an_object"),
        ("[]", "not_an_object"),
        ('{"stage": "IV"}', "missing_key"),
        (json.dumps(answer()) + "x", "not_json"),
        (json.dumps(answer() | {"stage": 4}), "wrong_type"),
        (json.dumps(answer() | {"more": None}), "extra_key"),
    ],
)
def test_only_one_object_with_the_seven_fields_is_valid(raw: str, error: str) -> None:
    assert read_answer(raw, TASK).error == error
    assert read_answer(raw, TASK).fields is None


def test_a_valid_answer_has_fields_and_no_error() -> None:
    assert read_answer(json.dumps(answer(stage="IV")), TASK).fields == answer(stage="IV")
    assert read_answer(json.dumps(answer(stage="IV")), TASK).error is None


def test_the_report_has_every_field_and_the_number_of_valid_answers() -> None:
    text = report(score(NOTES, RAW, TASK, resamples=20))
    assert all(name in text for name in FIELDS)
    assert "valid: 3 of 3 answers" in text


def test_the_saved_document_can_be_loaded_for_comparison_and_has_no_text_of_a_note(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    save(score(NOTES, RAW, TASK, resamples=20), path, about={"base": "small"})
    assert len(load_run(path).rows) == 3
    assert "melanoma" not in path.read_text(encoding="utf-8")


def test_shares_count_the_answers_that_a_bar_may_ask_for() -> None:
    task = load_prompt("assistant_intent").task
    right = {"intent": "set_reminder", "task": "buy milk", "schedule": None}
    note = Note("remind me to buy milk", {**right})
    raw = [json.dumps(right), json.dumps(right | {"task": "milk"}), json.dumps({"intent": "other"}), "no JSON"]
    assert shares([note] * 4, raw, task) == {"valid": 0.75, "all_right": 0.25, "choice_right": 0.5, "all_null": 0.0}
    assert micro_f1([note], raw[:1], task) == 1.0


def test_the_fields_of_a_task_whose_first_field_decides_them_are_scored() -> None:
    task = load_prompt("assistant_intent").task
    note = Note("what's on today", {"intent": "list_events", "datetime": "today"})
    result = score([note], [json.dumps(note.answer)], task, resamples=0)
    assert result.value("exact/datetime/f1") == 1.0
    assert result.value("exact/body/f1") is None
