"""How far a figure would move with other notes of the same kind: the bootstrap over notes.

Notes are drawn with replacement, as many as there are, and every measure is taken of each draw. All measures of a draw,
and in a comparison both runs, see the same notes, which is what makes the bootstrap paired. The interval is the
percentile interval (B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

RESAMPLES = 2000
LEVEL = 0.95
_SLOT_BITS = 32


class Estimate(NamedTuple):
    """A measure's value and its interval; None where the measure is not defined, or no interval was asked for."""

    value: float | None
    low: float | None = None
    high: float | None = None


def resampled_sums(rows: Sequence[Sequence[int]], resamples: int, seed: int) -> Iterator[tuple[int, ...]]:
    """The columns' sums over resampled rows.

    Args:
        rows: a row of small whole numbers for each note, none negative.
        resamples: how many draws.
        seed: the same seed gives the same draws of as many rows.
    """
    # A row becomes one integer with a slot for each column, so that a draw is one sum of integers: thirty times as fast
    # as adding lists, and numpy is not among the gateway's dependencies.
    width = len(rows[0])
    packed = [sum(number << (_SLOT_BITS * slot) for slot, number in enumerate(row)) for row in rows]
    layout = struct.Struct(f"<{width}I")
    rng = random.Random(seed)  # noqa: S311 - statistics, not secrets
    for _ in range(resamples):
        total = sum(rng.choices(packed, k=len(packed)))
        yield layout.unpack(total.to_bytes(layout.size, "little"))


def interval(values: Sequence[float | None], level: float = LEVEL) -> tuple[float | None, float | None]:
    """The percentile interval; draws in which the measure is not defined are left out."""
    ordered = sorted(value for value in values if value is not None)
    if not ordered:
        return None, None
    tail = (1 - level) / 2
    return percentile(ordered, tail), percentile(ordered, 1 - tail)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of sorted values: the least one that at least `share` of them do not exceed."""
    return ordered[max(0, math.ceil(round(share * len(ordered), 9)) - 1)]
