"""How long the answers took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.evaluation.bootstrap import percentile


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from sending a note to its whole answer, as the client saw them; percentiles by nearest rank."""

    answers: int
    mean: float
    p50: float
    p90: float
    p99: float
    longest: float


def measure(seconds: Iterable[float | None]) -> Latency | None:
    """The latency of the answers of which it is known; None where it is of none."""
    known = sorted(one for one in seconds if one is not None)
    if not known:
        return None
    return Latency(
        len(known),
        sum(known) / len(known),
        percentile(known, 0.5),
        percentile(known, 0.9),
        percentile(known, 0.99),
        known[-1],
    )
