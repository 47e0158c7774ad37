"""Data sets and files of answers are checked line by line before anything is done with them."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.evaluation.answers import Answer, AnswersError, from_document, from_text, load_answers
from gateway.evaluation.dataset import DatasetError, Example, load_dataset
from gateway.evaluation.schema import Schema, SchemaError, UnreadableError
from gateway.tasks import load_tasks
from tests.gateway.evaluation.cases import DATASET, JSON_SCHEMA

SCHEMA = Schema(JSON_SCHEMA)
TASKS = load_tasks(Path(__file__).resolve().parents[3] / "gateway" / "tasks")
GOOD = {"instruction": "Extract.", "input": "Liver.", "output": {"site": "liver", "stage": None}}


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), "utf-8")
    return path


def test_both_forms_of_a_data_set_are_read_and_blank_lines_skipped(tmp_path: Path) -> None:
    other = {"text": "A \u2028 B", "expected": {"stage": "IV", "site": None}}
    path = write(tmp_path / "d.jsonl", GOOD, "", json.dumps(other, ensure_ascii=False))
    dataset = load_dataset(path, SCHEMA)
    assert dataset.name == "d.jsonl"
    # U+2028 may stand in a JSON string as it is, and ends no line
    assert dataset.examples == [
        Example(1, "Liver.", {"site": "liver", "stage": None}),
        Example(3, "A \u2028 B", {"stage": "IV", "site": None}),
    ]
    assert len(load_dataset(path, SCHEMA, limit=1).examples) == 1


def test_every_problem_of_a_data_set_is_listed_with_its_line(tmp_path: Path) -> None:
    bad = {
        1: ("{", "is not JSON: Expecting property name enclosed in double quotes, column 2"),
        2: ("[]", "is not a JSON object"),
        3: ('{"input": "x", "input": "y"}', "has the key 'input' twice"),
        4: ({"output": GOOD["output"]}, "needs 'input' or 'text'"),
        5: (GOOD | {"text": "x"}, "needs 'input' or 'text', not both"),
        6: (GOOD | {"input": "  "}, "the text must be a string that is not empty"),
        7: (GOOD | {"output": []}, "the expected answer must be an object"),
        8: (GOOD | {"output": {"stage": "", "more": None}}, "the expected answer lacks site"),
        10: (GOOD | {"output": {"site": 3, "stage": None}}, "must be a string that is not empty, or null: site"),
        11: ('{"output": {"site": ' + "[" * 100_000, "is nested too deep"),
    }
    lines = [bad[number][0] if number in bad else GOOD for number in range(1, 12)]
    path = write(tmp_path / "bad.jsonl", *lines)
    with pytest.raises(DatasetError) as failed:
        load_dataset(path, SCHEMA, limit=1)
    problems = str(failed.value).splitlines()
    for number, (_, problem) in bad.items():
        assert f"{path}:{number}: {problem}" in problems
    assert f"{path}:8: the expected answer has fields that the task does not have: more" in problems
    assert f"{path}:8: must be a string that is not empty, or null: stage" in problems
    assert problems[-1] == "12 problem(s); nothing was evaluated"


def test_a_data_set_that_is_not_there_or_empty_is_refused(tmp_path: Path) -> None:
    for path, problem in ((tmp_path / "none", "No such file"), (write(tmp_path / "empty", ""), "holds no example")):
        with pytest.raises(DatasetError, match=problem):
            load_dataset(path, SCHEMA)
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    with pytest.raises(DatasetError, match="latin:1: is not UTF-8: byte 0xe9 at offset 0"):
        load_dataset(tmp_path / "latin", SCHEMA)


def test_the_digest_differs_between_data_sets(tmp_path: Path) -> None:
    one = load_dataset(write(tmp_path / "a", GOOD), SCHEMA)
    renamed = load_dataset(write(tmp_path / "b", {"text": GOOD["input"], "expected": GOOD["output"]}), SCHEMA)
    other = load_dataset(write(tmp_path / "c", GOOD | {"input": "Lung."}), SCHEMA)
    assert one.digest == renamed.digest != other.digest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"site": "liver", "stage": null}', Answer({"site": "liver", "stage": None})),
        ('{"stage": null, "site": "liver"}', Answer({"site": "liver", "stage": None})),
        ("", Answer(error="not_json")),
        ('{"site": "liver", "sta', Answer(error="not_json")),
        ('[{"site": "liver", "stage": null}]', Answer(error="not_an_object")),
        ('{"site": "liver"}', Answer(error="missing_key")),
        ('{"site": "liver", "stage": null, "more": 1}', Answer(error="extra_key")),
        ('{"site": ["liver"], "stage": null}', Answer(error="wrong_type")),
        # what can be read is scored, though it is not valid
        ('{"site": "", "stage": null}', Answer({"site": "", "stage": None}, "empty_value")),
        ('{"site": null, "stage": "IV and more"}', Answer({"site": None, "stage": "IV and more"}, "too_long")),
        ("[" * 100_000, Answer(error="not_json")),
    ],
)
def test_an_answer_in_a_models_text(text: str, expected: Answer) -> None:
    assert from_text(text, SCHEMA) == expected


def test_a_number_of_too_many_digits_is_no_answer() -> None:
    assert from_text(f'{{"site": {"9" * 5000}, "stage": null}}', SCHEMA) == Answer(error="not_json")


def test_a_task_whose_fields_depend_on_the_first_one() -> None:
    schema = Schema(TASKS["assistant_intent"].json_schema)
    assert set(schema.fields) == set(TASKS["assistant_intent"].by_name)
    for note in TASKS["assistant_intent"].golden:
        assert schema.read(dict(note.expected)) == (dict(note.expected), None)
    with pytest.raises(UnreadableError, match="extra_key"):
        schema.read(dict(TASKS["assistant_intent"].golden[0].expected) | {"more": None})
    first = schema.fields[0]
    assert schema.read(dict.fromkeys(schema.names_for({}), "x"))[1] == "wrong_choice"
    assert first in schema.names_for({})


def test_every_task_of_the_gateway_can_be_evaluated() -> None:
    for task in TASKS.values():
        schema = Schema(task.json_schema)
        assert schema.fields == tuple(field.name for field in task.fields)
        assert all(schema.read(dict(note.expected))[1] is None for note in task.golden)


CHOICES = Schema(
    {
        "oneOf": [
            {
                "type": "object",
                "properties": {
                    "intent": {"const": intent},
                    "day": {"type": ["string", "null"], "enum": ["today", None]},
                    name: {"type": "string", "minLength": 1, "maxLength": 5},
                },
                "required": ["intent", "day", name],
                "additionalProperties": False,
            }
            for intent, name in (("weather", "city"), ("music", "song"))
        ]
    }
)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, None),
        ({"day": "today"}, None),
        ({"day": "tomorrow"}, "wrong_choice"),
        ({"song": None}, "null_value"),
        ({"day": "never", "song": ""}, "wrong_choice"),  # the first field's breach is the one that is reported
        ({"day": 3}, "wrong_type"),
        ({"day": "never", "song": 3}, "wrong_type"),  # what cannot be read comes before what is invalid
        ({"song": 3, "more": None}, "extra_key"),
        ({"intent": "weather"}, "missing_key"),
        ({"intent": "news"}, "missing_key"),  # none of the shapes: judged by the first one
        ({"intent": ["music"], "city": "Delhi"}, "extra_key"),
    ],
)
def test_breaches_of_choices_and_types_by_kind(change: dict[str, Any], kind: str | None) -> None:
    answer = {"intent": "music", "day": None, "song": "Help!"} | change
    assert from_text(json.dumps(answer), CHOICES).error == kind


def test_a_schema_of_another_kind_is_refused() -> None:
    others: list[Any] = [{"type": "array"}, {"required": []}, {"required": ["a"], "properties": {}}, {"type": "x"}, []]
    for other in others:
        with pytest.raises(SchemaError):
            Schema(other)


def test_an_answer_in_a_gateways_document() -> None:
    document = {
        "site": "liver", "stage": None, "confidence": {"site": 0.9, "stage": None}, "model": "medical-ie",
        "warnings": [{"code": "none_to_null", "detail": "", "field": "stage"}],
    }  # fmt: skip
    expected = Answer({"site": "liver", "stage": None}, None, {"site": 0.9}, 1.5, ("none_to_null",), "medical-ie")
    assert from_document(document, SCHEMA, seconds=1.5) == expected
    nested = {"fields": {"site": "liver", "stage": None}} | {key: document[key] for key in list(document)[2:]}
    assert from_document(nested, SCHEMA, seconds=1.5) == expected
    assert from_document({}, SCHEMA).error == "missing_key"
    for odd in ({"warnings": 3}, {"warnings": [3]}, {"confidence": [1]}, {"model": 3}):
        assert from_document(document | odd, SCHEMA).fields == {"site": "liver", "stage": None}


def test_a_file_of_answers_with_indices(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        {"index": 1, "status": 502, "error": "502: cut"},
        {"index": 0, "result": {"site": "liver", "stage": None, "confidence": {"site": 0.5}}, "seconds": 2},
        {"index": 3, "answer": {"site": None, "stage": None}, "confidence": {"stage": 0.25}},
        {"index": 2, "raw_output": "nonsense"},
        {"index": 9, "raw_output": "behind a limit"},
    )
    assert load_answers(path, DATASET, SCHEMA) == [
        Answer({"site": "liver", "stage": None}, confidence={"site": 0.5}, seconds=2.0),
        Answer(error="unusable"),
        Answer(error="not_json"),
        Answer({"site": None, "stage": None}, confidence={"stage": 0.25}),
    ]


def test_a_file_of_answers_in_the_data_sets_order(tmp_path: Path) -> None:
    lines = [{"raw_output": json.dumps({"site": None, "stage": str(number)})} for number in range(4)]
    answers = load_answers(write(tmp_path / "a.jsonl", *lines), DATASET, SCHEMA)
    assert [answer.fields and answer.fields["stage"] for answer in answers] == ["0", "1", "2", "3"]


def test_a_bad_file_of_answers_is_refused_with_its_lines(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        {"index": 0, "raw_output": ""},
        {"index": 0, "raw_output": ""},
        {"index": "x", "raw_output": ""},
        {"index": 1},
        {"index": 2, "raw_output": 3},
        {"index": 3, "result": []},
        {"index": 1, "raw_output": "", "confidence": {"site": 1.5, "stage": None}},
        {"index": 2, "raw_output": "", "seconds": -1},
        '{"index": 3, "raw_output": "", "confidence": {"site": NaN}}',
        "{",
    )
    with pytest.raises(AnswersError) as failed:
        load_answers(path, DATASET, SCHEMA)
    assert str(failed.value).splitlines() == [
        f"{path}:2: is a second answer to example 0",
        f"{path}:3: `index` must be a whole number from 0",
        f"{path}:4: needs one of raw_output, answer, result, error",
        f"{path}:5: `raw_output` must be a string",
        f"{path}:6: `result` must be an object",
        f"{path}:7: `confidence` must be 0 to 1, or null: site",
        f"{path}:8: `seconds` must be a number from 0",
        f"{path}:9: is not JSON: NaN is no JSON value",
        f"{path}:10: is not JSON: Expecting property name enclosed in double quotes, column 2",
        f"{path}: has no answer to 3 example(s): 1, 2, 3",
        "10 problem(s); nothing was evaluated",
    ]
