"""Task files: what stands in them, and what a bad one says."""

import json
import re
from pathlib import Path

import pytest

from gateway.extraction.decoding import grammar
from gateway.tasks import TaskFileError, load_task, load_tasks

SHIPPED = Path("gateway/tasks")
GOOD = """\
name: notes
version: 1
title: Notes
adapter: notes
prompt:
  system: Read.
fields:
  - name: one
    max_chars: 10
  - name: two
max_tokens: 50
"""


def test_the_shipped_tasks_load_and_their_golden_answers_fit_their_grammars() -> None:
    tasks = load_tasks(SHIPPED)
    assert "medical_ie" in tasks
    for task in tasks.values():
        assert task.golden, task.name
        for note in task.golden:
            assert re.fullmatch(grammar(task), json.dumps(dict(note.expected))), note.name


@pytest.mark.parametrize(
    ("before", "after", "line", "reason"),
    [
        ("max_chars: 10", "max_chars: ten", 9, "fields.0.max_chars: Input should be a valid integer"),
        ("max_chars: 10", "max_char: 10", 9, "Extra inputs are not permitted"),
        ("name: notes", "name: My Notes", 1, "name: String should match pattern"),
        ("max_tokens: 50\n", "", 1, "max_tokens: Field required"),
        ("  system: Read.", "  system: ''", 6, "prompt.system"),
        ("- name: two", "- name: one", 1, "two fields have the same name"),
        ("title: Notes", "title: Notes\ntitle: Other", 4, "the key title appears twice"),
        ("prompt:", "prompt: [", 7, "not YAML"),
        ("  system: Read.", "  system: Read.\n  template: no place", 5, "template must hold {text} exactly once"),
        (GOOD, "", 1, "the file is empty"),
        ("title: Notes", "title: !!python/none x", 3, "not YAML"),
        (GOOD, "- a list", 1, "valid dictionary"),
        ("- name: two", "- name: two\n    when: {one: [a]}", 1, "`when` may name the first field only"),
        ("- name: two", "- name: two\n    choices: [a]\n    is_time: true", 1, "field two: a field with `choices`"),
        (
            "max_tokens: 50",
            "max_tokens: 50\ngolden: [{name: a, text: b, expected: {two: x}}]",
            1,
            "golden note a: expected must hold, in this order, one, two",
        ),
    ],
)
def test_a_bad_file_is_named_with_line_and_reason(
    tmp_path: Path, before: str, after: str, line: int, reason: str
) -> None:
    path = tmp_path / "notes.yaml"
    path.write_text(GOOD.replace(before, after))
    with pytest.raises(TaskFileError) as caught:
        load_task(path)
    where, _, message = str(caught.value).partition(": ")
    assert where == f"{path}:{line}" or (reason == "not YAML" and where.startswith(f"{path}:"))
    assert reason in message


def test_an_adapter_may_have_the_name_that_ray_serve_llm_gives_it(tmp_path: Path) -> None:
    path = tmp_path / "notes.yaml"
    path.write_text(GOOD.replace("adapter: notes", "adapter: llama:notes"))
    assert load_task(path).adapter == "llama:notes"


def test_the_task_file_that_these_tests_change_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "notes.yaml"
    path.write_text(GOOD)
    assert [field.name for field in load_task(path).fields] == ["one", "two"]


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(GOOD)
    with pytest.raises(TaskFileError, match=r"b\.yaml:1: the task name notes is taken"):
        load_tasks(tmp_path)


def test_a_folder_without_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskFileError, match="holds no task file"):
        load_tasks(tmp_path)
    with pytest.raises(TaskFileError, match="no such folder"):
        load_tasks(tmp_path / "missing")


def test_the_json_schema_says_what_the_grammar_allows() -> None:
    schema = load_tasks(SHIPPED)["medical_ie"].json_schema
    assert schema["required"] == list(schema["properties"])
    assert schema["properties"]["stage"] == {
        "type": ["string", "null"],
        "minLength": 1,
        "maxLength": 60,
        "description": 'Stage, such as "IIIB".',
    }
