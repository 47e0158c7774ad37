"""Which differences between two runs are significant, and which the choice of notes alone would explain.

The paired bootstrap (P. Koehn, "Statistical Significance Tests for Machine Translation Evaluation", EMNLP 2004): the
same notes are drawn for both runs, and the difference of a measure is computed for each draw. The interval is the
percentile interval of those differences. The p-value is two-sided, twice the share of draws in which the difference is
zero or of the other sign, with one draw added on each side so that it is never 0 (A. C. Davison and D. V. Hinkley,
Bootstrap Methods and their Application, 1997, section 4.4).

Several fields are tested at once, and the more tests, the more of them seem significant by luck. So the p-values of the
fields and of validity are adjusted by Holm's method (S. Holm, "A simple sequentially rejective multiple test
procedure", Scandinavian Journal of Statistics 6, 1979), which keeps the chance of even one false finding among them
under the level. Micro-F1 is the one figure that the runs are judged by and is not adjusted.

What this cannot show: whether notes of another kind would give the same result, and how a model trained again with
another seed would do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gateway.evaluation import scores
from gateway.evaluation.bootstrap import LEVEL, defined, interval, resampled_sums
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
    def is_significant(self) -> bool:
        """Whether the choice of notes is no good explanation."""
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
        """How the second run compares: `mixed` where some measures are significantly better and some worse."""
        significant = [one.difference for one in self.differences if one.is_significant and one.difference is not None]
        better, worse = any(one > 0 for one in significant), any(one < 0 for one in significant)
        if better and worse:
            return "mixed"
        return "better" if better else "worse" if worse else "no real difference"

    @property
    def is_worse(self) -> bool:
        """Whether micro-F1, a field's F1 or validity is significantly worse in the second run, whatever is better."""
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
    headline, *family = _differences(first, second, names, resamples, seed)
    return Comparison(first.name, second.name, len(first.rows), rule, resamples, seed, (headline, *_adjusted(family)))


def _differences(first: Run, second: Run, names: Sequence[str], resamples: int, seed: int) -> list[Difference]:
    # Side by side, so that both runs' notes are drawn together.
    drawn = resampled_sums(np.hstack([first.rows, second.rows]), resamples, seed)
    before, after = (_measures(sums, first.fields) for sums in np.hsplit(drawn, 2))
    first_figures, second_figures = (_measures(run.rows.sum(axis=0), run.fields) for run in (first, second))
    return [
        _difference(
            name,
            defined(first_figures[name].item()),
            defined(second_figures[name].item()),
            after[name] - before[name],
        )
        for name in names
    ]


def _measures(sums: NDArray[np.generic], fields: Sequence[str]) -> dict[str, scores.FloatArray]:
    """Compute the measures of sums of shape (..., columns)."""
    return scores.measures(dict(zip(scores.columns(fields), sums.T, strict=True)), fields)


def _difference(name: str, before: float | None, after: float | None, draws: scores.FloatArray) -> Difference:
    draws = draws[~np.isnan(draws)]
    if before is None or after is None or not draws.size:
        return Difference(name, before, after)
    other_side = int(min(np.count_nonzero(draws <= 0), np.count_nonzero(draws >= 0)))
    p = min(1.0, 2 * (1 + other_side) / (draws.size + 1))
    return Difference(name, before, after, after - before, *interval(draws), p)


def _adjusted(family: Sequence[Difference]) -> list[Difference]:
    """Return the differences with adjusted p-values, in their order."""
    tested = {one.measure: one.p for one in family if one.p is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return [replace(one, p=adjusted.get(one.measure)) for one in family]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values, in the order of the given ones.

    The least of n is multiplied by n, the next one by n - 1 and so on; none becomes less than one before it, or more
    than 1.
    """
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * np.take(p_values, order)), 1)
    values: list[float] = adjusted.tolist()
    return values
