"""How many connections and bodies there may be, and who is answered at the limit."""

import asyncio
import resource
from typing import Any

import pytest

from gateway.access.bodies import Bodies, BodiesFullError
from gateway.server.limits import RESERVE
from gateway.server.run import possible_connections
from gateway.settings import Settings
from tests.fakes.engine.scripted import FakeEngine
from tests.gateway.conftest import StartGateway, until
from tests.gateway.server.test_times import HEAD, connect

LIVE = b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def test_silent_connections_keep_nobody_out(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(max_connections=3)
    silent = [await connect(gateway, *sent) for sent in ([], [HEAD], [HEAD + b"Content-Length: 5\r\n\r\n"]) * 3]
    for _ in range(3):
        honest = await connect(gateway, LIVE)
        assert (await honest.all()).startswith(b"HTTP/1.1 200 ")
        honest.writer.close()
    for talk in silent:
        talk.writer.close()


async def test_where_all_connections_are_busy_the_open_paths_are_answered(
    start_gateway: StartGateway, engine: FakeEngine
) -> None:
    gateway = await start_gateway(max_connections=2)
    engine.delay = 0.5
    request = HEAD + b'Content-Length: 13\r\n\r\n{"text": "x"}'
    busy = [await connect(gateway, request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")) for _ in range(2)]
    await until(lambda: engine.running == 2)
    more = await connect(gateway, request)
    refused = await more.all()
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: " in refused
    live = await connect(gateway, LIVE.replace(b"Connection: close\r\n", b""))
    assert (await live.all()).startswith(b"HTTP/1.1 200 ")  # and is closed
    assert all([(await talk.all()).startswith(b"HTTP/1.1 200 ") for talk in busy])
    again = await connect(gateway, request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert (await again.all()).startswith(b"HTTP/1.1 200 ")
    for talk in (more, live, again, *busy):
        talk.writer.close()


async def test_the_bodies_of_all_requests_are_bounded_together(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(max_body_bytes=2000, max_bodies_bytes=3000)
    whole = b'{"text": "x"}' + b" " * 1887
    head = HEAD + b"Connection: close\r\nContent-Length: 1900\r\n\r\n"
    first = await connect(gateway, head + whole[:1800])
    await until(lambda: gateway.services.bodies.bytes == 1800)
    second = await connect(gateway, head + whole)
    refused = await second.all()
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: " in refused
    first.writer.write(whole[1800:])
    assert (await first.all()).startswith(b"HTTP/1.1 200 ")
    third = await connect(gateway, head + whole)
    assert (await third.all()).startswith(b"HTTP/1.1 200 ")
    for talk in (first, second, third):
        talk.writer.close()
    assert gateway.services.bodies.bytes == 0


async def test_a_body_that_is_only_announced_takes_no_room(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(max_body_bytes=2000, max_bodies_bytes=2000)
    announced = [await connect(gateway, HEAD + b"Content-Length: 2000\r\n\r\n") for _ in range(3)]
    assert (await gateway.extract()).status == 200
    for talk in announced:
        talk.writer.close()


def test_bodies_are_counted_and_given_back() -> None:
    bodies = Bodies(10)
    bodies.take(10)
    with pytest.raises(BodiesFullError) as caught:
        bodies.take(1)
    assert (caught.value.status, caught.value.retry_after is not None, bodies.bytes) == (503, True, 10)
    bodies.give_back(10)
    bodies.take(1)


@pytest.mark.parametrize(
    ("soft", "hard", "asked", "possible"),
    [
        (1 << 20, 1 << 20, None, 1000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, None, 1000),
        (256, 1 << 20, "as many as are wanted", 1000),
        (256, resource.RLIM_INFINITY, "as many as are wanted", 1000),
        (256, 512, 512, 512 - RESERVE - 64 - 2 * 10),
        (64, 64, 64, 1),
    ],
)
def test_the_connections_fit_the_limit_of_open_files(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, asked: object, possible: int
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: seen.append(limits[0]))
    settings = Settings(auth="off", max_connections=1000, max_concurrency=10)
    assert possible_connections(settings) == possible
    wanted = 1000 + RESERVE + 64 + 2 * 10
    assert seen == ([] if asked is None else [wanted if asked == "as many as are wanted" else asked])


async def test_a_connection_that_is_closed_at_once_leaves_nothing(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(max_connections=2)
    for _ in range(20):
        (await connect(gateway)).writer.close()
    await asyncio.sleep(0.05)
    assert (await gateway.call("GET", "/live")).status == 200
