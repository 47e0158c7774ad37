"""What is counted for each note, and the measures that are computed from the sums.

Every count of a note is a whole number in a named column, and every measure is a function of the columns' sums over the
notes. So the bootstrap needs nothing but sums of resampled rows, and two runs are compared with the very functions that
scored them.

The outcomes `right`, `false_positive` and `false_negative` under `exact` and `normalised`: null for null counts
nowhere; a value for null is a false positive (invented), null for a value a false negative (missed); a wrong value is
both. Precision is right / (right + false_positive), recall right / (right + false_negative), F1 their harmonic mean,
2 right / (2 right + false_positive + false_negative). A measure whose denominator is 0 is NaN: there was nothing to be
right or wrong about. `micro` computes these from the counts summed over the fields, `macro` is the mean of the fields'
measures that are defined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gateway.evaluation.matching import RULES, items, normalise
from gateway.evaluation.schema import Fields

FloatArray = NDArray[np.float64]
Sums = Mapping[str, ArrayLike]
"""The sum of each column, or an array with the sums of each draw."""


class Counts(NamedTuple):
    """Values, or items, that are right, wrong or invented, and missed."""

    right: int = 0
    false_positive: int = 0
    false_negative: int = 0


_OUTCOMES = Counts._fields


def ratio(part: ArrayLike, whole: ArrayLike) -> FloatArray:
    """Return `part / whole`, NaN where both are 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.divide(part, whole))


def _precision(right: FloatArray, false_positive: FloatArray, _: FloatArray) -> FloatArray:
    return ratio(right, right + false_positive)


def _recall(right: FloatArray, _: FloatArray, false_negative: FloatArray) -> FloatArray:
    return ratio(right, right + false_negative)


def f1(right: FloatArray, false_positive: FloatArray, false_negative: FloatArray) -> FloatArray:
    """Return the harmonic mean of precision and recall."""
    return ratio(2 * right, 2 * right + false_positive + false_negative)


METRICS: Mapping[str, Callable[[FloatArray, FloatArray, FloatArray], FloatArray]] = {
    "precision": _precision,
    "recall": _recall,
    "f1": f1,
}


def count(rule: str, expected: str | None, given: str | None) -> Counts:
    """Count one field of one note under a rule of `matching.RULES`."""
    if rule == "items":
        expected_items = frozenset[str]() if expected is None else items(expected)
        given_items = frozenset[str]() if given is None else items(given)
        return Counts(
            len(expected_items & given_items), len(given_items - expected_items), len(expected_items - given_items)
        )
    if expected is None or given is None:
        return Counts(0, int(given is not None), int(expected is not None))
    right = expected == given or (rule == "normalised" and normalise(expected) == normalise(given))
    return Counts(1, 0, 0) if right else Counts(0, 1, 1)


def columns(fields: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns of a task with these fields."""
    names = [f"{rule}/{field}/{outcome}" for rule in RULES for field in fields for outcome in _OUTCOMES]
    names += [f"null/{field}/{what}" for field in fields for what in ("expected", "given", "both")]
    names += [
        f"invention/{field}/{what}"
        for field in fields
        for what in ("given", "given_without", "expected", "expected_without")
    ]
    names += [f"notes/{rule}" for rule in RULES]
    return (*names, "notes/all", "notes/valid", "notes/nothing_expected", "notes/nothing_right")


def count_note(
    fields: Sequence[str],
    expected: Fields,
    given: Fields | None,
    *,
    valid: bool,
    has_evidence: Callable[[str], bool],
) -> dict[str, int]:
    """Return all columns of one note.

    Args:
        fields: the task's.
        expected: the expected answer.
        given: the given one; None where there is none that could be read. Then every expected value is missed, and no
            null is right.
        valid: whether the given answer is valid against the task's schema.
        has_evidence: whether a value has evidence in the note.
    """
    row = dict.fromkeys(columns(fields), 0)
    answer: Fields = given or {}
    for rule in RULES:
        counts = {field: count(rule, expected.get(field), answer.get(field)) for field in fields}
        for field in fields:
            row |= {f"{rule}/{field}/{outcome}": number for outcome, number in counts[field]._asdict().items()}
        row[f"notes/{rule}"] = int(given is not None and not any(any(each[1:]) for each in counts.values()))
    for field in fields:
        # A field that the note's shape does not have was never asked for.
        expects_null = field in expected and expected[field] is None
        gives_null = field in answer and answer[field] is None
        row[f"null/{field}/expected"] = int(expects_null)
        row[f"null/{field}/given"] = int(gives_null)
        row[f"null/{field}/both"] = int(expects_null and gives_null)
        for side, value in (("given", answer.get(field)), ("expected", expected.get(field))):
            if value is not None:
                row[f"invention/{field}/{side}"] = 1
                row[f"invention/{field}/{side}_without"] = int(not has_evidence(value))
    nothing = not any(value is not None for value in expected.values())
    row["notes/all"] = 1
    row["notes/valid"] = int(valid)
    row["notes/nothing_expected"] = int(nothing)
    row["notes/nothing_right"] = int(nothing and given is not None and all(v is None for v in answer.values()))
    return row


def counts_of(sums: Mapping[str, int], rule: str, *fields: str) -> Counts:
    """Return the counts of a field, or of several together."""
    return Counts(*(sum(sums[f"{rule}/{field}/{outcome}"] for field in fields) for outcome in _OUTCOMES))


def measures(sums: Sums, fields: Sequence[str]) -> dict[str, FloatArray]:
    """Compute the measures of a task with these fields, each under its name.

    Args:
        sums: for each of `columns` the sum, or the sums of many draws.
        fields: the task's.

    Returns:
        Arrays of the same shape as the sums, NaN where a measure is not defined. `RULE/FIELD/METRIC` with `micro` and
        `macro` as fields too; `RULE/notes`: share of notes right in every field; `null/FIELD/recall`: share of the
        expected nulls that were given; `null/FIELD/precision`: share of the given nulls that are right;
        `invention/FIELD/rate`: share of the given values without evidence in the note, and `.../expected_rate` the same
        of the expected values, with `all` as a field; `validity`: share of the answers that are valid;
        `nothing/recall`: share of the notes with null expected in every field that got it.
    """
    named: dict[str, FloatArray] = {}
    for rule in RULES:
        # Shape (fields, outcomes), and then that of a sum.
        outcomes = np.array([[sums[f"{rule}/{field}/{outcome}"] for outcome in _OUTCOMES] for field in fields])
        for metric, compute in METRICS.items():
            of_fields = np.array([compute(*of_field) for of_field in outcomes])
            named |= {f"{rule}/{field}/{metric}": value for field, value in zip(fields, of_fields, strict=True)}
            named[f"{rule}/micro/{metric}"] = compute(*outcomes.sum(axis=0))
            named[f"{rule}/macro/{metric}"] = ratio(np.nansum(of_fields, axis=0), (~np.isnan(of_fields)).sum(axis=0))
        named[f"{rule}/notes"] = ratio(sums[f"notes/{rule}"], sums["notes/all"])
    for name, members in [*((field, (field,)) for field in fields), ("all", tuple(fields))]:
        for measure, part, whole in (
            ("null/{}/recall", "null/{}/both", "null/{}/expected"),
            ("null/{}/precision", "null/{}/both", "null/{}/given"),
            ("invention/{}/rate", "invention/{}/given_without", "invention/{}/given"),
            ("invention/{}/expected_rate", "invention/{}/expected_without", "invention/{}/expected"),
        ):
            named[measure.format(name)] = ratio(_total(sums, part, members), _total(sums, whole, members))
    named["validity"] = ratio(sums["notes/valid"], sums["notes/all"])
    named["nothing/recall"] = ratio(sums["notes/nothing_right"], sums["notes/nothing_expected"])
    return named


def _total(sums: Sums, column: str, fields: Sequence[str]) -> ArrayLike:
    """Return the sum of a column over fields; `column` has `{}` in the field's place."""
    total: ArrayLike = np.sum([sums[column.format(field)] for field in fields], axis=0)
    return total
