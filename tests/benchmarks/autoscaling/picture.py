"""A picture of arrivals and capacity over time, as SVG: two curves and axes need no library that draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 10, 30, 40
_COLOURS = ("#4878a8", "#c06014", "#3a7d44")


@dataclass(frozen=True)
class Curve:
    """Something over time.

    Attributes:
        name: for the legend.
        points: times in hours with values, in order.
        steps: whether a value holds until the next one.
    """

    name: str
    points: Sequence[tuple[float, float]]
    steps: bool = False


@dataclass(frozen=True)
class Panel:
    """Curves in one pair of axes."""

    title: str
    hours: float
    curves: Sequence[Curve]


def draw(panels: Sequence[Panel], unit: str) -> str:
    """Return the picture, a panel below the other.

    Args:
        panels: from the top.
        unit: of the values.
    """
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT * len(panels)}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate(0 {HEIGHT * number})">', *_panel(panel, unit), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel, unit: str) -> list[str]:
    highest = max(value for curve in panel.curves for _, value in curve.points)
    step = _step(highest)
    top = step * math.ceil(highest / step)
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def place(hours: float, value: float) -> tuple[float, float]:
        return _LEFT + width * hours / panel.hours, _TOP + height * (1 - value / top)

    parts = [f'<text x="{_LEFT}" y="18" font-weight="bold">{escape(panel.title)}</text>']
    for number in range(round(top / step) + 1):
        _, y = place(0, number * step)
        parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number * step:g}</text>')
    every = _step(panel.hours)
    for number in range(int(panel.hours / every) + 1):
        x, y = place(number * every, 0)
        parts.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{number * every:g} h</text>')
    for number, curve in enumerate(panel.curves):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in _drawn(curve, panel.hours)))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        x = _LEFT + 230 * number
        parts.append(f'<line x1="{x}" x2="{x + 20}" y1="{HEIGHT - 8}" y2="{HEIGHT - 8}" stroke="{colour}"/>')
        parts.append(f'<text x="{x + 26}" y="{HEIGHT - 4}">{escape(curve.name)}</text>')
    parts.append(f'<text x="{WIDTH - _RIGHT}" y="18" text-anchor="end">{escape(unit)}</text>')
    return parts


def _drawn(curve: Curve, hours: float) -> list[tuple[float, float]]:
    """Return a curve's corners."""
    if not curve.steps:
        return list(curve.points)
    corners = []
    for (begin, value), (end, _) in zip(curve.points, [*curve.points[1:], (hours, 0.0)], strict=True):
        corners += [(begin, value), (end, value)]
    return corners


def _step(highest: float) -> float:
    """Return a round distance of at most eight marks up to a value."""
    for power in range(-2, 6):
        for digit in (1, 2, 5):
            if highest / (digit * 10.0**power) <= 8:
                return digit * 10.0**power
    raise ValueError(f"{highest} is too high")
