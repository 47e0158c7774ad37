"""How right the model's texts are, by the gateway's own rules (`gateway.evaluation`); no torch is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gateway.evaluation.answers import Answer, from_text
from gateway.evaluation.bootstrap import RESAMPLES
from gateway.evaluation.dataset import Dataset, Example
from gateway.evaluation.document import as_document, as_json
from gateway.evaluation.evaluation import Evaluation, evaluate
from gateway.evaluation.files import write_whole
from gateway.evaluation.schema import Schema
from gateway.evaluation.scores import Counts, count, f1
from gateway.evaluation.table import table
from gateway.tasks import load_task
from training.dataset import FIELDS, Note
from training.prompt import TASK_FILE

report = table


@cache
def _schema() -> Schema:
    return Schema(load_task(TASK_FILE).json_schema)


def read_answer(raw: str) -> Answer:
    """The model's text as an answer: one JSON object with exactly the task's fields, or an error that says what it is.

    A value that breaks the schema, such as one that is too long, makes the answer invalid but is scored as it stands.
    """
    return from_text(raw, _schema())


def score(
    notes: Sequence[Note],
    raw_answers: Sequence[str],
    *,
    name: str = "validation",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Compare the model's texts with the expected answers; an answer that cannot be read counts as null in every field.

    Args:
        notes: the notes, in their order.
        raw_answers: the model's text for each.
        name: of the data set, for the report.
        resamples: draws for the intervals; 0 leaves them out, which is quick.
        seed: of the draws.
    """
    examples = [Example(line, note.text, note.answer) for line, note in enumerate(notes, start=1)]
    answers = [read_answer(raw) for raw in raw_answers]
    return evaluate(Dataset(name, examples), answers, FIELDS, resamples=resamples, seed=seed)


def micro_f1(notes: Sequence[Note], raw_answers: Sequence[str]) -> float:
    """The exact micro-F1 alone, which a checkpoint is chosen by; 0 where there is nothing to be right about."""
    counts = [Counts()]
    for note, raw in zip(notes, raw_answers, strict=True):
        given = read_answer(raw).fields or {}
        counts += [count("exact", note.answer[field], given.get(field)) for field in FIELDS]
    return float(np.nan_to_num(f1(*np.sum(counts, axis=0))))


def save(evaluation: Evaluation, path: Path, *, about: Mapping[str, Any]) -> None:
    """Write the evaluation's JSON document, which holds no text of a note.

    `python -m gateway compare` tells whether two of them really differ. `about` says what was evaluated, in plain JSON.

    Raises:
        OSError: it cannot be written.
    """
    write_whole(path, as_json(as_document(evaluation, about=about)))
