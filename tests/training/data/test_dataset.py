"""The data set is checked line by line, and every problem is reported with its line number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.data.dataset import FIELDS, DatasetError, load_notes, read_notes
from training.data.prompt import load_prompt

TASK = load_prompt().task
INSTRUCTION = TASK.prompt.instruction
OUTPUT = dict.fromkeys(FIELDS) | {"cancer_type": "melanoma"}
RECORD = {"instruction": INSTRUCTION, "input": "Melanoma.", "output": OUTPUT}


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines), encoding="utf-8")
    return path


def test_valid_lines_become_notes_in_their_order(tmp_path: Path) -> None:
    other = RECORD | {"input": "Nothing here."}
    notes = load_notes(write(tmp_path / "a.jsonl", RECORD, "", other), TASK)
    assert [note.text for note in notes] == ["Melanoma.", "Nothing here."]
    assert notes[0].answer["cancer_type"] == "melanoma"
    assert tuple(notes[0].answer) == FIELDS


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{not json", "not valid JSON"),
        ([1], "is not a JSON object"),
        ('{"input": "a", "input": "b"}', "has a key twice: input"),
        (RECORD | {"output_": OUTPUT}, "has unknown keys: output_"),
        (RECORD | {"input": "  "}, "`input` must be a non-empty string"),
        (RECORD | {"instruction": "Do something else."}, f"`instruction` must be {INSTRUCTION!r}"),
        (RECORD | {"output": "melanoma"}, "`output` must be an object"),
        (RECORD | {"output": {"stage": "IV"}}, "must have the keys cancer_type, stage"),
        (RECORD | {"output": dict(reversed(OUTPUT.items()))}, "in this order"),
        (RECORD | {"output": OUTPUT | {"stage": 4}}, "a non-empty string or null for: stage"),
        (RECORD | {"output": OUTPUT | {"stage": ""}}, "a non-empty string or null for: stage"),
    ],
)
def test_every_kind_of_problem_is_reported_with_its_line_number(tmp_path: Path, line: object, problem: str) -> None:
    with pytest.raises(DatasetError) as raised:
        load_notes(write(tmp_path / "a.jsonl", RECORD, line), TASK)
    assert "line 2: " in str(raised.value)
    assert problem in str(raised.value)


def test_the_message_counts_the_problems_of_all_lines(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"3 problem\(s\)"):
        load_notes(write(tmp_path / "a.jsonl", "x", RECORD, "y", RECORD | {"input": 1}), TASK)


def test_read_notes_reports_all_problems_and_load_notes_the_first_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *["x"] * 30, RECORD, RECORD | {"input": 1, "instruction": ""})
    reading = read_notes(path, TASK)
    assert list(reading.notes) == [31]
    assert [problem.partition(":")[0] for problem in reading.problems] == [
        *(f"line {number}" for number in range(1, 31)), "line 32", "line 32",
    ]  # fmt: skip
    with pytest.raises(DatasetError, match=r"and more: `python -m training check-data"):
        load_notes(path, TASK)


def test_a_line_that_is_not_utf_8_leaves_the_other_lines_readable(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", RECORD)
    path.write_bytes(path.read_bytes() + b'{"input": "\xff"}\n')
    reading = read_notes(path, TASK)
    assert (list(reading.notes), reading.problems) == ([1], ["line 2: not UTF-8 (byte 12)"])


def test_an_empty_or_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no records"):
        load_notes(write(tmp_path / "a.jsonl"), TASK)
    with pytest.raises(DatasetError, match="cannot read"):
        load_notes(tmp_path / "missing.jsonl", TASK)


INTENT = load_prompt("assistant_intent").task
REMINDER = {"intent": "set_reminder", "task": "buy milk", "schedule": None}


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (REMINDER, None),
        ({"intent": "other"}, None),
        (REMINDER | {"intent": "dance"}, "must have one of these for intent: add_task, set_reminder"),
        ({"task": "buy milk"}, "must have one of these for intent"),
        ({"intent": ["other"]}, "must have one of these for intent"),
        ({"intent": "other", "task": "buy milk"}, "must have the keys intent, in this order"),
        ({"intent": "set_reminder", "schedule": None, "task": "buy milk"}, "must have the keys intent, task, schedule"),
        (REMINDER | {"task": None}, "must not have null for: task"),
    ],
)
def test_the_first_field_of_an_answer_decides_what_others_it_has(
    tmp_path: Path, output: object, problem: str | None
) -> None:
    record = {"instruction": INTENT.prompt.instruction, "input": "buy milk", "output": output}
    reading = read_notes(write(tmp_path / "a.jsonl", record), INTENT)
    assert (problem is None) == (not reading.problems)
    assert problem is None or problem in reading.problems[0]
