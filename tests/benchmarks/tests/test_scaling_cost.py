"""The arithmetic of the table of n instances, and that the page has the table of today."""

from __future__ import annotations

import pytest

from tests.benchmarks.capacity import capacities
from tests.benchmarks.cost import Cost, cost
from tests.benchmarks.scaling_cost import SCALING, balancer_month, fleet_month, table
from tests.support.tables import replaced

MONEY = Cost(instance_hour=1.0, address_hour=0.01, volume_month=73.0, month_hours=730)


def test_one_instance_has_no_balancer() -> None:
    assert fleet_month(MONEY, 1, 730) == MONEY.month(730)


def test_stopped_instances_pay_for_volumes_and_balancer() -> None:
    """730 hours at 0.0225 + 0.008 USD."""
    assert balancer_month(MONEY, 3) == pytest.approx(22.265)
    assert fleet_month(MONEY, 3, 0) == pytest.approx(3 * 73.0 + 22.265)


def test_the_page_has_the_table_of_todays_defaults() -> None:
    page, command = SCALING.read_text(encoding="utf-8"), "python -m tests.benchmarks.scaling_cost"
    assert replaced(page, command, table(cost(), capacities()["fast"])) == page, f"run `{command} --write`"
