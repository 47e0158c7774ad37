"""The slots at the engine and the queue before them."""

import asyncio
from collections import Counter

from gateway.engine.gate import Gate
from tests.gateway.conftest import StartGateway, until
from tests.gateway.fake_engine import FakeEngine


async def test_concurrency_stays_within_the_bound_and_all_requests_are_served(
    start_gateway: StartGateway, engine: FakeEngine
) -> None:
    gateway = await start_gateway(max_concurrency=3, max_queue=20)
    engine.delay = 0.05
    replies = await asyncio.gather(*(gateway.extract() for _ in range(12)))
    assert {reply.status for reply in replies} == {200}
    assert engine.most_running == 3
    assert gateway.services.gate.running == gateway.services.gate.waiting == 0


async def test_a_full_queue_refuses_with_503_at_once(start_gateway: StartGateway, engine: FakeEngine) -> None:
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


async def test_waiting_in_the_queue_ends_with_503_after_its_timeout(
    start_gateway: StartGateway, engine: FakeEngine
) -> None:
    gateway = await start_gateway(max_concurrency=1, max_queue=5, queue_timeout=0.1)
    engine.delay = 0.5
    replies = await asyncio.gather(*(gateway.extract() for _ in range(3)))
    assert sorted(reply.status for reply in replies) == [200, 503, 503]


async def test_a_client_that_leaves_the_queue_frees_its_slot(start_gateway: StartGateway, engine: FakeEngine) -> None:
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


async def test_slots_are_given_in_the_order_of_arrival() -> None:
    gate = Gate(concurrency=1, queue=10, queue_timeout=5)
    order: list[int] = []

    async def one(number: int) -> None:
        async with gate.slot():
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(one(number) for number in range(6)))
    assert order == list(range(6))


async def test_a_slot_given_to_a_cancelled_request_goes_to_the_next() -> None:
    gate = Gate(concurrency=1, queue=10, queue_timeout=5)

    async def one() -> None:
        async with gate.slot():
            await asyncio.sleep(0.01)

    first = asyncio.create_task(one())
    await asyncio.sleep(0)
    second, third = asyncio.create_task(one()), asyncio.create_task(one())
    await asyncio.sleep(0)
    await first
    second.cancel()  # its slot may have been given just now
    await third
    assert gate.running == gate.waiting == 0
