"""What is counted for each note, and the measures that are taken of the sums.

Every count of a note is a whole number in a named column, and every measure is a function of the columns' sums over the
notes. So the bootstrap needs nothing but sums of resampled rows, and two runs are compared with the very functions that
scored them.

The classes of `right`, `false_positive` and `false_negative` under `exact` and `normalised`: null for null counts
nowhere; a value for null is a false positive (invented), null for a value a false negative (missed); a wrong value is
both. Precision is right / (right + false_positive), recall right / (right + false_negative), F1 their harmonic mean,
2 right / (2 right + false_positive + false_negative). A measure whose denominator is 0 is None: there was nothing to be
right or wrong about. `micro` takes these of the counts summed over the fields, `macro` the mean of the fields' measures
that are not None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from gateway.evaluation.matching import RULES, items, normalise
from gateway.evaluation.schema import Fields

Sums = Mapping[str, int]
Measure = Callable[[Sums], float | None]

_OUTCOMES = ("right", "false_positive", "false_negative")
METRICS = ("precision", "recall", "f1")


@dataclass(frozen=True, slots=True)
class Counts:
    """Values, or items, that are right, wrong or invented, and missed."""

    right: int = 0
    false_positive: int = 0
    false_negative: int = 0

    def __add__(self, other: Counts) -> Counts:
        """The counts of both."""
        return Counts(
            self.right + other.right,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
        )

    @property
    def precision(self) -> float | None:
        """Share of the given values that are right."""
        return ratio(self.right, self.right + self.false_positive)

    @property
    def recall(self) -> float | None:
        """Share of the expected values that were given."""
        return ratio(self.right, self.right + self.false_negative)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall."""
        return ratio(2 * self.right, 2 * self.right + self.false_positive + self.false_negative)


def ratio(part: int, whole: int) -> float | None:
    """`part / whole`, or None where there is no whole."""
    return part / whole if whole else None


def count(rule: str, expected: str | None, given: str | None) -> Counts:
    """One field of one note under a rule of `matching.RULES`."""
    if rule == "items":
        wanted = frozenset[str]() if expected is None else items(expected)
        found = frozenset[str]() if given is None else items(given)
        return Counts(len(wanted & found), len(found - wanted), len(wanted - found))
    if expected is None or given is None:
        return Counts(0, int(given is not None), int(expected is not None))
    right = expected == given or (rule == "normalised" and normalise(expected) == normalise(given))
    return Counts(1, 0, 0) if right else Counts(0, 1, 1)


def columns(fields: Sequence[str]) -> tuple[str, ...]:
    """The names of the columns of a task with these fields."""
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
    has_evidence: Callable[[str], bool] | None,
) -> dict[str, int]:
    """All columns of one note.

    Args:
        fields: the task's.
        expected: the expected answer.
        given: the given one; None where there is none that could be read. Then every expected value is missed, and no
            null is right.
        valid: whether the given answer is valid against the task's schema.
        has_evidence: whether a value has evidence in the note; None where that is not measured.
    """
    row = dict.fromkeys(columns(fields), 0)
    answer: Fields = given or {}
    for rule in RULES:
        whole = Counts()
        for field in fields:
            counts = count(rule, expected.get(field), answer.get(field))
            whole += counts
            for outcome in _OUTCOMES:
                row[f"{rule}/{field}/{outcome}"] = getattr(counts, outcome)
        row[f"notes/{rule}"] = int(given is not None and whole.false_positive + whole.false_negative == 0)
    for field in fields:
        # A field that the note's shape does not have was never asked for.
        expects_null = field in expected and expected[field] is None
        gives_null = field in answer and answer[field] is None
        row[f"null/{field}/expected"] = int(expects_null)
        row[f"null/{field}/given"] = int(gives_null)
        row[f"null/{field}/both"] = int(expects_null and gives_null)
        if has_evidence is not None:
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


def counts_of(sums: Sums, rule: str, field: str) -> Counts:
    """The counts of a field, or of all with `micro`."""
    return Counts(*(sums[f"{rule}/{field}/{outcome}"] for outcome in _OUTCOMES))


def micro_counts(sums: Sums, rule: str, fields: Sequence[str]) -> Counts:
    """The counts of all fields."""
    total = Counts()
    for field in fields:
        total += counts_of(sums, rule, field)
    return total


def measures(fields: Sequence[str]) -> dict[str, Measure]:
    """The measures of a task with these fields, each under its name.

    `RULE/FIELD/METRIC` with `micro` and `macro` as fields too; `RULE/notes`: share of notes right in every field;
    `null/FIELD/recall`: share of the expected nulls that were given; `null/FIELD/precision`: share of the given nulls
    that are right; `invention/FIELD/rate`: share of the given values without evidence in the note, and
    `.../expected_rate` the same of the expected values, with `all` as a field; `validity`: share of the answers that
    are valid; `nothing/recall`: share of the notes with null expected in every field that got it.
    """
    named: dict[str, Measure] = {}
    for rule in RULES:
        for metric in METRICS:
            for field in fields:
                named[f"{rule}/{field}/{metric}"] = partial(_field_metric, rule=rule, field=field, metric=metric)
            named[f"{rule}/micro/{metric}"] = partial(_micro, rule=rule, fields=fields, metric=metric)
            named[f"{rule}/macro/{metric}"] = partial(_macro, rule=rule, fields=fields, metric=metric)
        named[f"{rule}/notes"] = partial(_share, parts=(f"notes/{rule}",), wholes=("notes/all",))
    for name, chosen in [*((field, (field,)) for field in fields), ("all", tuple(fields))]:
        for metric, part, whole in (
            ("null/{}/recall", "null/{}/both", "null/{}/expected"),
            ("null/{}/precision", "null/{}/both", "null/{}/given"),
            ("invention/{}/rate", "invention/{}/given_without", "invention/{}/given"),
            ("invention/{}/expected_rate", "invention/{}/expected_without", "invention/{}/expected"),
        ):
            named[metric.format(name)] = partial(
                _share,
                parts=tuple(part.format(field) for field in chosen),
                wholes=tuple(whole.format(field) for field in chosen),
            )
    named["validity"] = partial(_share, parts=("notes/valid",), wholes=("notes/all",))
    named["nothing/recall"] = partial(_share, parts=("notes/nothing_right",), wholes=("notes/nothing_expected",))
    return named


def _field_metric(sums: Sums, *, rule: str, field: str, metric: str) -> float | None:
    value: float | None = getattr(counts_of(sums, rule, field), metric)
    return value


def _micro(sums: Sums, *, rule: str, fields: Sequence[str], metric: str) -> float | None:
    value: float | None = getattr(micro_counts(sums, rule, fields), metric)
    return value


def _macro(sums: Sums, *, rule: str, fields: Sequence[str], metric: str) -> float | None:
    values = [_field_metric(sums, rule=rule, field=field, metric=metric) for field in fields]
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def _share(sums: Sums, *, parts: Sequence[str], wholes: Sequence[str]) -> float | None:
    return ratio(sum(sums[name] for name in parts), sum(sums[name] for name in wholes))
