"""Requests are summed up by what they mean for a client."""

from __future__ import annotations

import pytest

from tests.support.notes_load import Outcome, Sent, outcome


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((), Outcome(0, 0, 0, 0.0)),
        ((200, 200), Outcome(2, 0, 0, 2.0)),
        ((200, 503, 429), Outcome(3, 0, 2, 3.0)),
        ((0, 500, 404, 200), Outcome(4, 3, 0, 4.0)),
    ],
)
def test_an_outcome_counts_failures_and_refusals_apart(statuses: tuple[int, ...], expected: Outcome) -> None:
    assert outcome([Sent(float(number), status) for number, status in enumerate(statuses, start=1)]) == expected
