"""The data set for extraction: JSON lines with `instruction`, `input` and `output`, checked line by line."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.tasks import Task

FIELDS: tuple[str, ...] = (
    "cancer_type",
    "stage",
    "gene_mutation",
    "biomarker",
    "treatment",
    "response",
    "metastasis_site",
)
"""The fields of the task `medical_ie`, in the order in which the answer lists them."""

Answer = dict[str, str | None]
_KEYS = {"instruction", "input", "output"}
_MAX_SHOWN = 20


class DatasetError(ValueError):
    """The data set cannot be used; the message lists the problems with their line numbers."""


@dataclass(frozen=True)
class Note:
    """A text, such as a clinical note or a request, and what is to be extracted from it."""

    text: str
    answer: Answer


@dataclass(frozen=True)
class ParsedFile:
    """The content of a data file.

    Attributes:
        notes: by line number, from 1, in the order of the file.
        problems: one message each, which begins with the line number.
    """

    notes: dict[int, Note]
    problems: list[str]


def read_notes(path: Path, task: Task) -> ParsedFile:
    """Read a JSON-lines data set and collect every problem in it.

    Args:
        path: the file.
        task: whose instruction every record must have, as the prompt is built with it, and whose fields every answer.

    Raises:
        DatasetError: the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    return parse_notes(content, task)


def parse_notes(content: bytes, task: Task) -> ParsedFile:
    """Check the lines of a JSON-lines data set."""
    notes: dict[int, Note] = {}
    problems: list[str] = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        note, line_problems = _check_line(line, task)
        problems += [f"line {number}: {problem}" for problem in line_problems]
        if note is not None:
            notes[number] = note
    return ParsedFile(notes, problems)


def load_notes(path: Path, task: Task) -> list[Note]:
    """Read a JSON-lines data set, in its order.

    Raises:
        DatasetError: the file cannot be read, is empty, or has invalid lines; the message counts all of them and shows
            the first ones.
    """
    content = read_notes(path, task)
    if content.problems:
        shown = content.problems[:_MAX_SHOWN]
        if len(content.problems) > len(shown):
            shown.append(f"and more: `python -m training check-data --data {path.parent}` lists all")
        raise DatasetError(f"{path} has {len(content.problems)} problem(s):\n  " + "\n  ".join(shown))
    if not content.notes:
        raise DatasetError(f"{path} holds no records")
    return list(content.notes.values())


def _check_line(line: bytes, task: Task) -> tuple[Note | None, list[str]]:
    try:
        record = json.loads(line.decode("utf-8"), object_pairs_hook=_without_repeats)
    except UnicodeDecodeError as error:
        return None, [f"not UTF-8 (byte {error.start + 1})"]
    except json.JSONDecodeError as error:
        return None, [f"not valid JSON ({error.msg}, column {error.colno})"]
    except (_RepeatedKeyError, RecursionError) as error:
        return None, [str(error)]
    except ValueError:
        return None, ["has a number of too many digits"]
    return _check_record(record, task)


class _RepeatedKeyError(Exception):
    pass


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # json.loads would silently keep the last of two equal keys.
    repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if repeated:
        raise _RepeatedKeyError(f"has a key twice: {', '.join(repeated)}")
    return dict(pairs)


def _check_record(record: object, task: Task) -> tuple[Note | None, list[str]]:
    if not isinstance(record, dict):
        return None, ["is not a JSON object"]
    problems = []
    if unknown := sorted(record.keys() - _KEYS):
        problems.append(f"has unknown keys: {', '.join(unknown)}")
    text, output = record.get("input"), record.get("output")
    if not isinstance(text, str) or not text.strip():
        problems.append("`input` must be a non-empty string")
    if record.get("instruction") != task.prompt.instruction:
        problems.append(f"`instruction` must be {task.prompt.instruction!r}")
    if not isinstance(output, dict):
        problems.append("`output` must be an object")
    else:
        problems += _check_answer(output, task)
    if problems or not isinstance(text, str) or not isinstance(output, dict):
        return None, problems
    return Note(text, output), []


def _check_answer(output: dict[str, Any], task: Task) -> list[str]:
    problems = []
    first = task.fields[0]
    choice = output.get(first.name)
    fields = task.variant(choice if isinstance(choice, str) else None)
    names = [field.name for field in fields]
    if first.choices and choice not in (*first.choices, *([None] if first.nullable else [])):
        problems.append(f"`output` must have one of these for {first.name}: {', '.join(first.choices)}")
    elif list(output) != names:
        problems.append(f"`output` must have the keys {', '.join(names)}, in this order")
    wrong = [key for key, value in output.items() if value is not None and (not isinstance(value, str) or not value)]
    if wrong:
        problems.append(f"`output` must have a non-empty string or null for: {', '.join(wrong)}")
    missing = [field.name for field in fields[1:] if not field.nullable and output.get(field.name, "") is None]
    if missing:
        problems.append(f"`output` must not have null for: {', '.join(missing)}")
    unknown = [
        field.name for field in fields[1:] if field.choices and output.get(field.name) not in (None, *field.choices)
    ]
    if unknown:
        problems.append(f"`output` must have one of the task's choices for: {', '.join(unknown)}")
    return problems
