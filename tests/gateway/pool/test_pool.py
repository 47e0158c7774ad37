"""What a pool of engines does: it spreads requests, loses none when a member goes, and lets nobody else in."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.gateway.conftest import Reply
from tests.gateway.pool.conftest import KEY, Member, Pool, gateway_of, pool_file
from tests.support.pool_certificate import NAME

pytestmark = pytest.mark.slow

# What a log must never hold.
PLANTED = "planted-words-of-a-note"
CHAT = {"model": "medical-ie", "messages": [{"role": "user", "content": "stage IV"}]}
# The look at the file, two checks, and a machine that is busy.
LEFT_SECONDS = 8.0


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is watched has no event
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def load(pool: Pool, clients: int = 4) -> AsyncIterator[list[Reply]]:
    """Have clients extract one note after the other from the first member's gateway; yields what they got."""
    replies: list[Reply] = []
    ended = asyncio.Event()

    async def ask() -> None:
        while not ended.is_set():
            replies.append(await pool.gateway.extract())

    tasks = [asyncio.create_task(ask()) for _ in range(clients)]
    try:
        yield replies
        ended.set()
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def lost(replies: list[Reply]) -> list[int]:
    """Return the statuses of the requests that were not answered."""
    return [reply.status for reply in replies if reply.status != 200]


async def test_requests_go_to_the_engine_with_the_fewest(pool: Pool) -> None:
    for engine in pool.engines:
        engine.delay = 0.5
    replies = await asyncio.gather(*(pool.gateway.extract() for _ in range(8)))
    assert lost(replies) == []
    assert pool.asked == [4, 4]


async def test_one_member_is_a_pool_too(members: list[Member]) -> None:
    members[0].write([])
    await members[0].start()
    async with gateway_of(members[0]) as gateway:
        assert (await gateway.extract()).status == 200
        assert (await gateway.call("GET", "/health")).status == 200


async def test_an_engine_that_dies_costs_nobody_a_request(pool: Pool) -> None:
    for engine in pool.engines:
        engine.delay = 0.05
    async with load(pool) as replies:
        await until(lambda: min(pool.asked) > 5)
        await pool.engines[1].stop()
        before = len(replies)
        await until(lambda: len(replies) > before + 100)
    assert lost(replies) == []
    # The own one as well, and the gateway of the instance goes on with the other's.
    await pool.engines[1].start()
    await pool.engines[0].stop()
    async with load(pool) as replies:
        await until(lambda: len(replies) > 100)
    assert lost(replies) == []
    assert (await pool.gateway.call("GET", "/health")).status == 200


async def test_a_member_whose_router_dies_costs_nobody_a_request(pool: Pool) -> None:
    pool.engines[0].delay = pool.engines[1].delay = 0.05
    async with load(pool) as replies:
        await until(lambda: min(pool.asked) > 5)
        pool.members[1].stop()
        before = len(replies)
        await until(lambda: len(replies) > before + 100)
    assert lost(replies) == []


async def test_engines_that_all_come_back_in_time_are_waited_for(pool: Pool) -> None:
    for engine in pool.engines:
        await engine.stop()
    asked = asyncio.ensure_future(pool.gateway.extract())
    await asyncio.sleep(3)
    assert not asked.done(), asked.result()
    await pool.engines[0].start()
    assert (await asked).status == 200


async def test_where_all_engines_stay_away_callers_are_told_soon(pool: Pool) -> None:
    """Not after the request's own time: `/health`, too, says so at once."""
    for engine in pool.engines:
        await engine.stop()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert (await pool.gateway.extract()).status == 503
    assert loop.time() - began < 20
    assert (await pool.gateway.call("GET", "/health")).status == 503


async def test_a_door_that_closes_is_left_and_what_runs_there_goes_on(pool: Pool) -> None:
    own, other = pool.engines
    await own.stop()
    # No connection to it is taken for one that is open.
    await asyncio.sleep(1)
    other.token_delay = 0.1
    other.answers["medical-ie"] = "word " * 200
    url = f"{pool.members[0].url}/v1/chat/completions"
    async with aiohttp.ClientSession() as session, session.post(url, json={**CHAT, "stream": True}) as stream:
        assert stream.status == 200
        await stream.content.readany()
        await own.start()
        pool.members[1].write([], state="alone")
        other.token_delay = 0.02
        await asyncio.sleep(LEFT_SECONDS)
        before = len(other.bodies)
        other.answers.clear()
        async with load(pool) as replies:
            await until(lambda: len(replies) > 20)
        assert lost(replies) == []
        assert len(other.bodies) == before
        assert (await stream.read()).endswith(b"data: [DONE]\n\n")
    # Alone, the released instance's own gateway asks its own engine and no other.
    before = len(own.bodies)
    async with gateway_of(pool.members[1]) as gateway:
        assert lost([await gateway.extract() for _ in range(6)]) == []
    assert len(own.bodies) == before


async def test_files_are_replaced_under_load(pool: Pool) -> None:
    for engine in pool.engines:
        engine.delay = 0.02
    first, second = pool.members
    async with load(pool) as replies:
        for state in ("alone", "open"):
            for member, other in ((second, first), (first, second)):
                member.write([other], state=state)
                await asyncio.sleep(2.5)
        await until(lambda: b"adapted config" in first.log.read_bytes() or len(replies) > 50)
    assert lost(replies) == []
    assert min(pool.asked) > 10


async def test_an_engine_with_other_models_is_not_used(pool: Pool) -> None:
    second = pool.members[1]
    second.stop()
    second.key = "another-release"
    await second.start()
    await asyncio.sleep(LEFT_SECONDS)
    before = len(second.engine.bodies)
    async with load(pool) as replies:
        await until(lambda: len(replies) > 20)
    assert lost(replies) == []
    assert len(second.engine.bodies) == before


async def test_a_gateway_that_goes_away_ends_the_engines_work(pool: Pool) -> None:
    """At the own engine and at another's, whole answers and streams."""
    for stopped, asked in ((1, 0), (0, 1)):
        await pool.engines[stopped].stop()
        await asyncio.sleep(0.1)
        for is_stream in (False, True):
            engine = pool.engines[asked]
            engine.delay, before = 30, engine.cancelled
            async with aiohttp.ClientSession() as session:
                call = asyncio.ensure_future(
                    session.post(f"{pool.members[0].url}/v1/chat/completions", json={**CHAT, "stream": is_stream})
                )
                await until(lambda engine=engine: engine.running == 1)  # type: ignore[misc]
                call.cancel()
                await until(lambda engine=engine, before=before: engine.cancelled > before, 5)  # type: ignore[misc]
            engine.delay = 0
        await pool.engines[stopped].start()


async def test_a_stream_of_another_engine_arrives_piece_by_piece(pool: Pool) -> None:
    await pool.engines[0].stop()
    pool.engines[1].token_delay = 0.05
    loop = asyncio.get_running_loop()
    url = f"{pool.members[0].url}/v1/chat/completions"
    async with aiohttp.ClientSession() as session, session.post(url, json={**CHAT, "stream": True}) as answer:
        await answer.content.readany()
        first = loop.time()
        await answer.read()
    assert loop.time() - first > 0.2


def knock(member: Member, path: str, context: ssl.SSLContext, method: str = "GET", **headers: str) -> int:
    """Return the status of a request at a member's door."""
    connection = http.client.HTTPSConnection("127.0.0.1", member.door, timeout=30, context=context)
    # The name is checked, and the address is none.
    plain = socket.create_connection(("127.0.0.1", member.door), 30)
    connection.sock = context.wrap_socket(plain, server_hostname=NAME)
    with contextlib.closing(connection):
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        connection.request(method, path, headers={"Host": NAME, "X-Engine-Key": KEY, **named})
        return connection.getresponse().status


def trusting(certificate: Path, own: Path | None) -> ssl.SSLContext:
    """Return what a caller of a door trusts, and shows where it shows something."""
    context = ssl.create_default_context(cafile=str(certificate))
    if own is not None:
        context.load_cert_chain(own)
    return context


async def test_only_members_are_let_in(pool: Pool, certificate: Path, stranger: Path) -> None:
    door = pool.members[1]
    member = trusting(certificate, certificate)
    assert await asyncio.to_thread(knock, door, "/health", member) == 200
    for own in (None, stranger):
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            await asyncio.to_thread(knock, door, "/health", trusting(certificate, own))
    old = trusting(certificate, certificate)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.to_thread(knock, door, "/health", old)


async def test_a_router_gives_no_request_to_a_door_with_a_foreign_certificate(
    members: list[Member], stranger: Path
) -> None:
    members[1].certificate = stranger
    for member in members:
        member.write([other for other in members if other is not member])
        await member.start()
    async with gateway_of(members[0]) as gateway:
        replies = [await gateway.extract() for _ in range(12)]
    assert lost(replies) == []
    assert members[1].engine.bodies == []


@pytest.mark.parametrize(
    "path", ["/metrics", "/v1/load_lora_adapter", "/v1/embeddings", "/", "/health/x", "/v1/models/../../metrics"]
)
async def test_the_door_leads_to_nothing_else(pool: Pool, certificate: Path, path: str) -> None:
    member = trusting(certificate, certificate)
    assert await asyncio.to_thread(knock, pool.members[1], path, member) == 404


async def test_a_door_leads_to_its_own_engine_and_no_further(pool: Pool, certificate: Path) -> None:
    await pool.engines[1].stop()
    member = trusting(certificate, certificate)
    assert await asyncio.to_thread(knock, pool.members[1], "/health", member) == 502
    assert await asyncio.to_thread(lambda: knock(pool.members[0], "/health", member)) == 200


async def test_nothing_that_was_asked_is_logged(pool: Pool) -> None:
    for engine in pool.engines:
        await engine.stop()
    async with aiohttp.ClientSession() as session:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                await session.post(
                    f"{pool.members[0].url}/{PLANTED}?{PLANTED}",
                    data=json.dumps({"text": PLANTED}),
                    headers={"X-Planted": PLANTED},
                )
    for member in pool.members:
        assert PLANTED not in member.log.read_text()


def test_members_are_named_with_their_port_and_only_where_the_door_is_open() -> None:
    addresses = {"engine_pool_members": ["10.0.0.3", "10.0.0.2"], "engine_pool_port": 9000}
    text = pool_file(**addresses, _engine_pool_state="open")
    assert "reverse_proxy engine:8000 127.0.0.1:9001 127.0.0.1:9002 {" in text
    assert re.findall(r"reverse_proxy (10.*) {", text) == ["10.0.0.2:9000", "10.0.0.3:9000"]
    alone = pool_file(**addresses, _engine_pool_state="alone")
    assert ("lb_try_duration 5s" in text, "lb_try_duration 30s" in alone) == (True, True)
    assert "reverse_proxy engine:8000 {" in alone
    assert "10.0.0" not in alone
