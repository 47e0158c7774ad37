"""The slots at the engine, the queue before them, and each client's share of both."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from gateway.engine.gate import Gate, RefusedError
from tests.fakes.engine.scripted import FakeEngine
from tests.gateway.conftest import StartGateway, until


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


async def test_texts_are_tokenised_within_the_bound_and_only_if_the_queue_has_room(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await start_gateway(max_concurrency=2, max_queue=2)
    assert (await gateway.extract()).status == 200
    counted, at_once, most = 0, 0, 0

    async def token_sizes(*_: object, **__: object) -> None:
        nonlocal counted, at_once, most
        counted, at_once = counted + 1, at_once + 1
        most = max(most, at_once)
        await asyncio.sleep(0.3)
        at_once -= 1

    monkeypatch.setattr(gateway.services.engine.__class__, "token_sizes", token_sizes)
    replies = await asyncio.gather(*(gateway.extract("word " * 4_000) for _ in range(10)))
    assert most == 2
    assert counted <= 4
    assert Counter(reply.status for reply in replies)[503] >= 6


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


def half() -> float:
    return 0.5


class Holders:
    """Requests that hold slots until they are let go, by name."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.inside: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def add(self, name: str, client: str, count: int = 1) -> None:
        """Have a request come, and let the loop run until it holds its slots, waits or is refused."""
        self._ends[name] = asyncio.Event()

        async def hold() -> None:
            async with self.gate.slot(client, count):
                self.inside.append(name)
                await self._ends[name].wait()
                self.inside.remove(name)

        self._tasks[name] = asyncio.create_task(hold())
        await self.settle()

    async def end(self, name: str) -> None:
        """Let a request go."""
        self._ends[name].set()
        await self.settle()

    async def cancel(self, name: str) -> None:
        """Have a request's client go away."""
        self._tasks[name].cancel()
        await self.settle()

    def refusal(self, name: str) -> str:
        """Return why a request was refused."""
        error = self._tasks[name].exception()
        assert isinstance(error, RefusedError)
        return error.reason

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def finish(self) -> None:
        """Let all go, and check that nothing is held."""
        for end in self._ends.values():
            end.set()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        assert self.gate.running == self.gate.waiting == 0


async def test_one_client_holds_its_share_and_others_pass_what_it_has_waiting() -> None:
    holders = Holders(Gate(concurrency=4, queue=8, queue_timeout=5, share=half))
    for number in range(3):
        await holders.add(f"greedy-{number}", "greedy")
    await holders.add("late", "modest")
    assert holders.inside == ["greedy-0", "greedy-1", "late"]
    await holders.end("greedy-0")
    assert holders.inside == ["greedy-1", "late", "greedy-2"]
    await holders.finish()


async def test_one_client_fills_its_share_of_the_queue_and_others_find_room() -> None:
    holders = Holders(Gate(concurrency=2, queue=5, queue_timeout=5, share=half))
    for number in range(4):
        await holders.add(f"greedy-{number}", "greedy")
    assert holders.refusal("greedy-3") == "share_taken"
    for number in range(4):
        await holders.add(f"modest-{number}", "modest")
    assert holders.inside == ["greedy-0", "modest-0"]
    assert holders.refusal("modest-3") == "share_taken"
    await holders.add("third", "third")
    assert holders.gate.waiting == 5
    await holders.add("fourth", "fourth")
    assert holders.refusal("fourth") == "queue_full"
    await holders.finish()


@pytest.mark.parametrize(("share", "most"), [(lambda: 0.5, 1), (lambda: 0.01, 1), (lambda: 1.0, 3), (lambda: 0.7, 2)])
def test_a_share_is_at_least_one_slot(share: Callable[[], float], most: int) -> None:
    assert Gate(concurrency=3, queue=3, queue_timeout=1, share=share).most_slots == most


async def test_a_queue_of_none_has_no_share_to_give() -> None:
    holders = Holders(Gate(concurrency=2, queue=0, queue_timeout=5, share=half))
    await holders.add("first", "greedy")
    await holders.add("second", "greedy")
    assert holders.refusal("second") == "queue_full"
    await holders.finish()


async def test_several_slots_are_taken_together_and_are_not_passed_by_single_ones() -> None:
    holders = Holders(Gate(concurrency=4, queue=8, queue_timeout=5))
    await holders.add("pair", "a", 2)
    await holders.add("three", "b", 3)
    await holders.add("one", "c")
    assert holders.inside == ["pair"]
    await holders.end("pair")
    assert holders.inside == ["three", "one"]
    assert holders.gate.running == 4
    await holders.finish()


async def test_a_request_that_leaves_the_queue_lets_the_next_one_in() -> None:
    holders = Holders(Gate(concurrency=4, queue=8, queue_timeout=5))
    await holders.add("pair", "a", 2)
    await holders.add("three", "b", 3)
    await holders.add("one", "c")
    await holders.cancel("three")
    assert holders.inside == ["pair", "one"]
    await holders.finish()


async def test_many_that_are_cancelled_in_the_moment_of_their_turn_leave_no_slot_taken() -> None:
    holders = Holders(Gate(concurrency=2, queue=20, queue_timeout=5, share=half))
    for number in range(12):
        await holders.add(str(number), f"client-{number % 3}")
    for number in range(0, 12, 2):
        holders._tasks[str(number)].cancel()
    await holders.finish()
