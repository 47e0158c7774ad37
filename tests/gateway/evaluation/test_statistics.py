"""Intervals, comparison, calibration and latency."""

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.evaluation.bootstrap import interval, percentiles, resampled_sums
from gateway.evaluation.calibration import calibrate
from gateway.evaluation.comparison import Comparison, ComparisonError, Difference, compare, holm
from gateway.evaluation.document import Run
from gateway.evaluation.evaluation import evaluate
from gateway.evaluation.latency import Latency, measure
from gateway.evaluation.scores import columns
from gateway.evaluation.table import comparison_table
from tests.gateway.evaluation.cases import ANSWERS, DATASET, FIELDS


def test_percentiles_are_nearest_ranks() -> None:
    assert percentiles([4, 1, 3, 2], [0.0, 0.25, 0.26, 0.5, 0.9, 1.0]) == [1, 1, 2, 2, 4, 4]


@pytest.mark.parametrize("share", ["0.025", "0.5", "0.9", "0.975", "0.99"])
def test_percentiles_have_the_rank_of_exact_arithmetic(share: str) -> None:
    """The shares that are asked for have no exact binary form; for none of these sizes does that move the rank."""
    for size in (*range(1, 401), 1000, 2000, 10_000):
        rank = math.ceil(Fraction(share) * size)
        assert percentiles(np.arange(1, size + 1), [float(share)]) == [rank]


def test_an_interval_leaves_out_what_is_not_defined() -> None:
    # 40 values: 2.5 % of them is the first, 97.5 % the thirty-ninth
    assert interval([math.nan, *range(1, 41), math.nan]) == (1, 39)
    assert interval([math.nan]) == (None, None)
    assert interval([]) == (None, None)


def test_draws_are_of_whole_rows_and_the_same_for_one_seed() -> None:
    rows = np.array([(1, 10, 0), (2, 20, 1), (3, 30, 2**40)])
    draws = resampled_sums(rows, 50, seed=1)
    assert draws.shape == (50, 3)
    assert draws.tolist() == resampled_sums(rows, 50, seed=1).tolist() != resampled_sums(rows, 50, seed=2).tolist()
    assert all(ten == 10 * one and 3 <= one <= 9 for one, ten, _ in draws)
    assert len(np.unique(draws, axis=0)) > 5


def test_draws_do_not_depend_on_how_many_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.arange(14).reshape(7, 2)
    at_once = resampled_sums(rows, 50, seed=1)
    monkeypatch.setattr("gateway.evaluation.bootstrap._WEIGHTS_AT_ONCE", 20)
    assert resampled_sums(rows, 50, seed=1).tolist() == at_once.tolist()


def test_draws_have_the_bootstraps_distribution() -> None:
    """Against all 4^4 equally likely draws of four rows: each sum comes up as often as among them, within chance."""
    numbers = (0, 1, 3, 10)
    drawn = resampled_sums(np.array(numbers)[:, np.newaxis], 20_000, seed=0)[:, 0]
    exact = np.array([sum(draw) for draw in product(numbers, repeat=4)])
    for total in np.unique(exact):
        share = np.mean(exact == total)
        # five standard errors
        assert np.mean(drawn == total) == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / 20_000))
    assert set(drawn) <= set(exact)


def test_an_interval_holds_the_share_that_it_should() -> None:
    """Of a share of 0.3 in 400 rows the standard error is sqrt(0.3 * 0.7 / 400) = 0.0229."""
    rows = np.array([(int(number % 10 < 3),) for number in range(400)])
    low, high = interval(resampled_sums(rows, 2000, seed=0)[:, 0] / 400)
    assert low == pytest.approx(0.3 - 1.96 * 0.0229, abs=0.006)
    assert high == pytest.approx(0.3 + 1.96 * 0.0229, abs=0.006)


def run(stage_right: list[bool], name: str = "run", digest: str = "d") -> Run:
    """Return a run over notes that expect a stage, each given rightly or wrongly; the site is null throughout."""
    names = columns(FIELDS)
    rows = []
    for right in stage_right:
        row = dict.fromkeys(names, 0) | {"notes/all": 1, "notes/valid": 1}
        row |= {"exact/stage/right": int(right)}
        row |= {f"exact/stage/{outcome}": int(not right) for outcome in ("false_positive", "false_negative")}
        rows.append(tuple(row[column] for column in names))
    return Run(name, digest, FIELDS, np.array(rows))


def named(comparison: Comparison, name: str) -> Difference:
    return next(one for one in comparison.differences if one.measure == name)


def test_a_large_difference_is_significant_and_a_small_one_is_not() -> None:
    before = run([True] * 30 + [False] * 70)
    better = compare(before, run([True] * 60 + [False] * 40), resamples=1000)
    stage = named(better, "exact/stage/f1")
    # wrong values count twice, so F1 is the share of right ones: 0.6 and 0.3
    assert stage.first == pytest.approx(0.3)
    assert stage.second == pytest.approx(0.6)
    assert stage.difference == pytest.approx(0.3)
    assert stage.low is not None
    assert stage.low > 0.15
    assert better.verdict == "better"
    assert not better.is_worse
    worse = compare(run([True] * 60 + [False] * 40), before, resamples=1000)
    assert worse.verdict == "worse"
    assert worse.is_worse
    luck = compare(before, run([True] * 32 + [False] * 68), resamples=1000)
    assert luck.verdict == "no real difference"


def test_the_least_p_is_two_draws_and_holm_multiplies_it_by_the_tests() -> None:
    """Every draw of 100 notes, all better, is better: p = 2 * (1 + 0) / (999 + 1) = 0.002.

    Micro is not adjusted. Of the fields and validity, two are defined: the stage has the least p, so it counts twice;
    validity is equal in both, p = 1. The site has no value anywhere, so nothing is tested there.
    """
    comparison = compare(run([False] * 100), run([True] * 100), resamples=999)
    assert named(comparison, "exact/micro/f1").p == pytest.approx(0.002)
    assert named(comparison, "exact/stage/f1").p == pytest.approx(0.004)
    assert named(comparison, "validity").p == 1.0
    assert named(comparison, "exact/site/f1").p is None


def test_holm_by_hand() -> None:
    # 0.01 * 3, then 0.03 * 2, then 0.04 * 1, which may not be less than the one before it
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_table_says_what_is_significant() -> None:
    text = comparison_table(compare(run([False] * 50, "a.json"), run([True] * 50, "b.json"), resamples=200))
    assert "A: a.json\nB: b.json\n" in text
    assert "B against A: better" in text
    stage = next(line.split() for line in text.splitlines() if line.startswith("stage"))
    assert stage == ["stage", "0.000", "1.000", "+1.000", "+1.000", "to", "+1.000", "0.0199", "better"]


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (run([True] * 3, digest="other"), "not over the same notes"),
        (run([True] * 2), "not over the same notes"),
        (Run("x", "d", ("stage", "site"), run([True] * 3).rows), "other fields"),
    ],
)
def test_runs_over_other_notes_are_refused(other: Run, problem: str) -> None:
    with pytest.raises(ComparisonError, match=problem):
        compare(run([True] * 3), other, resamples=10)


def by_the_definition(before: Sequence[bool], after: Sequence[bool]) -> tuple[float, float]:
    """Return the shares of all equally likely draws in which the second run is no better, and no worse."""
    differences = [after[at] - before[at] for at in range(len(before))]
    draws = [sum(draw) for draw in product(differences, repeat=len(differences))]
    return sum(draw <= 0 for draw in draws) / len(draws), sum(draw >= 0 for draw in draws) / len(draws)


@pytest.mark.parametrize("after", ["11110", "01111", "11111", "00001", "10101"])
def test_p_values_are_those_of_all_draws(after: str) -> None:
    """Five notes have 5^5 draws, few enough to list; a wrong stage counts twice, so F1 is the share of right ones."""
    first, second = [False, False, True, False, True], [each == "1" for each in after]
    p = named(compare(run(first), run(second), resamples=20_000), "exact/micro/f1").p
    assert p == pytest.approx(min(1, 2 * min(by_the_definition(first, second))), abs=0.02)


def holm_by_the_definition(p_values: Sequence[float]) -> list[float]:
    """Return the greatest of all (n - rank + 1) * p up to this value's own rank, 1 at most."""
    ranked = sorted(p_values)
    return [
        min(1, max((len(ranked) - rank) * other for rank, other in enumerate(ranked[: ranked.index(p) + 1])))
        for p in p_values
    ]


@given(st.lists(st.floats(0, 1), max_size=12, unique=True))
def test_holm_is_its_definition(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(holm_by_the_definition(p_values))


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_a_run_does_not_differ_from_itself(right: list[bool], seed: int) -> None:
    comparison = compare(run(right), run(right), resamples=50, seed=seed)
    assert comparison.verdict == "no real difference"
    assert all(one.difference in (0.0, None) and one.p in (1.0, None) for one in comparison.differences)


def test_calibration_by_hand() -> None:
    """Two bins: 0.75 (wrong) and 0.75 (right); 0.95 (right), 1.0 (right).

    |0.5 - 0.75| = 0.25 and |1 - 0.975| = 0.025, each of 2 in 4 values: 0.1375. Of the pairs of a right and a wrong
    value, 0.75 ties with 0.75, the other two are ordered: (0.5 + 1 + 1) / 3.
    """
    result = calibrate([(0.75, False), (0.75, True), (0.95, True), (1.0, True)])
    assert result is not None
    assert result.ece == pytest.approx(0.1375)
    assert result.auroc == pytest.approx(2.5 / 3)
    assert [one.values for one in result.bins] == [0, 0, 0, 0, 0, 0, 0, 2, 0, 2]
    assert result.bins[7].confidence == pytest.approx(0.75)
    assert result.bins[7].right == 0.5
    assert (result.bins[9].low, result.bins[9].high) == (0.9, 1.0)


def test_calibration_of_the_case_by_hand() -> None:
    """The rule is `normalised`: site of line 1 (0.75) and stage of line 2 (0.55) are wrong, 1.0 and 0.95 right.

    (0.75 + 0.55 + |1 - 0.975| * 2) / 4; nulls have no part in it.
    """
    result = evaluate(DATASET, ANSWERS, FIELDS, resamples=0)
    assert result.calibration is not None
    assert result.calibration.values == 4
    assert result.calibration.ece == pytest.approx((0.75 + 0.55 + 0.05) / 4)
    assert result.calibration.auroc == 1.0


def test_no_confidence_is_no_calibration() -> None:
    assert calibrate([]) is None
    all_right = calibrate([(0.5, True)])
    assert all_right is not None
    assert all_right.auroc is None


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_calibration_is_a_share_and_loses_no_value(points: list[tuple[float, bool]]) -> None:
    result = calibrate(points)
    assert result is not None
    assert 0 <= result.ece <= 1
    assert sum(one.values for one in result.bins) == len(points)
    inside = [[point for point in points if min(9, int(point[0] * 10)) == bin_] for bin_ in range(10)]
    gaps = [abs(sum(right for _, right in bin_) - sum(confidence for confidence, _ in bin_)) for bin_ in inside]
    assert result.ece == pytest.approx(sum(gaps) / len(points))
    assert [one.values for one in result.bins] == [len(bin_) for bin_ in inside]
    assert (result.auroc is None) == (len({is_right for _, is_right in points}) == 1)
    if result.auroc is not None:
        right = [confidence for confidence, is_right in points if is_right]
        wrong = [confidence for confidence, is_right in points if not is_right]
        wins = sum((one > other) + 0.5 * (one == other) for one in right for other in wrong)
        assert result.auroc == pytest.approx(wins / (len(right) * len(wrong)))


def test_latency_by_hand() -> None:
    latency = measure([*range(1, 101), None])
    assert latency == Latency(answers=100, mean=50.5, p50=50, p90=90, p99=99, longest=100)
    assert measure([None]) is None
