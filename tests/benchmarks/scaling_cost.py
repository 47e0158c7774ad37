"""What n instances cost a month, running and stopped: computed from the roles' prices, nothing measured.

    python -m tests.benchmarks.scaling_cost

Prints a Markdown table.
"""

from __future__ import annotations

import argparse

from tests.benchmarks.capacity import Capacity, capacities
from tests.benchmarks.cost import WORKING_HOURS, Cost, cost
from tests.local_region.names import REPOSITORY_ROOT
from tests.support.tables import add_write_option, publish

SCALING = REPOSITORY_ROOT / "docs/scaling.md"
INSTANCES = (1, 3, 10)
# USD in us-east-1 of an Application Load Balancer: for an hour, and for an hour of one capacity unit (25 new
# connections a second, 3,000 open ones, 1 GB an hour). From a transcription, made on 2026-09-20, of the examples on
# AWS's price page; the page itself was not read.
BALANCER_HOUR, UNIT_HOUR = 0.0225, 0.008
# Ten instances answer some 70 notes of 2 KB a second: half a GB an hour, over connections that are kept.
UNITS = 1


def balancer_month(money: Cost, instances: int) -> float:
    """Return USD for a month of the load balancer, which one instance does not have."""
    return 0.0 if instances == 1 else money.month_hours * (BALANCER_HOUR + UNITS * UNIT_HOUR)


def fleet_month(money: Cost, instances: int, running: float) -> float:
    """Return USD for a month.

    Args:
        money: what an instance costs.
        instances: that there are, each with its volume.
        running: hours of it in which each of them runs.
    """
    return instances * money.month(running) + balancer_month(money, instances)


def table(money: Cost, fast: Capacity) -> str:
    """Return the table, a column for each number of instances."""

    def row(label: str, values: list[float], digits: int = 2) -> str:
        return f"| {label} | {' | '.join(f'{value:,.{digits}f}' for value in values)} |"

    hours = money.month_hours
    heads = " | ".join(f"n = {count}" for count in INSTANCES)
    lines = [f"| computed | {heads} |", "|---|" + "---:|" * len(INSTANCES)]
    lines += [
        row("notes a second, at most (`fast`)", [count * fast.notes_a_second() for count in INSTANCES], 1),
        row(f"USD a month, all {hours} hours", [fleet_month(money, count, hours) for count in INSTANCES]),
        row(
            f"USD a month, one always and the others {WORKING_HOURS} hours",
            [
                money.month(hours) + (count - 1) * money.month(WORKING_HOURS) + balancer_month(money, count)
                for count in INSTANCES
            ],
        ),
        row(
            f"USD a month, all {WORKING_HOURS} hours", [fleet_month(money, count, WORKING_HOURS) for count in INSTANCES]
        ),
        row("USD a month, all stopped", [fleet_month(money, count, 0) for count in INSTANCES]),
        row("of it the load balancer", [balancer_month(money, count) for count in INSTANCES]),
    ]
    return "\n".join(lines)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.scaling_cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_write_option(parser, SCALING)
    args = parser.parse_args()
    publish(table(cost(), capacities()["fast"]), args.write, parser.prog)


if __name__ == "__main__":
    main()
