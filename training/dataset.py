"""The extraction data set: JSON lines of `instruction`, `input` and `output`, checked line by line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FIELDS: tuple[str, ...] = (
    "cancer_type",
    "stage",
    "gene_mutation",
    "biomarker",
    "treatment",
    "response",
    "metastasis_site",
)
"""The fields of the task, in the order in which the answer lists them."""

Answer = dict[str, str | None]
_MAX_PROBLEMS_SHOWN = 20


class DatasetError(ValueError):
    """The data set cannot be used; the message lists the problems with their line numbers."""


@dataclass(frozen=True)
class Note:
    """A clinical text and what is to be extracted from it."""

    text: str
    answer: Answer


def _check_record(record: object, instruction: str) -> tuple[Note | None, list[str]]:
    if not isinstance(record, dict):
        return None, ["is not a JSON object"]
    problems = []
    text, output = record.get("input"), record.get("output")
    if not isinstance(text, str) or not text.strip():
        problems.append("`input` must be a text that is not empty")
    if record.get("instruction") != instruction:
        problems.append(f"`instruction` must be {instruction!r}")
    if not isinstance(output, dict):
        problems.append("`output` must be an object")
    else:
        if tuple(output) != FIELDS:
            problems.append(f"`output` must have the keys {', '.join(FIELDS)}, in this order")
        wrong = [
            key for key, value in output.items() if value is not None and (not isinstance(value, str) or not value)
        ]
        if wrong:
            problems.append(f"`output` must hold a text or null in: {', '.join(wrong)}")
    if problems or not isinstance(text, str) or not isinstance(output, dict):
        return None, problems
    return Note(text, output), []


def load_notes(path: Path, instruction: str) -> list[Note]:
    """Read a JSON-lines data set, in its order.

    Args:
        path: the file.
        instruction: the one instruction that every record must carry (the prompt is built with it).

    Raises:
        DatasetError: the file cannot be read, is empty, or has lines that are not valid; all of them are counted, the
            first ones shown.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read {path}: {error}") from error
    notes: list[Note] = []
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            problems.append(f"line {number}: not valid JSON ({error.msg}, column {error.colno})")
            continue
        note, found = _check_record(record, instruction)
        problems.extend(f"line {number}: {problem}" for problem in found)
        if note is not None:
            notes.append(note)
    if problems:
        shown = "\n  ".join(problems[:_MAX_PROBLEMS_SHOWN])
        raise DatasetError(f"{path} has {len(problems)} problem(s):\n  {shown}")
    if not notes:
        raise DatasetError(f"{path} holds no records")
    return notes


def check_no_leak(training: Sequence[Note], validation: Sequence[Note]) -> None:
    """Make sure that no validation text is among the training texts (case and white space apart).

    Raises:
        DatasetError: at least one text is in both.
    """
    seen = {_normal(note.text) for note in training}
    shared = [number for number, note in enumerate(validation, start=1) if _normal(note.text) in seen]
    if shared:
        raise DatasetError(f"{len(shared)} validation text(s) are in the training data, first: record {shared[0]}")


def _normal(text: str) -> str:
    return " ".join(text.lower().split())
