"""Evaluations of adapters that never were, over notes that say nothing."""

from __future__ import annotations

from gateway.evaluation.answers import Answer
from gateway.evaluation.dataset import Dataset, Example
from gateway.evaluation.document import as_document, as_json
from gateway.evaluation.evaluation import evaluate

FIELDS = ("site",)
NOTES = 40


def evaluation(*, wrong: int, of: str = "A lesion of the liver") -> bytes:
    """Return the JSON document of an adapter's evaluation.

    Args:
        wrong: How many of the 40 notes it reads wrong.
        of: The text of the notes.
    """
    examples = [Example(line, f"{of}, note {line}.", {"site": "liver"}) for line in range(1, NOTES + 1)]
    answers = [Answer({"site": "lung" if line < wrong else "liver"}) for line in range(NOTES)]
    done = evaluate(Dataset("notes.jsonl", tuple(examples)), answers, FIELDS, resamples=200)
    return as_json(as_document(done, about={})).encode()
