"""How long the answers took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gateway.evaluation.bootstrap import percentiles


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
    """Return the latency of the answers that were timed; None where none was."""
    timed = [value for value in seconds if value is not None]
    if not timed:
        return None
    return Latency(len(timed), float(np.mean(timed)), *percentiles(timed, [0.5, 0.9, 0.99, 1.0]))
