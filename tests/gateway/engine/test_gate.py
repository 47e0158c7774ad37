"""The gate, its queue, the rate limits and the bounds on what is sent."""

import asyncio
from collections import Counter

import pytest

from gateway.engine.gate import Gate, RateLimiter, RefusedError
from tests.fakes.engine.scripted import FakeEngine
from tests.gateway.conftest import NOTE, StartGateway, until


async def test_no_more_run_than_may_and_all_are_served(start_gateway: StartGateway, engine: FakeEngine) -> None:
    gateway = await start_gateway(max_concurrency=3, max_queue=20)
    engine.delay = 0.05
    replies = await asyncio.gather(*(gateway.extract() for _ in range(12)))
    assert {reply.status for reply in replies} == {200}
    assert engine.most_running == 3
    assert gateway.services.gate.running == gateway.services.gate.waiting == 0


async def test_a_full_queue_refuses_at_once(start_gateway: StartGateway, engine: FakeEngine) -> None:
    gateway = await start_gateway(max_concurrency=1, max_queue=2)
    engine.delay = 0.3
    replies = await asyncio.gather(*(gateway.extract() for _ in range(8)))
    assert Counter(reply.status for reply in replies) == {200: 3, 503: 5}
    for reply in replies:
        if reply.status == 503:
            assert int(reply.headers["Retry-After"]) >= 1
            assert reply.headers["Content-Type"] == "application/problem+json"
    engine.delay = 0
    assert (await gateway.extract()).status == 200


async def test_the_wait_in_the_queue_ends(start_gateway: StartGateway, engine: FakeEngine) -> None:
    gateway = await start_gateway(max_concurrency=1, max_queue=5, queue_timeout=0.1)
    engine.delay = 0.5
    replies = await asyncio.gather(*(gateway.extract() for _ in range(3)))
    assert sorted(reply.status for reply in replies) == [200, 503, 503]


async def test_a_client_that_leaves_the_queue_frees_its_place(start_gateway: StartGateway, engine: FakeEngine) -> None:
    gateway = await start_gateway(max_concurrency=1, max_queue=5)
    gate = gateway.services.gate
    engine.delay = 0.4
    first = asyncio.create_task(gateway.extract())
    await until(lambda: engine.running == 1)
    second = asyncio.create_task(gateway.extract())
    await until(lambda: gate.waiting == 1)
    second.cancel()
    await until(lambda: gate.waiting == 0)
    assert (await first).status == 200
    assert len(engine.bodies) == 1


async def test_places_are_given_in_the_order_of_coming() -> None:
    gate = Gate(concurrency=1, queue=10, queue_timeout=5)
    order: list[int] = []

    async def one(number: int) -> None:
        async with gate.place():
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(one(number) for number in range(6)))
    assert order == list(range(6))


async def test_a_place_given_to_one_that_is_cancelled_goes_on() -> None:
    gate = Gate(concurrency=1, queue=10, queue_timeout=5)

    async def one() -> None:
        async with gate.place():
            await asyncio.sleep(0.01)

    first = asyncio.create_task(one())
    await asyncio.sleep(0)
    second, third = asyncio.create_task(one()), asyncio.create_task(one())
    await asyncio.sleep(0)
    await first
    second.cancel()  # its place may have been given just now
    await third
    assert gate.running == gate.waiting == 0


def test_the_rate_is_a_burst_and_then_a_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("gateway.engine.gate.time.monotonic", lambda: now)
    limiter = RateLimiter(2, 60.0)
    limiter.take("a")
    limiter.take("a")
    limiter.take("b")
    with pytest.raises(RefusedError) as caught:
        limiter.take("a")
    assert caught.value.retry_after == 30
    now += caught.value.retry_after
    limiter.take("a")
    with pytest.raises(RefusedError):
        limiter.take("a")


async def test_over_the_rate_is_a_429(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(rate_limit="2/hour")
    replies = [await gateway.extract() for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert 1700 < int(replies[2].headers["Retry-After"]) <= 1800
    assert (await gateway.call("GET", "/health")).status == 200  # has no rate


async def test_too_long_is_a_413(start_gateway: StartGateway, engine: FakeEngine) -> None:
    gateway = await start_gateway(max_text_chars=300, max_body_bytes=2000)
    assert (await gateway.extract("x" * 300)).status == 200
    assert (await gateway.extract("x" * 301)).status == 413
    assert (await gateway.extract("x" * 3000)).status == 413

    async def endless() -> object:
        for _ in range(100):
            yield b" " * 100

    reply = await gateway.call("POST", "/api/v1/extract", data=endless(), headers={"Content-Type": "application/json"})
    assert reply.status == 413
    assert len(engine.bodies) == 1
    assert NOTE
