"""The simulation of instances, against cases whose answers are known; the generated arrivals; the picture."""

from __future__ import annotations

import random
import statistics
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from gateway.settings import Settings
from tests.benchmarks.autoscaling.__main__ import engine_of
from tests.benchmarks.autoscaling.arrivals import HOSPITAL, HOUR, burst, hospital
from tests.benchmarks.autoscaling.picture import Curve, Panel, draw
from tests.benchmarks.autoscaling.policies import ByTheClock, Fixed, TargetTracking
from tests.benchmarks.autoscaling.simulation import Engine, Policy, Simulation, View
from tests.benchmarks.capacity import capacities

# One note at a time, a second each.
ONE = Engine(slots=1, queue=10**6, queue_timeout=1e9, seconds=lambda _: 1.0)


def simulation(engine: Engine, policy: Policy | None = None, *, first: int = 1, start: float = 60.0) -> Simulation:
    return Simulation(engine, policy or Fixed(first), first=first, start_seconds=start)


def test_waits_are_those_of_a_queue_with_random_arrivals_and_a_fixed_service() -> None:
    """M/D/1: at a load of 0.7 the mean wait is 0.7 / (2 * (1 - 0.7)) services."""
    chance, now, times = random.Random(1), 0.0, []
    for _ in range(40_000):
        now += chance.expovariate(0.7)
        times.append(now)
    result = simulation(ONE).run(times, now)
    assert len(result.waits) == len(times)
    assert statistics.mean(result.waits) == pytest.approx(0.7 / 0.6, rel=0.06)


def test_queue_is_served_in_order_and_notes_are_answered_when_counted_by_hand() -> None:
    result = simulation(ONE).run([0.0, 0.1, 0.2, 5.0], 60.0)
    assert result.waits == pytest.approx([0.0, 0.9, 1.8, 0.0])
    assert result.answers == pytest.approx([1.0, 1.9, 2.8, 1.0])


def test_notes_at_once_slow_each_other_down() -> None:
    """A note alone takes a second, two at once two: the first has half a second to itself, and then half the speed."""
    engine = Engine(slots=2, queue=0, queue_timeout=1.0, seconds=lambda notes: float(notes))
    result = simulation(engine).run([0.0, 0.5], 60.0)
    assert result.answers == pytest.approx([1.5, 1.5])


def test_gate_refuses_what_does_not_fit_and_what_waited_too_long() -> None:
    """Of four at once one is served, two wait, and there is no room for the fourth; the third waits too long."""
    engine = Engine(slots=1, queue=2, queue_timeout=1.5, seconds=lambda _: 1.0)
    result = simulation(engine).run([0.0, 0.0, 0.0, 0.0], 60.0)
    assert (result.refused["queue_full"], result.refused["queue_timeout"]) == (1, 1)
    assert result.waits == [0.0, 1.0]


def test_balancer_gives_to_the_instance_with_fewest() -> None:
    result = simulation(ONE, first=2).run([0.0, 0.1, 0.2], 60.0)
    assert result.waits == pytest.approx([0.0, 0.0, 0.8])


def test_every_note_is_answered_or_refused_whatever_the_policy_does() -> None:
    """Instances are drained and started under load."""
    engine = Engine(slots=2, queue=4, queue_timeout=5.0, seconds=lambda notes: 0.5 + 0.5 * notes)

    def restless(view: View) -> int:
        return 1 + int(view.now / 60) % 3

    arrivals = burst(0.5, 4.0)
    result = simulation(engine, restless).run(arrivals.times(), arrivals.seconds)
    assert result.arrived == len(result.answers) + sum(result.refused.values())
    assert result.arrived > 4000
    assert {number for _, number in result.serving} == {1, 2, 3}


def test_instances_are_paid_for_from_their_start_until_they_are_drained() -> None:
    """The second is wanted from the first tick to the second one; its note, given a moment before, takes 30 s more."""
    engine = Engine(slots=1, queue=5, queue_timeout=100.0, seconds=lambda _: 30.0)

    def once(view: View) -> int:
        return 2 if view.now < 120 else 1

    # Two at 119 s: one for each instance; the one that is drained holds its note until 149 s.
    result = simulation(engine, once, start=30.0).run([119.0, 119.0], 3600.0)
    assert result.instance_seconds == pytest.approx(3600 + 149 - 60)
    assert result.answers == pytest.approx([30.0, 30.0])
    assert result.serving == [(0.0, 1), (90.0, 2), (120.0, 1)]


def test_an_instance_more_takes_none_away() -> None:
    result = simulation(ONE, lambda view: 1 + int(view.now // 60), start=1.0).run([1.0], 239.0)
    assert [number for _, number in result.serving] == [1, 2, 3, 4]


def test_a_policy_never_drains_the_last_instance() -> None:
    result = simulation(ONE, Fixed(0)).run([100.0], 200.0)
    assert len(result.answers) == 1


def test_target_tracking_adds_what_is_missing_and_takes_away_late() -> None:
    policy = TargetTracking(16, most=4)
    assert [policy(View(60.0 * minute, 1, 0, 40.0)) for minute in range(3)] == [1, 1, 3]
    assert policy(View(180.0, 1, 2, 40.0)) == 3, "what is starting counts"
    assert [policy(View(240.0 + 60 * minute, 3, 0, 2.0)) for minute in range(16)].index(2) == 14
    assert policy(View(1300.0, 2, 0, 2.0)) == 2, "one at a time"


def test_target_tracking_keeps_its_bounds_and_what_it_needs() -> None:
    policy = TargetTracking(16, least=2, most=4)
    assert policy(View(0.0, 1, 0, 0.0)) == 2
    assert [policy(View(0.0, 2, 0, 100.0)) for _ in range(4)][-1] == 4
    busy = TargetTracking(16)
    assert {busy(View(0.0, 2, 0, 12.0)) for _ in range(40)} == {2}, "one alone would be above the target"


def test_clock_has_its_number_by_day() -> None:
    policy = ByTheClock(3, 1)
    assert [policy(View(hour * HOUR, 1, 0, 0.0)) for hour in (6, 7, 18, 19, 31)] == [1, 3, 3, 1, 3]


def test_arrivals_are_the_same_every_time_and_as_many_as_their_rates_say() -> None:
    arrivals = hospital(0.5)
    times = list(arrivals.times())
    assert times == list(arrivals.times())
    assert all(before < after for before, after in pairwise(times))
    expected = 0.5 * HOUR * sum(HOSPITAL)
    assert len(times) == pytest.approx(expected, abs=4 * expected**0.5)
    night = sum(time < 5 * HOUR for time in times)
    assert night < 0.1 * sum(9 * HOUR <= time < 14 * HOUR for time in times)


def test_instance_is_the_computed_one_behind_the_gateways_defaults() -> None:
    fast = capacities()["fast"]
    engine = engine_of(fast)
    assert engine.slots / engine.seconds(engine.slots) == pytest.approx(fast.notes_a_second())
    assert engine.seconds(1) == pytest.approx(fast.alone_seconds())
    settings = Settings.model_fields
    assert (engine.queue, engine.queue_timeout) == (settings["max_queue"].default, settings["queue_timeout"].default)


def test_picture_holds_its_curves() -> None:
    curves = [Curve("came & went", [(0.0, 1.0), (1.0, 3.0)]), Curve("could", [(0.0, 2.0)], steps=True)]
    root = ElementTree.fromstring(draw([Panel("a day", 2.0, curves)], "notes a second"))  # noqa: S314 our own picture
    lines = [node.attrib["points"].split() for node in root.iter("{http://www.w3.org/2000/svg}polyline")]
    assert [len(points) for points in lines] == [2, 2]
    assert "came & went" in [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    (left, height), (right, same) = ([float(part) for part in point.split(",")] for point in lines[1])
    assert height == same
    assert right > left
