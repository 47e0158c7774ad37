"""The simulated week of an instance that stops itself, and that the page has the table of today."""

from __future__ import annotations

import pytest

from tests.benchmarks.cost import Cost
from tests.benchmarks.idle_stop import HOUR, LIMITS, WEEK_HOURS, around_the_clock, office, simulated, table, week_cost
from tests.support.tables import BENCHMARKS, replaced

MONEY = Cost(instance_hour=1.0, address_hour=0.01, volume_month=73.0, month_hours=730)
START = 180.0


def test_one_note_costs_its_start_and_the_wait_after_it() -> None:
    """It waits for three minutes, and half an hour after the last look at a start the instance stops itself."""
    week = simulated([10 * HOUR], 30, START)
    assert (week.starts, week.waited, week.notes) == (1, 1, 1)
    assert week.hours == pytest.approx((3 + 30) / 60, abs=2 / 60)


def test_notes_within_the_limit_keep_it_on_and_one_after_it_starts_it_again() -> None:
    kept = simulated([0, 20 * 60, 40 * 60], 30, START)
    assert (kept.starts, kept.waited) == (1, 1)
    again = simulated([0, 20 * 60, 80 * 60, 80 * 60 + 100], 30, START)
    assert (again.starts, again.waited) == (2, 3)


def test_without_a_limit_it_always_runs_and_nobody_waits() -> None:
    week = simulated([HOUR], 0, START)
    assert (week.hours, week.starts, week.waited) == (WEEK_HOURS, 0, 0)
    assert week_cost(MONEY, week) == pytest.approx(WEEK_HOURS * 1.11)
    stopped = simulated([], 30, START)
    assert week_cost(MONEY, stopped) == pytest.approx(WEEK_HOURS * 0.1)


@pytest.mark.parametrize("arrivals", [office(20), around_the_clock(20)], ids=["office", "around the clock"])
def test_more_patience_runs_longer_and_makes_fewer_wait(arrivals: list[float]) -> None:
    weeks = [simulated(arrivals, minutes, START) for minutes in LIMITS if minutes]
    assert len({week.notes for week in weeks}) == 1
    assert [week.hours for week in weeks] == sorted(week.hours for week in weeks)
    assert [week.starts for week in weeks] == sorted((week.starts for week in weeks), reverse=True)
    assert [week.waited for week in weeks] == sorted((week.waited for week in weeks), reverse=True)
    assert all(week.starts <= week.waited < week.notes and week.hours < WEEK_HOURS for week in weeks)


def test_the_page_has_the_table_of_todays_defaults() -> None:
    page, command = BENCHMARKS.read_text(encoding="utf-8"), "python -m tests.benchmarks.idle_stop"
    assert replaced(page, command, table()) == page, f"run `{command} --write`"
