"""A discrete-event simulation of instances behind a balancer.

An instance is a gateway's gate (gateway/engine/gate.py: slots, a queue in the order of arrival with a bound and a
longest wait) before an engine that works on all its notes at once, the slower each the more there are. All notes are
alike, so those at an engine end in the order in which they began, and one number for each instance, how far a note that
was there from the beginning would be, says when: events are few, and a heap is all that they need. simpy would bring a
generator for each note and a dependency for sixty lines.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True)
class Engine:
    """What one instance does.

    Attributes:
        slots: notes at the engine at once.
        queue: notes that may wait for a slot.
        queue_timeout: seconds that one may wait.
        seconds: returns how long a note takes while so many are worked on.
    """

    slots: int
    queue: int
    queue_timeout: float
    seconds: Callable[[int], float]


class State(StrEnum):
    """Of an instance that is paid for."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


@dataclass(slots=True, eq=False)
class _Instance:
    """An instance that was started.

    Attributes:
        progress: work, in notes, that each note at the engine would have had done from the instance's start on.
        running: where `progress` must be for each note to end, in order; the wait that it had is beside it.
        waiting: numbers of the notes in the queue, in order, with their arrivals.
        version: of its next end, so that events that were overtaken are known.
    """

    state: State
    since: float
    progress: float = 0.0
    looked: float = 0.0
    running: deque[tuple[float, float, float]] = field(default_factory=deque)
    waiting: dict[int, float] = field(default_factory=dict)
    version: int = 0

    @property
    def load(self) -> int:
        """Notes that it has: gateway_running and gateway_queue_waiting together."""
        return len(self.running) + len(self.waiting)


@dataclass
class Result:
    """What came of it.

    Attributes:
        arrived: notes.
        refused: by what they were refused with, as in gateway_refusals.
        waits: seconds that each answered note waited for a slot.
        answers: seconds from arrival to answer.
        instance_seconds: that were paid for.
        serving: the number of serving instances from each time on.
    """

    arrived: int = 0
    refused: dict[str, int] = field(default_factory=lambda: {"queue_full": 0, "queue_timeout": 0, "no_instance": 0})
    waits: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    instance_seconds: float = 0.0
    serving: list[tuple[float, int]] = field(default_factory=list)


@dataclass(frozen=True)
class View:
    """What a policy sees at its tick.

    Attributes:
        now: seconds.
        serving: instances that take notes.
        starting: instances that will.
        load: of each serving instance on average, waiting and running.
    """

    now: float
    serving: int
    starting: int
    load: float


# Asked once a minute, as CloudWatch has a metric; returns how many instances are wanted.
Policy = Callable[[View], int]
TICK_SECONDS = 60.0


class Simulation:
    """A fleet that takes arrivals."""

    def __init__(self, engine: Engine, policy: Policy, *, first: int, start_seconds: float) -> None:
        """Make a fleet.

        Args:
            engine: of each instance.
            policy: how many there are.
            first: instances that serve at the beginning.
            start_seconds: from wanting one more to its first note.
        """
        self._engine = engine
        self._policy = policy
        self._start_seconds = start_seconds
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._instances = [_Instance(State.SERVING, 0.0) for _ in range(first)]
        self._now = 0.0
        self._end = math.inf
        self.result = Result()

    def run(self, arrivals: Iterable[float], seconds: float) -> Result:
        """Have the fleet take all arrivals and end what it has begun; what that takes longer is not paid for.

        Args:
            arrivals: in order.
            seconds: how long the policy is asked and instances are paid for.
        """
        self._end = seconds
        self._note_serving()
        self._at(TICK_SECONDS, self._tick)
        for time in arrivals:
            self._until(time)
            self._now = time
            self._arrive()
        self._until(math.inf)
        self._now = max(self._now, seconds)
        for instance in self._instances:
            self._pay(instance)
        return self.result

    def _at(self, time: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._numbers), event))

    def _until(self, time: float) -> None:
        while self._events and self._events[0][0] <= time:
            self._now, _, event = heapq.heappop(self._events)
            event()

    def _arrive(self) -> None:
        """Give a note to the serving instance with fewest, the first of several."""
        self.result.arrived += 1
        serving = [each for each in self._instances if each.state is State.SERVING]
        if not serving:
            self.result.refused["no_instance"] += 1
            return
        instance = min(serving, key=lambda each: each.load)
        if len(instance.running) < self._engine.slots:
            self._begin(instance, self._now)
        elif len(instance.waiting) >= self._engine.queue:
            self.result.refused["queue_full"] += 1
        else:
            number = next(self._numbers)
            instance.waiting[number] = self._now
            self._at(self._now + self._engine.queue_timeout, lambda: self._give_up(instance, number))

    def _give_up(self, instance: _Instance, number: int) -> None:
        if instance.waiting.pop(number, None) is not None:
            self.result.refused["queue_timeout"] += 1
            self._stop_if_drained(instance)

    def _begin(self, instance: _Instance, arrived: float) -> None:
        self._advance(instance)
        instance.running.append((instance.progress + 1.0, self._now - arrived, arrived))
        self._expect_end(instance)

    def _advance(self, instance: _Instance) -> None:
        """Count the work since the last change."""
        if instance.running:
            instance.progress += (self._now - instance.looked) / self._engine.seconds(len(instance.running))
        instance.looked = self._now

    def _expect_end(self, instance: _Instance) -> None:
        """Say when the first note at the engine ends, if nothing changes before."""
        instance.version += 1
        if instance.running:
            version = instance.version
            left = max(0.0, instance.running[0][0] - instance.progress)
            time = self._now + left * self._engine.seconds(len(instance.running))
            self._at(time, lambda: self._finish(instance, version))

    def _finish(self, instance: _Instance, version: int) -> None:
        if version != instance.version:
            return
        self._advance(instance)
        at, waited, arrived = instance.running.popleft()
        instance.progress = at  # exactly, whatever the sums of small parts say
        self.result.waits.append(waited)
        self.result.answers.append(self._now - arrived)
        if instance.waiting:
            number = next(iter(instance.waiting))
            self._begin(instance, instance.waiting.pop(number))
        else:
            self._expect_end(instance)
        self._stop_if_drained(instance)

    def _tick(self) -> None:
        """Ask the policy, and start or drain instances."""
        if self._now >= self._end:
            return
        serving = [each for each in self._instances if each.state is State.SERVING]
        starting = [each for each in self._instances if each.state is State.STARTING]
        load = sum(each.load for each in serving) / max(1, len(serving))
        more = self._policy(View(self._now, len(serving), len(starting), load)) - len(serving) - len(starting)
        for _ in range(more):
            instance = _Instance(State.STARTING, self._now)
            self._instances.append(instance)
            self._at(self._now + self._start_seconds, lambda one=instance: self._serve(one))  # type: ignore[misc]
        # The ones with least to do, so that they are drained soonest; never all.
        fewer = max(0, min(-more, len(serving) - 1))
        for instance in sorted(serving, key=lambda each: each.load)[:fewer]:
            instance.state = State.DRAINING
            self._stop_if_drained(instance)
        self._note_serving()
        self._at(self._now + TICK_SECONDS, self._tick)

    def _serve(self, instance: _Instance) -> None:
        instance.state = State.SERVING
        self._note_serving()

    def _stop_if_drained(self, instance: _Instance) -> None:
        if instance.state is State.DRAINING and not instance.load:
            self._pay(instance)
            self._instances.remove(instance)

    def _pay(self, instance: _Instance) -> None:
        self.result.instance_seconds += max(0.0, min(self._now, self._end) - instance.since)

    def _note_serving(self) -> None:
        number = sum(each.state is State.SERVING for each in self._instances)
        if not self.result.serving or self.result.serving[-1][1] != number:
            self.result.serving.append((min(self._now, self._end), number))
