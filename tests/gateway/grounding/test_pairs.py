"""Right values are found and their near misses are not, kind by kind; `pairs.yaml` has the pairs."""

from itertools import groupby

import pytest

from gateway.grounding.grounder import find_evidence
from tests.gateway.grounding.pairs import Pair, read

PAIRS = read()
KINDS = {kind: list(pairs) for kind, pairs in groupby(PAIRS, key=lambda pair: pair.kind)}


def test_there_are_pairs_of_both_sorts_for_every_kind() -> None:
    assert len(PAIRS) >= 300
    assert all({pair.is_right for pair in pairs} == {True, False} for pairs in KINDS.values())


@pytest.mark.parametrize("kind", KINDS)
def test_right_values_are_found(kind: str) -> None:
    assert [pair for pair in KINDS[kind] if pair.is_right and not pair.is_judged_right] == []


@pytest.mark.parametrize("kind", KINDS)
def test_near_misses_are_not_grounded(kind: str) -> None:
    assert [pair for pair in KINDS[kind] if not pair.is_right and not pair.is_judged_right] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_span_is_a_slice_of_the_text(kind: str) -> None:
    def is_true(pair: Pair) -> bool:
        return all(pair.text[span.start : span.end] == span.text for span in find_evidence(pair.text, pair.value))

    assert [pair for pair in KINDS[kind] if not is_true(pair)] == []
