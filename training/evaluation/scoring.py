"""Scores of the model's answers, by the gateway's own rules (`gateway.evaluation`); no torch is needed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gateway.evaluation.answers import Answer, from_text
from gateway.evaluation.bootstrap import RESAMPLES
from gateway.evaluation.dataset import Dataset, Example
from gateway.evaluation.document import as_document, as_json
from gateway.evaluation.evaluation import Evaluation, evaluate
from gateway.evaluation.schema import Schema
from gateway.evaluation.scores import Counts, count, f1
from gateway.evaluation.table import table
from gateway.files.writing import write_whole
from gateway.tasks import Task
from training.data.dataset import Note

report = table


_schemas: dict[str, Schema] = {}


def schema_of(task: Task) -> Schema:
    """Return the task's schema, which is compiled once."""
    key = json.dumps(task.json_schema)
    if key not in _schemas:
        _schemas[key] = Schema(task.json_schema)
    return _schemas[key]


def read_answer(raw: str, task: Task) -> Answer:
    """Parse the model's text as one JSON object with exactly the task's fields; the answer has an error if it is not.

    A value that violates the schema, such as one that is too long, makes the answer invalid but is still scored.
    """
    return from_text(raw, schema_of(task))


def score(
    notes: Sequence[Note],
    raw_answers: Sequence[str],
    task: Task,
    *,
    name: str = "validation",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Compare the model's texts with the expected answers; one that cannot be parsed counts as null in every field.

    Args:
        notes: the notes with their expected answers.
        raw_answers: the model's text for each note.
        task: whose fields they have.
        name: name of the data set in the report.
        resamples: number of bootstrap resamples for the intervals; 0 for no intervals, which is quick.
        seed: seed of the resampling.
    """
    examples = [Example(line, note.text, note.answer) for line, note in enumerate(notes, start=1)]
    answers = [read_answer(raw, task) for raw in raw_answers]
    return evaluate(Dataset(name, examples), answers, schema_of(task).fields, resamples=resamples, seed=seed)


def micro_f1(notes: Sequence[Note], raw_answers: Sequence[str], task: Task) -> float:
    """Return the exact micro-F1 alone, by which the best checkpoint is selected; 0 where it is undefined."""
    counts = [Counts()]
    for note, raw in zip(notes, raw_answers, strict=True):
        fields = read_answer(raw, task).fields or {}
        counts += [count("exact", note.answer.get(name), fields.get(name)) for name in schema_of(task).fields]
    return float(np.nan_to_num(f1(*np.sum(counts, axis=0))))


def shares(notes: Sequence[Note], raw_answers: Sequence[str], task: Task) -> dict[str, float]:
    """Return the shares of answers, 0 to 1, that a run's bars may name, by the names in `training.config.Figure`."""
    given = [read_answer(raw, task) for raw in raw_answers]
    pairs = [(note.answer, answer.fields) for note, answer in zip(notes, given, strict=True)]
    first = task.fields[0].name
    right = {
        "valid": [answer.error is None for answer in given],
        "all_right": [fields is not None and dict(fields) == expected for expected, fields in pairs],
        "choice_right": [fields is not None and fields.get(first) == expected[first] for expected, fields in pairs],
        "all_null": [fields is not None and not any(fields.values()) for _, fields in pairs],
    }
    return {name: sum(each) / len(notes) for name, each in right.items()}


def save(evaluation: Evaluation, path: Path, *, about: Mapping[str, Any]) -> None:
    """Write the evaluation's JSON document, which contains no text of a note.

    `python -m gateway compare` tests whether two of them differ. `about` describes what was evaluated, in plain JSON.

    Raises:
        OSError: it cannot be written.
    """
    write_whole(path, as_json(as_document(evaluation, about=about)))
