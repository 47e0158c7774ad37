"""Which policy refuses how much and costs what: fixed numbers, the clock, and the queue as the signal, simulated.

    python -m tests.benchmarks.autoscaling

An instance is what tests.benchmarks.capacity computes for the profile `fast` on one L4, behind a gateway with its
defaults. Arrivals are generated with a fixed seed, so the same code prints the same figures; nothing was measured.
Prints Markdown tables; `--write` also draws docs/images/autoscaling.svg.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gateway.settings import Settings
from tests.benchmarks.autoscaling.arrivals import HOUR, Arrivals, burst, hospital
from tests.benchmarks.autoscaling.picture import Curve, Panel, draw
from tests.benchmarks.autoscaling.policies import ByTheClock, Fixed, TargetTracking
from tests.benchmarks.autoscaling.simulation import Engine, Policy, Result, Simulation
from tests.benchmarks.capacity import ANSWER_TOKENS, THROUGHPUTS, Capacity, capacities
from tests.benchmarks.cost import Cost, cost
from tests.benchmarks.scaling_cost import SCALING, balancer_month
from tests.support.tables import add_write_option, publish

PICTURE = SCALING.parent / "images" / "autoscaling.svg"
MOST = 4
# Whose course the picture shows.
SHOWN = "by the queue: 16 notes each, 1 to 4, warm pool"
# Of what an instance answers at most; a peak of two and a half instances asks for a third.
PEAK, BASE, HIGH = 2.5, 0.3, 3.0
# Assumed: EC2's start and the boot, and the engine's start without reading its weights. Never measured on a GPU.
BOOT_SECONDS, ENGINE_SECONDS = 60.0, 90.0
# Assumed: a new instance from an image, which pulls the engine's container image and the model besides.
COLD_SECONDS = 900.0
# Running and waiting notes of an instance that the queue's policy aims at, as parts of its slots.
TARGET, HIGH_TARGET = 0.5, 0.75


@dataclass(frozen=True)
class Plan:
    """A policy with what it needs.

    Attributes:
        name: for the table.
        policy: makes one, since a policy remembers.
        first: instances at the beginning.
        start_seconds: until one more serves.
        volumes: instances whose volumes are paid for, running or not.
    """

    name: str
    policy: Callable[[], Policy]
    first: int
    start_seconds: float
    volumes: int


def engine_of(capacity: Capacity) -> Engine:
    """Return the instance of the simulation: a note takes the longer the more there are at once."""
    fields = Settings.model_fields

    def seconds(notes: int) -> float:
        return notes * capacity.prompt_seconds() + ANSWER_TOKENS * capacity.step_seconds(notes)

    times = [0.0, *(seconds(notes) for notes in range(1, capacity.notes_at_once + 1))]
    queue, timeout = fields["max_queue"].default, fields["queue_timeout"].default
    return Engine(capacity.notes_at_once, queue, timeout, times.__getitem__)


def warm_seconds(capacity: Capacity) -> float:
    """Return how long a stopped instance with model and images on its volume takes to serve."""
    return BOOT_SECONDS + capacity.load_seconds(THROUGHPUTS[1]) + ENGINE_SECONDS


def plans(capacity: Capacity) -> list[Plan]:
    """Return what is tried."""
    warm, slots = warm_seconds(capacity), capacity.notes_at_once

    def tracking(least: int, share: float) -> Callable[[], Policy]:
        return lambda: TargetTracking(share * slots, least=least, most=MOST)

    fixed = [
        Plan(f"{count} always", lambda count=count: Fixed(count), count, warm, count)  # type: ignore[misc]
        for count in range(1, MOST + 1)
    ]
    return [
        *fixed,
        Plan("3 from 7 to 19 o'clock, else 1", lambda: ByTheClock(3, 1), 1, warm, 3),
        Plan(SHOWN, tracking(1, TARGET), 1, warm, MOST),
        Plan(
            f"by the queue: {HIGH_TARGET * slots:.0f} notes each, 1 to 4, warm pool",
            tracking(1, HIGH_TARGET),
            1,
            warm,
            MOST,
        ),
        Plan("by the queue: 16 notes each, 2 to 4, warm pool", tracking(2, TARGET), 2, warm, MOST),
        Plan("by the queue: 16 notes each, 1 to 4, no warm pool", tracking(1, TARGET), 1, COLD_SECONDS, 1),
    ]


def cost_of_month(money: Cost, plan: Plan, result: Result, seconds: float) -> float:
    """Return USD for a month of which every part is like these seconds."""
    hours = result.instance_seconds / seconds * money.month_hours
    running = hours * (money.instance_hour + money.address_hour)
    # Without a warm pool a volume lives as long as its instance.
    volumes = max(plan.volumes * money.volume_month, hours / money.month_hours * money.volume_month)
    alone = plan.volumes == 1 and plan.start_seconds != COLD_SECONDS
    return running + volumes + balancer_month(money, 1 if alone else MOST)


def simulate(day: bool, number: int) -> Result:
    """Return what the policy of a number makes of the day or of the burst; both are named so as other processes can."""
    capacity = capacities()["fast"]
    plan, arrivals = plans(capacity)[number], scenarios(capacity)[0 if day else 1]
    simulation = Simulation(engine_of(capacity), plan.policy(), first=plan.first, start_seconds=plan.start_seconds)
    return simulation.run(arrivals.times(), arrivals.seconds)


def scenarios(capacity: Capacity) -> tuple[Arrivals, Arrivals]:
    """Return the day and the burst, for an instance of this capacity."""
    most = capacity.notes_a_second()
    return hospital(PEAK * most), burst(BASE * most, HIGH * most)


def row(plan: Plan, result: Result, month: float | None) -> str:
    """Return a policy's row."""
    refused = sum(result.refused.values())
    wait, answer = (statistics.quantiles(values, n=100)[94] for values in (result.waits, result.answers))
    share = f"{refused:,} ({100 * refused / result.arrived:.2f} %)" if refused else "0"
    cells = [plan.name, share, f"{wait:.1f}", f"{answer:.1f}", f"{result.instance_seconds / HOUR:.1f}"]
    return "| " + " | ".join([*cells, *([] if month is None else [f"{month:,.0f}"])]) + " |"


def table(arrivals: Arrivals, results: list[tuple[Plan, Result]], money: Cost | None) -> str:
    """Return the table of some arrivals; a month's cost stands in it where they are a day."""
    head = "| instances | refused | p95 s waited | p95 s to the answer | instance-hours |"
    rule = "|---|---:|---:|---:|---:|"
    if money is not None:
        head, rule = f"{head} USD a month |", f"{rule}---:|"
    notes, hours = results[0][1].arrived, arrivals.seconds / HOUR
    text = f"{arrivals.name[0].upper()}{arrivals.name[1:]}: {notes:,} notes in {hours:.0f} h"
    rows = [
        row(plan, result, None if money is None else cost_of_month(money, plan, result, arrivals.seconds))
        for plan, result in results
    ]
    return "\n".join([f"{text}.", "", head, rule, *rows]) + "\n"


def panel(arrivals: Arrivals, plan: Plan, result: Result, most: float, bin_seconds: float) -> Panel:
    """Return the picture of one policy: what came, and what could be answered."""
    counts = Counter(int(time // bin_seconds) for time in arrivals.times())
    bins = range(int(arrivals.seconds // bin_seconds))
    came = [((number + 0.5) * bin_seconds / HOUR, counts[number] / bin_seconds) for number in bins]
    could = [(time / HOUR, most * number) for time, number in result.serving]
    curves = [Curve("notes that came", came), Curve("notes that could be answered", could, steps=True)]
    return Panel(f"{arrivals.name}: {plan.name}", arrivals.seconds / HOUR, curves)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.autoscaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_write_option(parser, SCALING)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="simulations at once")
    args = parser.parse_args()
    capacity, money = capacities()["fast"], cost()
    tables, panels, tried = [], [], plans(capacity)
    with ProcessPoolExecutor(args.jobs) as pool:
        running = {
            (day, number): pool.submit(simulate, day, number)
            for day in (True, False)
            for number, plan in enumerate(tried)
            if day or not isinstance(plan.policy(), ByTheClock)
        }
        for day, arrivals in zip((True, False), scenarios(capacity), strict=True):
            results = []
            for number, plan in enumerate(tried):
                if (day, number) in running:
                    results.append((plan, running[day, number].result()))
                    sys.stderr.write(f"{arrivals.name}: {plan.name}\n")
            tables.append(table(arrivals, results, money if day else None))
            shown = next((plan, result) for plan, result in results if plan.name == SHOWN)
            panels.append(panel(arrivals, *shown, capacity.notes_a_second(), 600.0 if day else 60.0))
    publish("\n".join(tables), args.write, parser.prog)
    if args.write:
        _draw(panels)


def _draw(panels: list[Panel], path: Path = PICTURE) -> None:
    path.write_text(draw(panels, "notes a second"), encoding="utf-8")


if __name__ == "__main__":
    main()
