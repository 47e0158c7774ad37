"""How far a figure would move with other notes of the same kind: the bootstrap over notes.

Notes are drawn with replacement, as many as there are, and every measure is computed for each draw. All measures of a
draw, and in a comparison both runs, see the same notes, which is what makes the bootstrap paired. The interval is the
percentile interval (B. Efron and R. J. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2000
LEVEL = 0.95
# Not computed from LEVEL: (1 - 0.95) / 2 is a little more than 0.025 in binary, and the rank would be one too high.
_TAILS = (0.025, 0.975)
# Bounds the memory for the weights of large data sets, 8 bytes each.
_WEIGHTS_AT_ONCE = 4_000_000


class Estimate(NamedTuple):
    """A measure's value and its interval; None where the measure is not defined, or no interval was asked for."""

    value: float | None
    low: float | None = None
    high: float | None = None


def resampled_sums(rows: NDArray[np.int64], resamples: int, seed: int) -> NDArray[np.float64]:
    """Return the columns' sums over resampled rows.

    Args:
        rows: one row of counts for each note, shape (notes, columns).
        resamples: number of draws.
        seed: the same seed gives the same draws of as many rows, with the same version of numpy.

    Returns:
        Shape (resamples, columns). The sums are whole numbers, exact below 2^53.
    """
    notes, columns = rows.shape
    values = rows.astype(np.float64)
    sums = np.empty((resamples, columns))
    rng = np.random.default_rng(seed)
    step = max(1, _WEIGHTS_AT_ONCE // notes)
    for start in range(0, resamples, step):
        draws = min(step, resamples - start)
        # How often each note is in each draw.
        weights = rng.multinomial(notes, np.full(notes, 1 / notes), size=draws)
        sums[start : start + draws] = weights.astype(np.float64) @ values
    return sums


def interval(values: ArrayLike) -> tuple[float | None, float | None]:
    """Return the percentile interval of `LEVEL`; draws in which the measure is not defined (NaN) are left out."""
    draws = np.asarray(values, dtype=np.float64)
    draws = draws[~np.isnan(draws)]
    if not draws.size:
        return None, None
    low, high = percentiles(draws, _TAILS)
    return low, high


def percentiles(values: ArrayLike, shares: Sequence[float]) -> list[float]:
    """Return nearest-rank percentiles: for each share the least value that at least this share do not exceed."""
    ranked: list[float] = np.quantile(np.asarray(values, dtype=np.float64), shares, method="inverted_cdf").tolist()
    return ranked


def defined(value: float) -> float | None:
    """Return a measure's value as a number, None where it is NaN."""
    return None if np.isnan(value) else float(value)
