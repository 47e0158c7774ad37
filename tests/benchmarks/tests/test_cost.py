"""The arithmetic of the cost table, and that the page has the table of today."""

from __future__ import annotations

import dataclasses

import pytest

from tests.benchmarks.capacity import capacities
from tests.benchmarks.cost import Cost, cost, table
from tests.support.tables import BENCHMARKS, replaced

MONEY = Cost(instance_hour=1.0, address_hour=0.01, volume_month=73.0, month_hours=730)


def test_a_stopped_instance_pays_for_its_volume_only() -> None:
    assert MONEY.month(0) == 73.0
    assert MONEY.stopped_hour == pytest.approx(0.1)


def test_an_hour_and_a_month_of_running_agree() -> None:
    assert MONEY.running_hour == pytest.approx(1.11)
    assert MONEY.month(730) == pytest.approx(730 * MONEY.running_hour)


def test_notes_cost_less_the_more_there_are() -> None:
    assert MONEY.notes(10_000) == pytest.approx(MONEY.month(730) / 10)
    assert MONEY.notes(20_000) < MONEY.notes(10_000)


def test_a_profile_that_answers_faster_costs_less_a_note() -> None:
    fast, quality = capacities()["fast"], capacities()["quality"]
    assert MONEY.busy_notes(fast) < MONEY.busy_notes(quality)
    dearer = dataclasses.replace(MONEY, instance_hour=2.0)
    assert MONEY.busy_notes(fast) < dearer.busy_notes(fast) < 2 * MONEY.busy_notes(fast)


def test_what_the_volume_has_beyond_what_gp3_includes_is_paid() -> None:
    """200 GiB at 0.08 USD, and 375 MiB/s at 0.04 USD."""
    assert cost().volume_month == pytest.approx(200 * 0.08 + 375 * 0.04)


def test_the_page_has_the_table_of_todays_defaults() -> None:
    page, command = BENCHMARKS.read_text(encoding="utf-8"), "python -m tests.benchmarks.cost"
    assert replaced(page, command, table(cost(), capacities())) == page, f"run `{command} --write`"
