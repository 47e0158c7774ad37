"""Requests are held for an engine that cannot be reached, as while a release makes it anew."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.engine.circuit import CircuitOpenError
from gateway.engine.errors import EngineError
from tests.fakes.engine.raw import RawEngine, completion, events, raw_engine, resetting, whole, writing
from tests.gateway.conftest import StartGateway, free_port
from tests.gateway.engine.test_engine import FACES, STOP, STREAMED, Client

ANSWER = "right"
LONG_BUDGET = 60.0


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
async def start_client(port: int) -> AsyncIterator[Callable[..., Client]]:
    clients = []

    def start(**settings: Any) -> Client:
        clients.append(Client(f"http://127.0.0.1:{port}", **settings))
        return clients[-1]

    yield start
    for client in clients:
        await client.engine.close()


@asynccontextmanager
async def engine_at(port: int, face: str = "complete") -> AsyncIterator[RawEngine]:
    """Have an engine at a port."""
    async with raw_engine(port) as raw:
        if face in STREAMED:
            delta = {"index": 0, "delta": {"content": ANSWER}, "finish_reason": None}
            body = events({"choices": [delta]}, {"choices": [STOP]})
            raw.answers(whole(body, "200 OK", "Content-Type: text/event-stream"))
        else:
            raw.answers(whole(completion(ANSWER)))
        yield raw


def holds_of(client: Client) -> list[bool]:
    """Return a list that gets what each further question whether to hold is answered with."""
    holds, hold = [], client.engine.outage.hold

    async def recorded(error: EngineError | CircuitOpenError, deadline: float) -> bool:
        holds.append(await hold(error, deadline))
        return holds[-1]

    client.engine.outage.hold = recorded  # type: ignore[method-assign]
    return holds


async def is_held(client: Client, count: int = 1) -> None:
    async with asyncio.timeout(20):
        while client.engine.outage.held < count:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("face", FACES)
async def test_a_held_request_is_answered_once_the_engine_is_there(
    start_client: Callable[..., Client], port: int, face: str
) -> None:
    client = start_client(engine_patience=LONG_BUDGET)
    request = asyncio.create_task(client.call(face))
    await is_held(client)
    async with engine_at(port, face) as raw:
        assert await request == ANSWER
        assert len(raw.requests) == 1
    assert client.failures == {}
    assert client.engine.outage.held == 0


async def test_requests_behind_an_open_circuit_are_held_too(start_client: Callable[..., Client], port: int) -> None:
    client = start_client(engine_patience=LONG_BUDGET)
    requests = [asyncio.create_task(client.call("complete")) for _ in range(12)]
    async with asyncio.timeout(20):
        while not client.engine.circuit.is_tripped:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
    async with engine_at(port) as raw:
        assert await asyncio.gather(*requests) == [ANSWER] * 12
        assert len(raw.requests) == 12


@pytest.mark.parametrize("face", FACES)
async def test_a_request_fails_when_the_budget_of_the_outage_is_over(
    start_client: Callable[..., Client], face: str
) -> None:
    client = start_client(engine_patience=0.6)
    assert await client.failure(face) == (503, "refused")
    holds = holds_of(client)
    # The budget is the outage's, not the request's.
    assert await client.failure(face) == (503, "refused")
    assert holds == [False]


async def test_without_a_budget_a_request_fails_at_once(start_client: Callable[..., Client]) -> None:
    client = start_client()
    holds = holds_of(client)
    await client.failure("complete")
    assert holds == [False]


async def test_a_request_is_held_no_longer_than_its_own_time(start_client: Callable[..., Client]) -> None:
    client = start_client(engine_patience=LONG_BUDGET)
    holds = holds_of(client)
    assert await client.failure("complete", seconds=0.7) == (503, "refused")
    assert holds[-1] is False


async def test_the_next_outage_has_a_budget_of_its_own(start_client: Callable[..., Client], port: int) -> None:
    client = start_client(engine_patience=0.6)
    await client.failure("complete")
    async with engine_at(port):
        assert await client.call("complete") == ANSWER
    request = asyncio.create_task(client.call("complete"))
    await is_held(client)
    async with engine_at(port):
        assert await request == ANSWER


async def test_a_request_that_reached_the_engine_is_not_sent_again(
    start_client: Callable[..., Client], port: int
) -> None:
    client = start_client(engine_patience=LONG_BUDGET)
    async with engine_at(port) as raw:
        raw.answers(resetting)
        assert await client.failure("complete") == (503, "broken_off")
        assert len(raw.requests) == 1


@pytest.mark.parametrize("face", FACES)
async def test_a_request_that_an_engine_fails_for_as_it_ends_is_held_for_the_next_one(
    start_client: Callable[..., Client], port: int, face: str
) -> None:
    client = start_client(engine_patience=LONG_BUDGET)
    async with engine_at(port, face) as raw:
        raw.script.insert(0, writing(whole(b"{}", "500 Internal Server Error")))
        request = asyncio.create_task(client.call(face))
        await is_held(client)
    # It closes its port meanwhile.
    await is_held(client)
    async with engine_at(port, face):
        assert await request == ANSWER
    assert client.failures == {}


async def test_an_engine_that_fails_on_is_not_waited_for(
    start_client: Callable[..., Client], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.engine.outage._ENDING_SECONDS", 0.6)
    client = start_client(engine_patience=LONG_BUDGET)
    async with engine_at(port) as raw:
        raw.answers(whole(b"{}", "500 Internal Server Error"))
        assert await client.failure("complete") == (503, "failing")
        assert 2 <= len(raw.requests) <= 3
        # The next request fails at once, until one is answered.
        holds = holds_of(client)
        assert await client.failure("complete") == (503, "failing")
        assert holds == [False]


async def test_probes_are_not_held(start_client: Callable[..., Client]) -> None:
    client = start_client(engine_patience=LONG_BUDGET)
    holds = holds_of(client)
    assert not await client.engine.produces_tokens("m", within=5)
    assert holds == []


async def test_health_fails_while_a_note_is_held_and_both_succeed_after(start_gateway: StartGateway, port: int) -> None:
    gateway = await start_gateway(engine_url=f"http://127.0.0.1:{port}", engine_patience=LONG_BUDGET)
    note = asyncio.create_task(gateway.extract())
    async with asyncio.timeout(20):
        while b"gateway_held 1.0" not in (await gateway.call("GET", "/metrics")).body:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)
    assert (await gateway.call("GET", "/health")).status == 503
    assert (await gateway.call("GET", "/live")).status == 200
    async with engine_at(port):
        # The fake's answer is no extraction, but it is an answer of the engine.
        assert (await note).status == 502
