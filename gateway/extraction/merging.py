"""The answers to a text's chunks become one answer, and values without evidence are dropped where that is asked for."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

from gateway.extraction.answer import ChunkAnswer
from gateway.extraction.decoding import Repair
from gateway.grounding.brackets import cut
from gateway.grounding.grounder import Evidence
from gateway.grounding.words import normal_form
from gateway.tasks import Task

Rule = Literal["first", "union"]
# Marks that separate items with or without a space.
_LIST_MARKS = frozenset((";", ",", "|", "·", "•", "，", "、", "；"))


def merge_answers(
    task: Task, answers: Sequence[ChunkAnswer]
) -> tuple[dict[str, str | None], dict[str, float | None], list[Repair]]:
    """Make one answer of the chunks' answers, by the merge rule of the task or of the field.

    Args:
        task: the task, whose first field may choose which other fields there are.
        answers: at least one, in document order. Where the first chunk's choice differs from a later one's, it wins.

    Returns:
        The fields, the confidence of each (the least among the chunks that gave the value, or its absence), and the
        warnings of all chunks.
    """
    warnings = [warning for answer in answers for warning in answer.decoded.warnings]
    if len(answers) == 1:
        only = answers[0]
        return dict(only.decoded.fields), dict(only.confidence), warnings
    first = task.fields[0].name
    shape = task.variant(answers[0].decoded.fields.get(first))
    if None not in task.variants:
        # Another choice means other fields.
        answers = [answer for answer in answers if task.variant(answer.decoded.fields.get(first)) == shape]
    rules = {spec.name: spec.merge or task.merge for spec in shape}
    fields = merge_fields([answer.decoded.fields for answer in answers], rules, task.separator)
    confidence: dict[str, float | None] = {}
    for name, value in fields.items():
        candidates = [
            answer.confidence[name] for answer in answers if (answer.decoded.fields[name] is None) == (value is None)
        ]
        confidence[name] = min((number for number in candidates if number is not None), default=None)
    return fields, confidence, warnings


def merge_fields(
    results: Sequence[Mapping[str, str | None]], rules: Mapping[str, Rule], separator: str
) -> dict[str, str | None]:
    """Merge the fields of several chunks.

    Args:
        results: the fields of each chunk, in document order.
        rules: how to merge each field; one that is not named takes "first".
            "first": the first value that is not null.
            "union": all distinct values in document order, joined by `separator`. A value that holds the separator,
            outside of brackets and quotes, is several. Two that differ only in spelling (`words.normal_form`) are one,
            in the first's spelling. Answers that add nothing to the first leave it as it is.
        separator: stands between the items of a value.

    Returns:
        Every field that any result has; null where no chunk has a value.

    Raises:
        ValueError: a rule has another name.
    """
    merged: dict[str, str | None] = {}
    for name in dict.fromkeys(name for fields in results for name in fields):
        values = [value for fields in results if (value := fields.get(name)) is not None]
        match rules.get(name, "first"):
            case "first":
                merged[name] = values[0] if values else None
            case "union":
                merged[name] = _union(values, separator) if values else None
            case rule:
                raise ValueError(f"unknown merge rule {rule!r}: use 'first' or 'union'")
    return merged


def _union(values: Sequence[str], separator: str) -> str:
    pattern = _separator(separator)
    distinct: dict[str, str] = {}
    firsts = 0
    for number, value in enumerate(values):
        for item in map(str.strip, cut(value, pattern)):
            if item:
                distinct.setdefault(normal_form(item), item)
        if number == 0:
            firsts = len(distinct)
    # What adds nothing leaves the first answer as it is, also its own way of writing a list.
    return separator.join(distinct.values()) if len(distinct) > firsts else values[0]


@lru_cache(maxsize=64)
def _separator(separator: str) -> re.Pattern[str]:
    """Return what separates the items of a value.

    A word does only between spaces, "/" and its like only with the spaces that the task gives them, and nothing does
    between two digits without a space ("1,200", "9;22").
    """
    mark = separator.strip()
    if not mark:
        return re.compile(re.escape(separator))
    core = re.escape(mark)
    if mark[0].isalnum() or mark[-1].isalnum():
        return re.compile(rf"(?:\A|\s+){core}(?:\s+|\Z)")
    if mark in _LIST_MARKS:
        return re.compile(rf"\s*(?:(?<!\d){core}|{core}(?!\d))\s*")
    left = r"(?:\A|\s+)" if separator[0].isspace() else ""
    right = r"(?:\s+|\Z)" if separator[-1].isspace() else ""
    return re.compile(rf"{left}{core}{right}")


def drop_ungrounded(
    task: Task,
    fields: dict[str, str | None],
    evidence: Mapping[str, list[Evidence]],
    confidence: dict[str, float | None],
    warnings: list[Repair],
) -> None:
    """Set values without evidence to null, in place; those of fields with choices or without null are kept.

    Args:
        task: the task.
        fields: the values; changed.
        evidence: of each value.
        confidence: of each value; changed.
        warnings: get one for each value that is dropped; say for which the search was ended by its time limit.
    """
    unfinished = {warning.field for warning in warnings if warning.code == "evidence_time_limit"}
    for name, value in fields.items():
        spec = task.by_name[name]
        if value is not None and not evidence[name] and spec.nullable and not spec.choices:
            fields[name] = None
            confidence[name] = None
            reason = (
                "the search for evidence was not finished"
                if name in unfinished
                else "nothing in the text supports the value"
            )
            warnings.append(Repair("ungrounded", f"{reason}; strict grounding set it to null", name))
