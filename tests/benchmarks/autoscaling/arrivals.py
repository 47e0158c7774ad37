"""When notes arrive: non-homogeneous Poisson processes, made by thinning, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

HOUR = 3600.0
# Of the busiest hour, for each hour of a day. Assumed, not recorded: little at night, ward rounds in the morning, a
# noon with less, discharge letters in the afternoon, and the late shift.
HOSPITAL = (
    *(0.06, 0.05, 0.05, 0.05, 0.06, 0.10),
    *(0.25, 0.55, 0.80, 0.95, 1.00, 0.90),
    *(0.65, 0.70, 0.90, 0.95, 0.80, 0.55),
    *(0.35, 0.28, 0.22, 0.15, 0.10, 0.08),
)


@dataclass(frozen=True)
class Arrivals:
    """Arrivals that are generated.

    Attributes:
        name: for tables.
        seconds: how long they last.
        most: notes a second that are never exceeded, as `rate` must keep to.
        rate: returns the expected notes a second at a time.
        seed: of the generator.
    """

    name: str
    seconds: float
    most: float
    rate: Callable[[float], float]
    seed: int = 17

    def times(self) -> Iterator[float]:
        """Yield the times in order: candidates at the highest rate, each kept with the probability of the rate then.

        Raises:
            ValueError: the rate exceeds `most`.
        """
        chance = random.Random(self.seed)
        now = 0.0
        while (now := now + chance.expovariate(self.most)) < self.seconds:
            rate = self.rate(now)
            if rate > self.most:
                raise ValueError(f"{rate} notes a second are more than {self.most}")
            if chance.random() * self.most < rate:
                yield now


def hospital(peak: float) -> Arrivals:
    """Return a day from midnight to midnight, with straight lines between the middles of its hours.

    Args:
        peak: notes a second in the busiest hour.
    """

    def rate(now: float) -> float:
        place = now / HOUR - 0.5
        hour, part = int(place // 1), place % 1
        return peak * (HOSPITAL[hour % 24] * (1 - part) + HOSPITAL[(hour + 1) % 24] * part)

    return Arrivals("a day of a hospital", 24 * HOUR, peak, rate)


def burst(base: float, high: float) -> Arrivals:
    """Return two hours in which somebody sends much for a quarter of an hour.

    Args:
        base: notes a second before and after.
        high: from half an hour on.
    """

    def rate(now: float) -> float:
        return high if 0.5 * HOUR <= now < 0.75 * HOUR else base

    return Arrivals("a burst", 2 * HOUR, high, rate)
