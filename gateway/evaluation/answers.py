"""What a model gave for each note: from its raw text, a gateway's document, or a file of either."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.evaluation.dataset import Dataset
from gateway.evaluation.schema import Fields, Schema, UnreadableError
from gateway.files.reading import LineError, ReadError, read_lines
from gateway.files.results import salt_of, text_digest


class AnswersError(Exception):
    """The file of answers cannot be used. The text lists every problem with its line."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one note.

    `fields` is None where none could be read; `error` is a code for what makes the answer invalid, or None. An
    answer may have both: a value that is too long is invalid, and scored as it stands. `seconds` is how long the call
    lasted, `repairs` the codes of the gateway's warnings, `model` the model that the gateway asked.
    """

    fields: Fields | None = None
    error: str | None = None
    confidence: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    repairs: Sequence[str] = ()
    model: str | None = None


def from_text(text: str, schema: Schema) -> Answer:
    """Read the answer in a model's own text, which must be one JSON object and nothing else."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):  # also of a number of too many digits
        return Answer(error="not_json")
    return _read(answer, schema)


def from_document(document: Mapping[str, Any], schema: Schema, *, seconds: float | None = None) -> Answer:
    """Read the answer in a document of the gateway, whose fields stand in `fields` or at its top level."""
    fields, confidence, model, warnings = (document.get(name) for name in ("fields", "confidence", "model", "warnings"))
    if not isinstance(fields, dict):
        fields = {name: document[name] for name in schema.fields if name in document}
    answer = _read(fields, schema)
    return Answer(
        answer.fields,
        answer.error,
        _numbers(confidence) if isinstance(confidence, dict) else {},
        seconds,
        tuple(str(one.get("code")) for one in warnings if isinstance(one, dict)) if isinstance(warnings, list) else (),
        model if isinstance(model, str) else None,
    )


def _read(answer: object, schema: Schema) -> Answer:
    try:
        fields, error = schema.read(answer)
    except UnreadableError as unreadable:
        return Answer(error=unreadable.kind)
    return Answer(fields, error)


def _numbers(confidence: Mapping[str, Any]) -> dict[str, float]:
    """Return the probabilities; anything else, such as null, is left out."""
    return {
        name: float(value)
        for name, value in confidence.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    }


def load_answers(path: Path, dataset: Dataset, schema: Schema) -> list[Answer]:
    """Read answers from a file instead of asking a gateway.

    Args:
        path: JSON Lines, one line for each example of the data set. A line has one of

            - `raw_output`: the model's own text;
            - `answer`: an object of the fields;
            - `result`: a gateway's document, or `error` where there is none, as `python -m gateway extract --jsonl`
              writes them;

            and may have `index`, the example's number from 0 (without it, the lines stand in the data set's order),
            `confidence` (an object) and `seconds`. Lines for examples behind a limit are left alone.
        dataset: what was asked.
        schema: what a valid answer looks like.

    Raises:
        AnswersError: the file cannot be read, a line cannot be used, or an example has no answer or two.
    """
    answers: dict[int, Answer] = {}
    problems: list[str] = []
    try:
        lines = read_lines(path)
    except ReadError as error:
        raise AnswersError(str(error)) from None
    for order, line in enumerate(lines):
        try:
            record = line.record()
            index = _index(record.get("index", order), answers)
            answers[index] = _from_record(record, schema)
            _check_text(record, index, dataset)
        except (LineError, ValueError) as error:
            problems.append(f"{path}:{line.number}: {error}")
    if missing := [index for index in range(len(dataset.examples)) if index not in answers]:
        some = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        problems.append(f"{path}: has no answer to {len(missing)} example(s): {some}")
    if problems:
        raise AnswersError("\n".join([*problems, f"{len(problems)} problem(s); nothing was evaluated"]))
    return [answers[index] for index in range(len(dataset.examples))]


def _index(index: object, answers: Mapping[int, Answer]) -> int:
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise ValueError("`index` must be a whole number from 0")
    if index in answers:
        raise ValueError(f"is a second answer to example {index}")
    return index


def _check_text(record: Mapping[str, Any], index: int, dataset: Dataset) -> None:
    """Refuse the answer to another text than the example's, where the file tells its text's digest."""
    digest = record.get("input")
    if "asked" not in record or not isinstance(digest, str) or index >= len(dataset.examples):
        return  # not of `extract`, which alone has a digest there
    if digest != text_digest(dataset.examples[index].text, salt_of(digest)):
        raise ValueError(f"is the answer to another text than that of example {index}: is this its data set?")


def _from_record(record: Mapping[str, Any], schema: Schema) -> Answer:
    forms = [name for name in ("raw_output", "answer", "result", "error") if name in record]
    if len(forms) != 1:
        raise ValueError("needs one of raw_output, answer, result, error")
    form = forms[0]
    value = record[form]
    if form == "error":
        status = record.get("status")
        return Answer(error=error_kind(status if isinstance(status, int) else 0))
    if form == "raw_output":
        if not isinstance(value, str):
            raise ValueError("`raw_output` must be a string")
        answer = from_text(value, schema)
    elif form == "result":
        if not isinstance(value, dict):
            raise ValueError("`result` must be an object")
        answer = from_document(value, schema)
    else:
        answer = _read(value, schema)
    confidence = record.get("confidence")
    return replace(
        answer,
        confidence=_probabilities(confidence) if confidence is not None else answer.confidence,
        seconds=_seconds(record.get("seconds")),
    )


def _probabilities(confidence: object) -> dict[str, float]:
    if not isinstance(confidence, dict):
        raise ValueError("`confidence` must be an object")  # noqa: TRY004 - the file's fault, as all others
    probabilities = _numbers(confidence)
    if wrong := [name for name, value in confidence.items() if value is not None and name not in probabilities]:
        raise ValueError(f"`confidence` must be 0 to 1, or null: {', '.join(wrong)}")
    return probabilities


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError("`seconds` must be a number from 0")
    return float(value)


def error_kind(status: int) -> str:
    """Return the code for a gateway's refusal by its HTTP status; 0 is a gateway that did not answer."""
    return {0: "no_response", 413: "too_long_text", 422: "refused", 502: "unusable", 504: "too_late"}.get(
        status, f"http_{status}"
    )
