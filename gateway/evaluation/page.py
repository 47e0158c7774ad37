"""An evaluation as one HTML page, from the templates beside this file.

With texts, it shows notes and values; no other output of an evaluation does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.evaluation.bootstrap import LEVEL, Estimate
from gateway.evaluation.disagreements import KINDS, Disagreement, Segment, find_disagreements, segments
from gateway.evaluation.evaluation import CALIBRATION_RULE, Evaluation
from gateway.evaluation.scores import METRICS
from gateway.evaluation.table import number, percent, with_interval

_RULES = {
    "exact": "the strings are equal, character by character.",
    "normalised": "equal once case, white space, Unicode forms, dashes and the separators of lists are.",
    "items": "the value is the set of its items; each item is right, missed or too much. The order does not count.",
}


@dataclass(frozen=True, slots=True)
class _Note:
    """What the page shows of a note whose answer is not exactly the expected one."""

    line: int
    error: str | None
    disagreements: list[Disagreement]
    segments: list[Segment]


_HEAD = 1000
_MARKS = ("<!DOCTYPE html>", "content=\"default-src 'none'; style-src 'unsafe-inline'\"", "<title>Evaluation of ")


def is_page(text: str) -> bool:
    """Return whether a file's content is such a page, of any version."""
    head = text.lstrip()[:_HEAD]
    return all(mark in head for mark in _MARKS)


def as_page(evaluation: Evaluation, document: Mapping[str, Any], *, with_texts: bool) -> str:
    """Return the page.

    Args:
        evaluation: the figures.
        document: the same as `document.as_document` gives it, for what was evaluated.
        with_texts: whether notes and values are shown where answer and expectation differ.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "percent": percent, "between": _between, "with_interval": with_interval}
    environment.globals |= {"number": number, "percent": percent}
    notes = list(_notes(evaluation, with_texts=with_texts))
    return environment.get_template("page.html.j2").render(
        evaluation=evaluation,
        document=document,
        with_texts=with_texts,
        rules=_RULES,
        metrics=METRICS,
        level=f"{LEVEL:.0%}",
        calibration_rule=CALIBRATION_RULE,
        kinds=KINDS,
        kind_counts=Counter((one.field, one.kind) for note in notes for one in note.disagreements),
        notes=notes,
    )


def _notes(evaluation: Evaluation, *, with_texts: bool) -> Iterator[_Note]:
    for example, answer in zip(evaluation.dataset.examples, evaluation.answers, strict=True):
        disagreements = find_disagreements(evaluation.fields, example, answer)
        if disagreements or answer.error is not None:
            marked = segments(example.text, disagreements) if with_texts else []
            yield _Note(example.line, answer.error, disagreements, marked)


def _between(estimate: Estimate, show: Callable[[float | None], str] = number) -> str:
    """Return an interval as text; empty where there is none."""
    return "" if estimate.low is None else f"{show(estimate.low)} to {show(estimate.high)}"
