"""Whether a confidence of 0.8 means right in 8 of 10 cases.

The given values are put into bins of equal width by their confidence. The expected calibration error (ECE) is the mean
over the bins, weighted by their sizes, of the distance between a bin's share of right values and its mean confidence
(M. Pakdaman Naeini, G. Cooper and M. Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning",
AAAI 2015; as C. Guo and others use it in "On Calibration of Modern Neural Networks", ICML 2017).

The area under the ROC curve says, whatever the scale, how well confidence tells right values from wrong ones: the
probability that a right one has the higher confidence, ties counted half (J. A. Hanley and B. J. McNeil, Radiology 143,
1982). 0.5 is no better than chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    binned: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for confidence, right in points:
        binned[min(BINS - 1, int(confidence * BINS))].append((confidence, right))
    bins = [_bin(number / BINS, (number + 1) / BINS, inside) for number, inside in enumerate(binned)]
    ece = sum(
        one.values * abs(one.right - one.confidence)
        for one in bins
        if one.right is not None and one.confidence is not None
    ) / len(points)
    return Calibration(len(points), ece, _auroc(points), bins)


def _bin(low: float, high: float, inside: Sequence[tuple[float, bool]]) -> Bin:
    if not inside:
        return Bin(low, high, 0, None, None)
    count = len(inside)
    return Bin(low, high, count, sum(c for c, _ in inside) / count, sum(right for _, right in inside) / count)


def _auroc(points: Sequence[tuple[float, bool]]) -> float | None:
    """From the ranks of the right values, tied ones sharing their mean rank (the Mann-Whitney statistic)."""
    right = sum(is_right for _, is_right in points)
    wrong = len(points) - right
    if not right or not wrong:
        return None
    ordered = sorted(points)
    ranks, at = 0.0, 0
    while at < len(ordered):
        end = at
        while end < len(ordered) and ordered[end][0] == ordered[at][0]:
            end += 1
        ranks += sum(is_right for _, is_right in ordered[at:end]) * (at + 1 + end) / 2
        at = end
    return (ranks - right * (right + 1) / 2) / (right * wrong)
