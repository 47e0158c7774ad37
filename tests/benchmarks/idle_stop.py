"""What a week comes to by how long an idle instance waits before it stops itself: simulated with a clock of its own.

    python -m tests.benchmarks.idle_stop

The decisions are those of the role idle_stop's script, which looks each minute; a waker starts the instance with the
first note that finds it stopped. Arrivals are assumed (tests.benchmarks.autoscaling.arrivals has the day's course), and
nothing was measured. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType

from tests.benchmarks.autoscaling.arrivals import hospital
from tests.benchmarks.cost import Cost, cost
from tests.support.role_variables import ROLES, defaults
from tests.support.tables import BENCHMARKS, add_write_option, publish

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
DAYS, WEEK_HOURS = 7, 168
# Minutes; 0 is never.
LIMITS = (0, 15, 30, 60, 120)
# Notes in a busiest hour of a working day, and what part of that a day of the weekend has.
WARD, WEEKEND = 20, 0.1
OFFICE = (8, 18)


@dataclass(frozen=True)
class Week:
    """What a week came to.

    Attributes:
        hours: of running, whether used or not.
        starts: how often somebody's note started the instance.
        waited: the notes that came while it was stopped or starting.
        notes: all of them.
    """

    hours: float
    starts: int
    waited: int
    notes: int


def script() -> ModuleType:
    """Return the role's script as a module."""
    name = "idle_stop_of_the_role"
    specification = importlib.util.spec_from_file_location(name, ROLES / "idle_stop/files/idle_stop.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # its dataclasses look it up
    specification.loader.exec_module(module)
    return module


def office(notes_an_hour: float, seed: int = 17) -> list[float]:
    """Return when notes arrive in a week from Monday on: in the hours of an office on five days, and never else."""
    chance, times = random.Random(seed), []
    for day in range(5):
        now, end = day * DAY + OFFICE[0] * HOUR, day * DAY + OFFICE[1] * HOUR
        while (now := now + chance.expovariate(notes_an_hour / HOUR)) < end:
            times.append(now)
    return times


def around_the_clock(notes_an_hour: float) -> list[float]:
    """Return when notes arrive in a week from Monday on, with the course of a hospital's day and a quiet weekend."""
    times = []
    for day in range(DAYS):
        course = hospital(notes_an_hour / HOUR * (1 if day < 5 else WEEKEND))
        times += [day * DAY + time for time in replace(course, seed=course.seed + day).times()]
    return times


def simulated(arrivals: Sequence[float], minutes: int, start_seconds: float) -> Week:
    """Return what a week comes to. The instance is stopped at its beginning, unless it never stops.

    Args:
        arrivals: when each note comes, in order.
        minutes: without any use after which the instance stops; 0 means never.
        start_seconds: from a start until the gateway serves.
    """
    if not minutes:
        return Week(WEEK_HOURS, 0, 0, len(arrivals))
    module = script()
    left = list(reversed(arrivals))
    hours, starts, waited, now = 0.0, 0, 0, 0.0
    while left:
        began = now = left[-1]
        starts += 1
        state, requests = None, 0.0
        # Each look is a minute after the one before it, until one of them ends the run.
        while True:
            now += MINUTE
            while left and left[-1] <= now:
                waited += left.pop() - began < start_seconds
                requests += 1
            # While the stack comes up its unit is activating, which is use.
            use = "the stack is activating" if now - began < start_seconds else None
            decision = module.decide(state, module.Reading(use, requests), now, minutes * MINUTE)
            state = decision.state
            if decision.stop:
                break
        hours += (min(now, DAYS * DAY) - began) / HOUR
    return Week(hours, starts, waited, len(arrivals))


def week_cost(money: Cost, week: Week) -> float:
    """Return USD for a week: instance and address while it runs, its volume always."""
    return week.hours * money.running_hour + (WEEK_HOURS - week.hours) * money.stopped_hour


def rows(money: Cost, label: str, arrivals: Sequence[float], start_seconds: float) -> Iterator[str]:
    """Yield a row of the table for each limit."""
    for minutes in LIMITS:
        week = simulated(arrivals, minutes, start_seconds)
        limit = f"{minutes} min" if minutes else "never"
        spent = f"{week.hours:.1f} | {week_cost(money, week):.2f}"
        yield f"| {label} | {limit} | {spent} | {week.starts} | {week.waited} of {week.notes} |"


def table() -> str:
    """Return the table."""
    start_seconds = float(defaults("waker")["waker_usual_start"])
    money = cost()
    lines = [
        "| notes arrive | stops after | hours of running | USD a week | starts | notes that waited for one |",
        "|---|---:|---:|---:|---:|---:|",
        *rows(money, f"Monday to Friday from 8 to 18, {WARD} an hour", office(WARD), start_seconds),
        *rows(money, f"around the clock, at most {WARD} an hour", around_the_clock(WARD), start_seconds),
    ]
    return "\n".join(lines)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.idle_stop",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_write_option(parser, BENCHMARKS)
    args = parser.parse_args()
    publish(table(), args.write, parser.prog)


if __name__ == "__main__":
    main()
