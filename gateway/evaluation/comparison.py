"""Which differences between two runs are real, and which the choice of notes alone would explain.

The paired bootstrap (P. Koehn, "Statistical Significance Tests for Machine Translation Evaluation", EMNLP 2004): the
same notes are drawn for both runs, and the difference of a measure is taken of each draw. The interval is the
percentile interval of those differences. The p-value is two-sided, twice the share of draws in which the difference is
zero or of the other sign, with one draw added on each side so that it is never 0 (A. C. Davison and D. V. Hinkley,
Bootstrap Methods and their Application, 1997, section 4.4).

Several fields are tested at once, and the more tests, the more of them look real by luck. So the p-values of the fields
and of validity are adjusted by Holm's method (S. Holm, "A simple sequentially rejective multiple test procedure",
Scandinavian Journal of Statistics 6, 1979), which keeps the chance of even one false "real" among them under the level.
Micro-F1 is the one figure that the runs are judged by and is not adjusted.

What this cannot tell: whether notes of another kind would show the same, and how a model trained again with another
seed would do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gateway.evaluation import scores
from gateway.evaluation.bootstrap import LEVEL, interval, resampled_sums
from gateway.evaluation.document import Run

RESAMPLES = 10_000
Verdict = Literal["better", "worse", "mixed", "no real difference"]


class ComparisonError(Exception):
    """The two runs cannot be compared."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of both runs.

    `difference` is the second run's minus the first one's, `low` and `high` its interval, `p` its p-value, adjusted
    where it is one of several; all None where the measure is not defined in both runs.
    """

    measure: str
    first: float | None
    second: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None

    @property
    def is_real(self) -> bool:
        """Whether the notes alone are no good explanation."""
        return self.p is not None and self.p < 1 - LEVEL


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs over the same notes; the first difference is that of micro-F1."""

    first: str
    second: str
    notes: int
    rule: str
    resamples: int
    seed: int
    differences: Sequence[Difference]

    @property
    def verdict(self) -> Verdict:
        """How the second run compares with the first one: `mixed` where some measures are really better, some worse."""
        real = [one.difference for one in self.differences if one.is_real and one.difference is not None]
        better, worse = any(one > 0 for one in real), any(one < 0 for one in real)
        if better and worse:
            return "mixed"
        return "better" if better else "worse" if worse else "no real difference"

    @property
    def is_worse(self) -> bool:
        """Whether the second run is really worse in micro-F1, a field's F1 or validity, whatever else is better."""
        return self.verdict in ("worse", "mixed")


def compare(first: Run, second: Run, *, rule: str = "exact", resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
    """Compare two runs over the same notes.

    Args:
        first: the run to compare with.
        second: the run to judge.
        rule: of `matching.RULES`, by which values are right.
        resamples: draws; the least p-value that they can show is 2 / (resamples + 1).
        seed: of the draws.

    Raises:
        ComparisonError: the runs are not over the same notes with the same expected answers in the same order.
    """
    if first.fields != second.fields:
        raise ComparisonError(
            f"the runs have other fields: {', '.join(first.fields)} and {', '.join(second.fields)}; "
            "evaluate both with one task"
        )
    if first.digest != second.digest or len(first.rows) != len(second.rows):
        raise ComparisonError(
            f"the runs are not over the same notes ({len(first.rows)} and {len(second.rows)}, or other texts, expected "
            "answers or order); evaluate both on one data set with one --limit"
        )
    names = [f"{rule}/micro/f1", *(f"{rule}/{field}/f1" for field in first.fields), "validity"]
    headline, *family = _differences(first, second, rule, names, resamples, seed)
    return Comparison(first.name, second.name, len(first.rows), rule, resamples, seed, (headline, *_adjusted(family)))


def _differences(
    first: Run, second: Run, rule: str, names: Sequence[str], resamples: int, seed: int
) -> list[Difference]:
    measures = {name: scores.measures(first.fields)[name] for name in names}
    columns = scores.columns(first.fields)
    kept = [at for at, name in enumerate(columns) if name.startswith((f"{rule}/", "notes/"))]
    chosen = [columns[at] for at in kept]
    rows = [[row[at] for row in pair for at in kept] for pair in zip(first.rows, second.rows, strict=True)]

    def both(sums: Sequence[int]) -> tuple[dict[str, int], dict[str, int]]:
        return (
            dict(zip(chosen, sums[: len(chosen)], strict=True)),
            dict(zip(chosen, sums[len(chosen) :], strict=True)),
        )

    draws: dict[str, list[float]] = {name: [] for name in names}
    for drawn in resampled_sums(rows, resamples, seed):
        one, other = both(drawn)
        for name, measure in measures.items():
            before, after = measure(one), measure(other)
            if before is not None and after is not None:
                draws[name].append(after - before)
    one, other = both([sum(column) for column in zip(*rows, strict=True)])
    return [_difference(name, measures[name](one), measures[name](other), draws[name]) for name in names]


def _difference(name: str, before: float | None, after: float | None, draws: Sequence[float]) -> Difference:
    if before is None or after is None or not draws:
        return Difference(name, before, after)
    down, up = sum(draw <= 0 for draw in draws), sum(draw >= 0 for draw in draws)
    p = min(1.0, 2 * (1 + min(down, up)) / (len(draws) + 1))
    low, high = interval(draws)
    return Difference(name, before, after, after - before, low, high, p)


def _adjusted(family: Sequence[Difference]) -> list[Difference]:
    """The differences with adjusted p-values, in their order."""
    tested = {one.measure: one.p for one in family if one.p is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return [replace(one, p=adjusted.get(one.measure)) for one in family]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order of the given ones.

    The least of n is multiplied by n, the next one by n - 1 and so on; none becomes less than one before it, or more
    than 1.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = highest
    return adjusted


def comparison_table(comparison: Comparison) -> str:
    """The comparison for a person at a terminal."""
    from gateway.evaluation.table import aligned, number

    rows = [["", "A", "B", "B - A", f"{LEVEL:.0%} interval", "p", ""]]
    for one in comparison.differences:
        between = "-" if one.low is None or one.high is None else f"{one.low:+.3f} to {one.high:+.3f}"
        change = "-" if one.difference is None else f"{one.difference:+.3f}"
        verdict = "" if not one.is_real else "better" if (one.difference or 0) > 0 else "worse"
        rows.append([_short(one), number(one.first), number(one.second), change, between, _p(one.p), verdict])
    return (
        f"A: {comparison.first}\nB: {comparison.second}\n"
        f"{comparison.notes} notes, F1 by the rule {comparison.rule}, paired bootstrap over notes "
        f"({comparison.resamples} resamples, seed {comparison.seed}); p of all but micro by Holm's method\n\n"
        f"{aligned(rows)}\nB against A: {comparison.verdict}\n"
    )


def _short(difference: Difference) -> str:
    parts = difference.measure.split("/")
    return parts[1] if len(parts) > 1 else parts[0]


def _p(p: float | None) -> str:
    return "-" if p is None else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"
