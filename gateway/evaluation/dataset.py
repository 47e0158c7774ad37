"""The data set: JSON Lines of notes with the answers that are expected, checked line by line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.evaluation.schema import Fields, Schema
from gateway.files.reading import Line, LineError, ReadError, read_lines

_TEXT, _EXPECTED = ("input", "text"), ("output", "expected")


class DatasetError(Exception):
    """The data set cannot be used. The text lists every problem with its line."""


@dataclass(frozen=True, slots=True)
class Example:
    """A note and its expected answer. `line` counts from 1 in the file that it came from."""

    line: int
    text: str
    expected: Fields


@dataclass(frozen=True, slots=True)
class Dataset:
    """The examples, in the file's order, and the file's name."""

    name: str
    examples: Sequence[Example]

    @property
    def digest(self) -> str:
        """SHA-256 of texts and expected answers in their order: equal for two runs over the same notes.

        It has no salt, as two runs are compared by it. Whether one note is in it can be tried only by who knows all
        others with their expected answers.
        """
        sha = hashlib.sha256()
        for example in self.examples:
            pair = [example.text, dict(example.expected)]
            sha.update(json.dumps(pair, ensure_ascii=True, sort_keys=True).encode() + b"\n")
        return f"sha256:{sha.hexdigest()}"


def load_dataset(path: Path, schema: Schema, *, limit: int | None = None) -> Dataset:
    """Read a data set.

    Args:
        path: a file with a JSON object a line; blank lines are skipped. The text stands in `input` or `text`, the
            expected answer in `output` or `expected`. Other members, such as `instruction`, are left alone: the task
            has a prompt of its own.
        schema: whose fields every expected answer must have.
        limit: keep the first so many; the whole file is checked all the same.

    Raises:
        DatasetError: the file cannot be read, holds no example, or has lines that cannot be used.
    """
    examples: list[Example] = []
    problems: list[str] = []
    try:
        lines = read_lines(path)
    except ReadError as error:
        raise DatasetError(str(error)) from None
    for line in lines:
        try:
            examples.append(_example(line, schema))
        except _ExampleError as error:
            problems += [f"{path}:{line.number}: {problem}" for problem in error.problems]
    if problems:
        raise DatasetError("\n".join([*problems, f"{len(problems)} problem(s); nothing was evaluated"]))
    if not examples:
        raise DatasetError(f"{path}: holds no example")
    return Dataset(path.name, examples[:limit])


class _ExampleError(Exception):
    def __init__(self, *problems: str) -> None:
        self.problems = problems


def _example(line: Line, schema: Schema) -> Example:
    try:
        record = line.record()
    except LineError as error:
        raise _ExampleError(str(error)) from None
    problems: list[str] = []
    text, expected = _member(record, _TEXT, problems), _member(record, _EXPECTED, problems)
    if text is not None and (not isinstance(text, str) or not text.strip()):
        problems.append("the text must be a string that is not empty")
    if expected is not None:
        problems += _expected_problems(expected, schema)
    if problems or not isinstance(text, str) or not isinstance(expected, dict):
        raise _ExampleError(*problems)
    return Example(line.number, text, expected)


def _member(record: Mapping[str, Any], names: tuple[str, str], problems: list[str]) -> Any:
    present = [name for name in names if record.get(name) is not None]
    if len(present) != 1:
        problems.append(f"needs {' or '.join(map(repr, names))}" + (", not both" if present else ""))
        return None
    return record[present[0]]


def _expected_problems(expected: object, schema: Schema) -> list[str]:
    if not isinstance(expected, dict):
        return ["the expected answer must be an object"]
    problems = []
    names = schema.names_for(expected)
    if missing := [name for name in names if name not in expected]:
        problems.append(f"the expected answer lacks {_listed(missing)}")
    if unknown := [name for name in expected if name not in names]:
        problems.append(f"the expected answer has fields that the task does not have: {_listed(unknown)}")
    wrong = [
        name for name, value in expected.items() if value is not None and (not isinstance(value, str) or not value)
    ]
    if wrong:
        problems.append(f"must be a string that is not empty, or null: {_listed(wrong)}")
    return problems


def _listed(names: Collection[str]) -> str:
    return ", ".join(names)
