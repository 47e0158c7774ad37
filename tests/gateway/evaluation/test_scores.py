"""Scores, against cases that were counted by hand, and what must hold for any answers."""

import random
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.evaluation.answers import Answer
from gateway.evaluation.dataset import Dataset, Example
from gateway.evaluation.evaluation import Evaluation, evaluate
from gateway.evaluation.matching import RULES
from gateway.evaluation.scores import Counts, columns, counts_of, measures, ratio
from tests.gateway.evaluation.cases import ANSWERS, DATASET, FIELDS

BY_HAND = {
    "exact/site/f1": 1 / 2,
    "exact/stage/precision": 1 / 2,
    "exact/stage/recall": 1 / 2,
    "exact/micro/precision": 1 / 2,
    "exact/micro/recall": 1 / 2,
    "exact/micro/f1": 1 / 2,
    "exact/macro/f1": 1 / 2,
    "exact/notes": 1 / 4,
    "normalised/micro/f1": 1 / 2,
    "items/site/f1": 1.0,
    "items/stage/f1": 1 / 2,
    "items/micro/precision": 4 / 5,
    "items/micro/recall": 4 / 5,
    "items/micro/f1": 4 / 5,
    "items/macro/f1": 3 / 4,
    "items/notes": 2 / 4,
    "null/site/precision": 1.0,
    "null/site/recall": 1 / 2,
    "null/all/precision": 1.0,
    "null/all/recall": 2 / 4,
    "invention/all/rate": 1 / 4,
    "invention/stage/rate": 1 / 2,
    "invention/all/expected_rate": 1 / 4,
    "invention/site/expected_rate": 0.0,
    "validity": 3 / 4,
    "nothing/recall": 1.0,
}


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Evaluate the case that was counted by hand."""
    return evaluate(DATASET, ANSWERS, FIELDS, resamples=0)


@pytest.mark.parametrize("name", BY_HAND)
def test_measures_counted_by_hand(evaluation: Evaluation, name: str) -> None:
    assert evaluation.value(name) == pytest.approx(BY_HAND[name])


def test_counts_counted_by_hand(evaluation: Evaluation) -> None:
    for field in FIELDS:
        assert counts_of(evaluation.sums, "exact", field) == Counts(right=1, false_positive=1, false_negative=1)
    assert counts_of(evaluation.sums, "exact", *FIELDS) == Counts(right=2, false_positive=2, false_negative=2)
    assert dict(evaluation.errors) == {"not_json": 1}
    assert dict(evaluation.repairs) == {"x": 1}


def test_a_measure_of_nothing_is_none_and_not_in_the_mean() -> None:
    dataset = Dataset("one", (Example(1, "liver", {"site": "liver", "stage": None}),))
    result = evaluate(dataset, (Answer({"site": "liver", "stage": None}),), FIELDS, resamples=20)
    assert result.estimates["exact/stage/f1"] == (None, None, None)
    assert result.value("exact/macro/f1") == 1.0
    assert result.value("nothing/recall") is None


def test_a_field_that_the_answer_has_not_is_no_null() -> None:
    """In a task whose fields depend on the first one."""
    dataset = Dataset("one", (Example(1, "Weather?", {"intent": "get_weather", "location": None}),))
    answers = (Answer({"intent": "get_weather", "location": None}),)
    result = evaluate(dataset, answers, ("intent", "location", "subject"), resamples=0)
    assert result.value("null/location/recall") == 1.0
    assert result.value("null/subject/recall") is None


def test_answers_that_are_not_one_for_each_note_are_refused() -> None:
    with pytest.raises(ValueError, match="4 examples and 3 answers"):
        evaluate(DATASET, ANSWERS[:3], FIELDS)


FIELD_METRICS = product(RULES, (*FIELDS, "micro", "macro"), ("precision", "recall", "f1"))
NULL_AND_INVENTION = product((*FIELDS, "all"), ("null/{}/precision", "null/{}/recall", "invention/{}/rate",
                                                "invention/{}/expected_rate"))  # fmt: skip
BY_NAME = [
    *(f"{rule}/{name}/{metric}" for rule, name, metric in FIELD_METRICS),
    *(f"{rule}/notes" for rule in RULES),
    *(measure.format(name) for name, measure in NULL_AND_INVENTION),
    "validity",
    "nothing/recall",
]
VALUES = st.none() | st.sampled_from(["liver", "brain, bone", "Bone and brain", "IV", ";", "a then b"])
PAIRS = st.lists(
    st.tuples(
        st.fixed_dictionaries({"site": VALUES, "stage": VALUES}),
        st.none() | st.fixed_dictionaries({"site": VALUES, "stage": VALUES}),
    ),
    min_size=1,
    max_size=12,
)
Pair = tuple[dict[str, str | None], dict[str, str | None] | None]


def evaluated(pairs: Sequence[Pair], resamples: int = 0) -> Evaluation:
    examples = tuple(Example(line, "liver, stage IV", expected) for line, (expected, _) in enumerate(pairs, start=1))
    answers = [Answer(given, None if given else "not_json") for _, given in pairs]
    return evaluate(Dataset("any", examples), answers, FIELDS, resamples=resamples)


@given(PAIRS)
@settings(max_examples=40, deadline=None)
def test_every_measure_is_a_share_within_its_interval_or_none(pairs: list[Pair]) -> None:
    result = evaluated(pairs, resamples=10)
    assert set(result.estimates) == set(BY_NAME)
    for value, low, high in result.estimates.values():
        assert value is None or 0 <= value <= 1
        assert (low is None) == (high is None)
        assert low is None or high is None or 0 <= low <= high <= 1


@given(PAIRS, st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_the_order_of_notes_does_not_count(pairs: list[Pair], seed: int) -> None:
    shuffled = random.Random(seed).sample(pairs, len(pairs))
    assert evaluated(pairs).estimates == evaluated(shuffled).estimates


@given(PAIRS)
@settings(max_examples=40, deadline=None)
def test_later_rules_are_more_lenient_and_expected_answers_perfect(pairs: list[Pair]) -> None:
    result = evaluated(pairs)
    assert result.sums["notes/exact"] <= result.sums["notes/normalised"] <= result.sums["notes/items"]
    perfect = evaluated([(expected, expected) for expected, _ in pairs])
    assert all(perfect.value(f"{rule}/micro/f1") in (None, 1.0) for rule in ("exact", "normalised", "items"))
    assert perfect.value("exact/notes") == 1.0


@given(PAIRS)
@settings(max_examples=20, deadline=None)
def test_the_measures_of_many_draws_are_those_of_each(pairs: list[Pair]) -> None:
    rows = evaluated(pairs).rows
    draws = [rows[:1].sum(axis=0), rows.sum(axis=0), np.zeros_like(rows[0])]
    together = measures(dict(zip(columns(FIELDS), np.transpose(draws), strict=True)), FIELDS)
    for at, sums in enumerate(draws):
        alone = measures(dict(zip(columns(FIELDS), sums.tolist(), strict=True)), FIELDS)
        assert {name: str(values[at]) for name, values in together.items()} == {
            name: str(value) for name, value in alone.items()
        }


def test_a_share_of_nothing_is_not_defined() -> None:
    assert ratio([1, 0, 0], [2, 3, 0]) == pytest.approx([0.5, 0, np.nan], nan_ok=True)


def test_columns_are_what_is_counted() -> None:
    names = columns(("stage",))
    assert len(names) == len(set(names)) == 3 * 3 + 3 + 4 + 3 + 4
