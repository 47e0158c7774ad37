"""The page's pictures, as SVG inside of it."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from gateway.evaluation.bootstrap import Estimate
from gateway.evaluation.calibration import Calibration
from gateway.evaluation.markup import element

_SIDE, _MARGIN = 260, 40
_BARS = 46
_BAR_WIDTH = 150


def reliability(calibration: Calibration) -> Element:
    """The reliability picture: share of right values over confidence, and below how many values are in each bin.

    Points on the diagonal are well calibrated; below it the model is too sure (M. H. DeGroot and S. E. Fienberg, "The
    Comparison and Evaluation of Forecasters", The Statistician 32, 1983). A point's area grows with its bin.
    """
    most = max(one.values for one in calibration.bins)
    width, height = _MARGIN + _SIDE + 16, 12 + _SIDE + 40 + _BARS

    def x(share: float) -> float:
        return round(_MARGIN + share * _SIDE, 1)

    def y(share: float) -> float:
        return round(12 + (1 - share) * _SIDE, 1)

    parts = [element("rect", x=x(0), y=y(1), width=_SIDE, height=_SIDE, class_="frame")]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts += [
            element("line", x1=x(tick), x2=x(tick), y1=y(0), y2=y(1), class_="grid"),
            element("line", x1=x(0), x2=x(1), y1=y(tick), y2=y(tick), class_="grid"),
            element("text", f"{tick:g}", x=x(0) - 6, y=y(tick) + 4, text_anchor="end"),
            element("text", f"{tick:g}", x=x(tick), y=y(0) + 16, text_anchor="middle"),
        ]
    parts.append(element("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="diagonal"))
    base = height - 4
    for one in calibration.bins:
        if one.confidence is None or one.right is None:
            continue
        tall = round(_BARS * one.values / most, 1)
        said = (
            f"{one.low:.1f} to {one.high:.1f}: {one.values} values, mean confidence {one.confidence:.3f}, "
            f"{one.right:.1%} right"
        )
        parts += [
            element(
                "line", x1=x(one.confidence), x2=x(one.confidence), y1=y(one.confidence), y2=y(one.right), class_="gap"
            ),
            element(
                "circle",
                element("title", said),
                cx=x(one.confidence),
                cy=y(one.right),
                r=round(3 + 6 * (one.values / most) ** 0.5, 1),
                class_="point",
            ),
            element(
                "rect",
                element("title", said),
                x=x(one.low) + 1,
                y=base - tall,
                width=_SIDE / len(calibration.bins) - 2,
                height=tall,
                class_="bar",
            ),
        ]
    parts += [
        element("text", "confidence", x=x(0.5), y=y(0) + 30, text_anchor="middle"),
        element("text", "share right", x=12, y=y(0.5), text_anchor="middle", transform=f"rotate(-90 12 {y(0.5)})"),
    ]
    label = f"Reliability of confidence: expected calibration error {calibration.ece:.3f}"
    return element("svg", *parts, viewBox=f"0 0 {width} {height}", class_="chart", role="img", aria_label=label)


def bar(estimate: Estimate) -> Element:
    """A score from 0 to 1 as a bar with its interval as a whisker."""

    def x(share: float) -> float:
        return round(share * _BAR_WIDTH, 1)

    parts = [
        element("rect", x=0, y=3, width=_BAR_WIDTH, height=10, class_="track"),
        element("rect", x=0, y=3, width=x(estimate.value or 0.0), height=10, class_="bar"),
    ]
    if estimate.low is not None and estimate.high is not None:
        low, high = x(estimate.low), x(estimate.high)
        parts.append(element("path", d=f"M{low} 8H{high}M{low} 4V12M{high} 4V12", class_="whisker"))
    return element("svg", *parts, viewBox=f"-1 0 {_BAR_WIDTH + 2} 16", class_="strip", aria_hidden="true")
