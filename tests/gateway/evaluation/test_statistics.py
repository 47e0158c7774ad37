"""Intervals, comparison, calibration and latency."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.evaluation.bootstrap import interval, percentile, resampled_sums
from gateway.evaluation.calibration import calibrate
from gateway.evaluation.comparison import Comparison, ComparisonError, Difference, compare, comparison_table, holm
from gateway.evaluation.document import Run
from gateway.evaluation.evaluation import evaluate
from gateway.evaluation.latency import measure
from gateway.evaluation.scores import columns
from tests.gateway.evaluation.cases import ANSWERS, DATASET, FIELDS


def test_percentiles_are_nearest_ranks() -> None:
    assert [percentile([1, 2, 3, 4], share) for share in (0.0, 0.25, 0.26, 0.5, 0.9, 1.0)] == [1, 1, 2, 2, 4, 4]
    assert percentile(list(range(1, 101)), 0.07) == 7  # 0.07 * 100 is a little more than 7 in binary


def test_an_interval_leaves_out_what_is_not_defined() -> None:
    # 40 values: 2.5 % of them is the first, 97.5 % the thirty-ninth
    assert interval([None, *range(1, 41), None], 0.95) == (1, 39)
    assert interval([None]) == (None, None)


def test_draws_are_of_whole_rows_and_the_same_for_one_seed() -> None:
    rows = [(1, 10, 0), (2, 20, 1), (3, 30, 2**20)]
    draws = list(resampled_sums(rows, 50, seed=1))
    assert draws == list(resampled_sums(rows, 50, seed=1)) != list(resampled_sums(rows, 50, seed=2))
    assert all(ten == 10 * one and 3 <= one <= 9 for one, ten, _ in draws)
    assert len(set(draws)) > 5


def test_an_interval_holds_the_share_that_it_should() -> None:
    """Of a share of 0.3 in 400 rows the standard error is sqrt(0.3 * 0.7 / 400) = 0.0229."""
    rows = [(int(number % 10 < 3),) for number in range(400)]
    low, high = interval([drawn / 400 for (drawn,) in resampled_sums(rows, 2000, seed=0)])
    assert low == pytest.approx(0.3 - 1.96 * 0.0229, abs=0.006)
    assert high == pytest.approx(0.3 + 1.96 * 0.0229, abs=0.006)


def run(stage_right: list[bool], name: str = "run", digest: str = "d") -> Run:
    """A run over notes that expect a stage, each given rightly or wrongly; the site is null throughout."""
    names = columns(FIELDS)
    rows = []
    for right in stage_right:
        row = dict.fromkeys(names, 0) | {"notes/all": 1, "notes/valid": 1}
        row |= {"exact/stage/right": int(right)}
        row |= {f"exact/stage/{outcome}": int(not right) for outcome in ("false_positive", "false_negative")}
        rows.append(tuple(row[column] for column in names))
    return Run(name, digest, FIELDS, rows)


def named(comparison: Comparison, name: str) -> Difference:
    return next(one for one in comparison.differences if one.measure == name)


def test_a_large_difference_is_real_and_a_small_one_is_not() -> None:
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


def test_the_table_says_what_is_real() -> None:
    text = comparison_table(compare(run([False] * 50, "a.json"), run([True] * 50, "b.json"), resamples=200))
    assert "A: a.json\nB: b.json\n" in text
    assert "B against A: better" in text
    stage = next(line.split() for line in text.splitlines() if line.startswith("stage"))
    assert stage == ["stage", "0.000", "1.000", "+1.000", "+1.000", "to", "+1.000", "0.0199", "better"]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (run([True] * 3, digest="other"), "not over the same notes"),
        (run([True] * 2), "not over the same notes"),
        (Run("x", "d", ("stage", "site"), run([True] * 3).rows), "other fields"),
    ],
)
def test_runs_over_other_notes_are_refused(other: Run, said: str) -> None:
    with pytest.raises(ComparisonError, match=said):
        compare(run([True] * 3), other, resamples=10)


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
    sure = calibrate([(0.75, False), (0.75, True), (0.95, True), (1.0, True)])
    assert sure is not None
    assert sure.ece == pytest.approx(0.1375)
    assert sure.auroc == pytest.approx(2.5 / 3)
    assert [one.values for one in sure.bins] == [0, 0, 0, 0, 0, 0, 0, 2, 0, 2]
    assert sure.bins[7].confidence == pytest.approx(0.75)
    assert sure.bins[7].right == 0.5
    assert (sure.bins[9].low, sure.bins[9].high) == (0.9, 1.0)


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
    sure = calibrate(points)
    assert sure is not None
    assert 0 <= sure.ece <= 1
    assert sum(one.values for one in sure.bins) == len(points)
    if sure.auroc is not None:
        right = [confidence for confidence, is_right in points if is_right]
        wrong = [confidence for confidence, is_right in points if not is_right]
        wins = sum((one > other) + 0.5 * (one == other) for one in right for other in wrong)
        assert sure.auroc == pytest.approx(wins / (len(right) * len(wrong)))


def test_latency_by_hand() -> None:
    took = measure([*range(1, 101), None])
    assert took is not None
    assert (took.answers, took.mean, took.p50, took.p90, took.p99, took.longest) == (100, 50.5, 50, 90, 99, 100)
    assert measure([None]) is None
