"""That the fleet's command counts what is lost, and reads what HAProxy says."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path

import pytest

from tests.benchmarks.fleet.balancer import LIKE_ALB, REPEATING, configuration, parsed
from tests.benchmarks.fleet.callers import Callers, Outcome
from tests.benchmarks.fleet.footprint import Footprint
from tests.benchmarks.fleet.report import Compared, Report, lost
from tests.benchmarks.fleet.scenes import Fault, Steady
from tests.fakes.engine import raw
from tests.fakes.engine.instant import Slots
from tests.fakes.engine.raw import Answer, raw_engine

GOOD = raw.whole({"answer": 1})
BUSY = raw.whole({"title": "no"}, "503 Service Unavailable")
BAD = raw.whole({"title": "no"}, "500 Internal Server Error")
TORN = raw.writing(raw.head(100) + b"{", close=True)


def called(script: list[Answer | bytes], *, tries: int = 1, times: int = 4) -> Outcome:
    """Return what one caller sees of a server that answers so, its last answer for ever, `times` times in all."""

    async def run() -> Outcome:
        over = asyncio.Event()
        async with raw_engine() as engine:
            answers: list[Answer] = [raw.writing(each) if isinstance(each, bytes) else each for each in script]

            async def answer(writer: asyncio.StreamWriter) -> None:
                if len(engine.requests) >= times:
                    over.set()
                await answers[min(len(engine.requests), len(answers)) - 1](writer)

            engine.answers(answer)
            callers = Callers(engine.url, [b"{}"], tries)
            return await callers.run(1, 60.0, over=over)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("script", "tries", "first", "retried", "ended"),
    [
        pytest.param([GOOD], 1, 4, 0, {}, id="nothing lost"),
        pytest.param([GOOD, BUSY, GOOD], 1, 3, 0, {"503": 1}, id="refused, not tried again"),
        pytest.param([GOOD, BUSY, GOOD], 2, 2, 1, {}, id="refused, tried again"),
        pytest.param([GOOD, raw.resetting, GOOD], 1, 3, 0, {"no answer": 1}, id="cut before the first byte"),
        pytest.param([GOOD, raw.resetting, GOOD], 2, 2, 1, {}, id="cut before the first byte, tried again"),
        pytest.param([GOOD, TORN, GOOD], 2, 3, 0, {"broken off": 1}, id="cut in the answer, never tried again"),
        pytest.param([GOOD, BAD, GOOD], 2, 3, 0, {"500": 1}, id="an error of the gateway's own"),
        pytest.param([BUSY], 2, 0, 0, {"503": 2}, id="refused again and again"),
    ],
)
def test_lost_requests_are_counted(
    script: list[Answer | bytes], tries: int, first: int, retried: int, ended: dict[str, int]
) -> None:
    outcome = called(script, tries=tries)
    assert (outcome.first, outcome.retried, outcome.lost) == (first, retried, ended)
    assert outcome.sent == first + retried + sum(ended.values())


def test_an_outcome_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(ValueError, match="3 requests were sent"):
        Outcome.parse('{"sent": 3, "first": 1, "retried": 1}')
    assert Outcome.parse('{"sent": 3, "first": 1, "retried": 1, "lost": {"503": 1}}').lost == {"503": 1}


def test_servers_are_read_from_haproxys_table() -> None:
    table = (
        "# pxname,svname,qcur,scur,status,\ncallers,FRONTEND,,3,OPEN,\ngateways,g0,0,2,UP,\n"
        "gateways,g1,0,0,DOWN 1/2,\ngateways,g2,0,1,DRAIN,\ngateways,BACKEND,0,3,UP,\n"
    )
    assert parsed(table) == {"g0": ("UP", 2), "g1": ("DOWN 1/2", 0), "g2": ("DRAIN", 1)}


def test_only_a_balancer_that_repeats_sends_a_request_twice() -> None:
    alb, repeating = (configuration(80, [1, 2], Path("s"), rules) for rules in (LIKE_ALB, REPEATING))
    assert "retries 0" in alb
    assert "retry-on" not in alb
    assert "retry-on conn-failure empty-response" in repeating
    assert alb.count("server g") == 2


def test_engine_works_on_so_many_at_once() -> None:
    """Three answers of a slot and a latency each come one after another, in order."""

    async def run() -> list[int]:
        slots, done, ended = Slots(1, 0.001), list[int](), asyncio.Event()

        def end(number: int) -> None:
            done.append(number)
            if number == 2:
                ended.set()

        for number in range(3):
            slots.serve(functools.partial(end, number))
            assert done == []
        await ended.wait()
        return done

    assert asyncio.run(run()) == [0, 1, 2]


def test_report_shows_what_was_lost_and_how_stacks_compare() -> None:
    report = Report()
    for stacks, rate in ((1, 8.0), (2, 15.2)):
        report.steady.append(("own", stacks, Steady(Outcome(sent=9, first=9, rate=rate), 80.0, 5.0)))
    report.faults.append(("kill -9", "repeats", "once", Fault(Outcome(sent=9, first=7, lost={"503": 2}), 1.5)))
    rows = report.text().splitlines()
    assert any(row.startswith("| own | 2 | 15.2 | 1.90 |") for row in rows)
    assert any(row.startswith("| kill -9 | repeats | once | 9 | 7 | 0 | 2 (503: 2) |") for row in rows)
    assert lost(Outcome()) == "0"


def test_report_shows_what_each_adds_to_an_engine_and_what_its_death_costs() -> None:
    report = Report(engine=Outcome(p50_ms=100.0, p99_ms=120.0))
    alone, many = (
        Steady(Outcome(p50_ms=p50, p99_ms=p99, rate=rate), 0.0, 9.0)
        for p50, p99, rate in ((103, 130, 9), (190, 250, 20))
    )
    fault = Fault(Outcome(sent=50, first=48, lost={"500": 2}, longest_ms=900.0), 31.25)
    report.peers.append(Compared("Ray", alone, many, Footprint(11, 1300.0), Footprint(17, 3000.0), fault))
    rows = report.text().splitlines()
    assert "| Ray | 103.0 | +3.0 | 130.0 | +10.0 | 20.0 | 250.0 | 9.0 | 11 | 1,300 | 3,000 |" in rows
    assert "| Ray | 50 | 2 (500: 2) | 900 | 31.2 |" in rows
