"""What an hour, a month and 1,000 notes cost by profile: computed from the roles' prices, nothing measured.

    python -m tests.benchmarks.cost

Takes instance, volume and prices from the role infrastructure, and notes a second from tests.benchmarks.capacity, so
that a changed default changes the table. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from tests.benchmarks.capacity import Capacity, capacities
from tests.support import role_variables
from tests.support.tables import BENCHMARKS, add_write_option, publish

GP3_THROUGHPUT = 125  # MiB/s included
# Somebody starts the instance in the morning and it stops in the evening.
WORKING_HOURS = 8 * 22
# Assumed: what a ward sends in a month, to show what an instance that waits costs a note.
NOTES_A_MONTH = 10_000


@dataclass(frozen=True)
class Cost:
    """What one instance of provision.yml's defaults costs.

    Attributes:
        instance_hour: USD for an hour of running; the others likewise.
        address_hour: of a public IPv4 address, which is billed while the instance runs.
        volume_month: of the volume, which is billed always.
        month_hours: hours of a month.
    """

    instance_hour: float
    address_hour: float
    volume_month: float
    month_hours: int

    @property
    def stopped_hour(self) -> float:
        """USD for an hour in which the instance is stopped."""
        return self.volume_month / self.month_hours

    @property
    def running_hour(self) -> float:
        """USD for an hour in which it runs, used or not."""
        return self.stopped_hour + self.instance_hour + self.address_hour

    def month(self, running: float) -> float:
        """Return USD for a month.

        Args:
            running: hours of it in which the instance runs.
        """
        return self.volume_month + running * (self.instance_hour + self.address_hour)

    def busy_notes(self, capacity: Capacity) -> float:
        """Return USD for 1,000 notes while the instance has nothing else to do, the volume included."""
        return 1000 / capacity.notes_a_second() / 3600 * self.running_hour

    def notes(self, a_month: int) -> float:
        """Return USD for 1,000 notes of an instance that runs the whole month.

        Args:
            a_month: notes that come in it.
        """
        return self.month(self.month_hours) / a_month * 1000


def cost() -> Cost:
    """Return what the defaults cost."""
    values = role_variables.defaults("infrastructure")
    internal = role_variables.load(role_variables.ROLES / "infrastructure/vars/main.yml")
    prices, listed = internal["_infrastructure_prices"], values["infrastructure_price_fallback"]
    throughput = max(values["infrastructure_volume_throughput"] - GP3_THROUGHPUT, 0)
    volume = values["infrastructure_volume_gib"] * listed["volume_gib_month"] + throughput * prices["throughput_month"]
    return Cost(listed["instance_hour"], prices["address_hour"], volume, internal["_infrastructure_month_hours"])


def table(money: Cost, by_profile: dict[str, Capacity]) -> str:
    """Return the table, a column for each profile."""

    def same(usd: float, digits: int = 2) -> list[str]:
        return [f"{usd:.{digits}f}"] * len(by_profile)

    rows = [
        ("an hour of running, used or not", same(money.running_hour, 4)),
        ("an hour stopped", same(money.stopped_hour, 4)),
        (f"a month of {money.month_hours} hours of running, used or not", same(money.month(money.month_hours))),
        (f"a month with {WORKING_HOURS} hours of running", same(money.month(WORKING_HOURS))),
        ("a month stopped", same(money.month(0))),
        ("1,000 notes without a pause, at least", [f"{money.busy_notes(each):.2f}" for each in by_profile.values()]),
        (f"1,000 notes of {NOTES_A_MONTH:,} in a month of running", same(money.notes(NOTES_A_MONTH))),
    ]
    head = [
        f"| USD, computed | {' | '.join(f'`{name}`' for name in by_profile)} |",
        "|---|" + "---:|" * len(by_profile),
    ]
    return "\n".join([*head, *(f"| {label} | {' | '.join(values)} |" for label, values in rows)])


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_write_option(parser, BENCHMARKS)
    args = parser.parse_args()
    publish(table(cost(), capacities()), args.write, parser.prog)


if __name__ == "__main__":
    main()
