"""Whether a confidence of 0.8 means right in 8 of 10 cases.

The given values are put into bins of equal width by their confidence. The expected calibration error (ECE) is the mean
over the bins, weighted by their sizes, of the distance between a bin's share of right values and its mean confidence
(M. Pakdaman Naeini, G. Cooper and M. Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning",
AAAI 2015; as C. Guo and others use it in "On Calibration of Modern Neural Networks", ICML 2017).

The area under the ROC curve says, whatever the scale, how well confidence separates right values from wrong ones: the
probability that a right one has the higher confidence, ties counted half (J. A. Hanley and B. J. McNeil, Radiology 143,
1982). 0.5 is no better than chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Values with a confidence of `low` to `high`; `confidence` and `right` are means, None where it is empty."""

    low: float
    high: float
    values: int
    confidence: float | None
    right: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """The bins, the expected calibration error, and the area under the ROC curve (None where all or none is right)."""

    values: int
    ece: float
    auroc: float | None
    bins: Sequence[Bin]


def calibrate(points: Sequence[tuple[float, bool]]) -> Calibration | None:
    """Measure calibration.

    Args:
        points: for each value its confidence, 0 to 1, and whether it is right.

    Returns:
        None where there is no value with a confidence.
    """
    if not points:
        return None
    confidence, right = np.array(points, dtype=np.float64).T
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    sizes = np.bincount(bins, minlength=BINS)
    confidence_sums = np.bincount(bins, weights=confidence, minlength=BINS)
    right_sums = np.bincount(bins, weights=right, minlength=BINS)
    # A bin's size cancels out: size / all * |right / size - confidence / size|.
    ece = float(np.abs(right_sums - confidence_sums).sum() / len(points))
    return Calibration(
        len(points),
        ece,
        _auroc(confidence, right.astype(bool)),
        [
            Bin(at / BINS, (at + 1) / BINS, int(size), *((float(c / size), float(r / size)) if size else (None, None)))
            for at, (size, c, r) in enumerate(zip(sizes, confidence_sums, right_sums, strict=True))
        ],
    )


def _auroc(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float | None:
    """Compute the area from the ranks of the right values, tied ones sharing their mean rank (Mann-Whitney)."""
    positives, negatives = int(right.sum()), int((~right).sum())
    if not positives or not negatives:
        return None
    _, group, sizes = np.unique(confidence, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(sizes) - (sizes - 1) / 2
    rank_sum = mean_ranks[group[right]].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))
