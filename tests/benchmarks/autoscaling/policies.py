"""How many instances there are to be: always as many, by the clock, or by the gateways' queues."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from tests.benchmarks.autoscaling.arrivals import HOUR
from tests.benchmarks.autoscaling.simulation import View


@dataclass(frozen=True)
class Fixed:
    """Always the same number."""

    count: int

    def __call__(self, _: View) -> int:
        """Return how many are wanted."""
        return self.count


@dataclass(frozen=True)
class ByTheClock:
    """One number by day and one by night, as scheduled actions of an Auto Scaling group set them.

    Attributes:
        day: instances from `begin` to `end`, hours.
        night: instances else.
    """

    day: int
    night: int
    begin: float = 7.0
    end: float = 19.0

    def __call__(self, view: View) -> int:
        """Return how many are wanted."""
        return self.day if self.begin <= view.now / HOUR % 24 < self.end else self.night


@dataclass
class TargetTracking:
    """As many as bring the load of each to a target: the shape of an Auto Scaling group's target tracking.

    It adds what is missing at once when the load was above the target for some minutes, and takes one away when it was
    well below for long. The figures are those that AWS's alarms of such a policy have as far as is known here.

    Attributes:
        target: waiting and running notes of each serving instance.
        least: instances that there are always.
        most: instances that there may be.
        above: minutes above the target before there are more.
        below: minutes below nine tenths of it before there are fewer.
        pause: minutes after a change in which none is taken away.
    """

    target: float
    least: int = 1
    most: int = 4
    above: int = 3
    below: int = 15
    pause: int = 5
    _loads: deque[float] = field(default_factory=deque)
    _since_change: int = 0

    def __call__(self, view: View) -> int:
        """Return how many are wanted."""
        self._loads.append(view.load)
        if len(self._loads) > self.below:
            self._loads.popleft()
        self._since_change += 1
        here = view.serving + view.starting
        wanted = here
        recent = list(self._loads)[-self.above :]
        if len(recent) == self.above and min(recent) > self.target:
            wanted = max(here, math.ceil(view.serving * view.load / self.target))
        elif len(self._loads) == self.below and max(self._loads) < 0.9 * self.target and not view.starting:
            # Not where those that are left would be above the target again.
            fits = view.load * view.serving <= 0.9 * self.target * (view.serving - 1)
            wanted = here - 1 if fits and self._since_change > self.pause else here
        wanted = min(self.most, max(self.least, wanted))
        if wanted != here:
            self._since_change = 0
            if wanted < here:
                self._loads.clear()
        return wanted
