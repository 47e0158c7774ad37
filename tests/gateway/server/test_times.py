"""Nothing waits for ever for a client: each part of a request, and each part of an answer, has its time."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from aiohttp import web
from fastapi import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.http.scope import STATUS
from gateway.api.http.streaming import LINES, PartsResponse
from gateway.server.connection import Connection
from gateway.server.limits import Limits
from tests.fakes.engine.scripted import FakeEngine
from tests.gateway.conftest import Gateway, StartGateway, until

SHORT, LONG = 0.2, 60.0
HEAD = b"POST /api/v1/extract HTTP/1.1\r\nHost: x\r\nX-Request-ID: this-one\r\n"
TIMES = ("head_timeout", "keep_alive_timeout", "send_timeout", "request_timeout")


class Talk:
    """A connection to a gateway in the test's own loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def drip(self, data: bytes) -> None:
        """Send a byte now and then, until the gateway has had enough."""
        for number in range(10_000):
            if self.reader.at_eof() or self.writer.is_closing() or self.reader._buffer:  # type: ignore[attr-defined]
                return
            self.writer.write(data[number % len(data)].to_bytes())
            await asyncio.sleep(SHORT / 20)

    async def all(self) -> bytes:
        """Read until the gateway ends the connection."""
        async with asyncio.timeout(20):
            return await self.reader.read()


async def connect(gateway: Gateway, *sent: bytes) -> Talk:
    """Connect and send."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    for packet in sent:
        writer.write(packet)
        await asyncio.sleep(0.01)
    return Talk(reader, writer)


def only(**times: float) -> dict[str, Any]:
    """Return settings with one short time, so that no other can be the one that ends something."""
    return dict.fromkeys(TIMES, LONG) | times


def logged(log: Callable[[], str], identity: str = "this-one") -> dict[str, Any]:
    """Return the line of a request, and make sure that nothing was logged as an error."""
    lines = [json.loads(line) for line in log().splitlines()]
    assert not [line for line in lines if line["level"] in ("WARNING", "ERROR", "CRITICAL")]
    (line,) = [line for line in lines if line["message"] == "request" and line["request_id"] == identity]
    return dict(line)


async def test_a_connection_without_a_request_is_closed(start_gateway: StartGateway) -> None:
    silent = await connect(await start_gateway(**only(head_timeout=SHORT)))
    assert await silent.all() == b""
    silent.writer.close()


@pytest.mark.parametrize(("begin", "drip"), [(HEAD, b""), (HEAD, b"x"), (b"P", b""), (b"", b"\r\n")])
async def test_a_head_has_its_time_however_it_drips(start_gateway: StartGateway, begin: bytes, drip: bytes) -> None:
    talk = await connect(await start_gateway(**only(head_timeout=SHORT)), begin)
    if drip:
        await talk.drip(drip)
    assert (await talk.all()).startswith(b"HTTP/1.1 408 ")
    talk.writer.close()


async def test_a_connection_between_two_requests_has_its_time(start_gateway: StartGateway) -> None:
    talk = await connect(
        await start_gateway(**only(keep_alive_timeout=SHORT)), b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    answer = await talk.all()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1
    talk.writer.close()


async def test_blank_lines_do_not_keep_a_connection(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(**only(keep_alive_timeout=SHORT, head_timeout=SHORT))
    talk = await connect(gateway, b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
    await talk.reader.readuntil(b"}")
    await talk.drip(b"\r\n")
    assert (await talk.all()).startswith(b"HTTP/1.1 408 ")
    talk.writer.close()


@pytest.mark.parametrize("drip", [b"", b" "])
@pytest.mark.parametrize("framing", [b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n186a0\r\n"])
async def test_a_body_has_the_requests_time_however_it_drips(
    start_gateway: StartGateway, log: Callable[[], str], framing: bytes, drip: bytes
) -> None:
    talk = await connect(await start_gateway(**only(request_timeout=SHORT)), HEAD + framing)
    if drip:
        await talk.drip(drip)
    answer = await talk.all()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer
    talk.writer.close()
    assert logged(log)["status"] == 408


async def test_the_rest_of_a_body_whose_request_was_answered_has_its_time(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.server.connection.DISCARD_SECONDS", SHORT)
    talk = await connect(
        await start_gateway(**only()), b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
    )
    assert (await talk.all()).startswith(b"HTTP/1.1 404 ")
    talk.writer.close()


async def test_a_client_that_goes_away_in_its_body_is_logged_as_gone(
    start_gateway: StartGateway, log: Callable[[], str]
) -> None:
    talk = await connect(await start_gateway(**only()), HEAD + b"Content-Length: 9\r\n\r\n", b"{")
    talk.writer.close()
    await until(lambda: "this-one" in log())
    assert logged(log)["status"] == 499


# Answers, of more bytes than all buffers on the way hold.

PIECE, PIECES = b"x" * 100_000, 300
QUESTION = b'{"messages": [{"role": "user", "content": "x"}], "stream": true}'
STREAM = (
    HEAD.replace(b"/api/v1/extract", b"/v1/chat/completions") + b"Content-Length: %d\r\n\r\n" % len(QUESTION) + QUESTION
)


async def lines(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a stream of parts."""

    async def parts() -> AsyncGenerator[bytes]:
        for _ in range(PIECES):
            yield PIECE

    await PartsResponse(Request(scope, receive, send), parts(), LINES)(scope, receive, send)


async def whole(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once."""
    await Response(PIECE * PIECES)(scope, receive, send)


async def large_stream(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
    """Stream a large text, as an engine does."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    event = json.dumps({"choices": [{"index": 0, "delta": {"content": PIECE.decode()}}]})
    for _number in range(PIECES):
        await response.write(f"data: {event}\n\n".encode())
    return response


@asynccontextmanager
async def stalled(port: int, sent: bytes) -> AsyncIterator[socket.socket]:
    """Yield the connection of a client that takes nearly nothing of the answer to what it sent."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.send(sent)
        yield client


@asynccontextmanager
async def serving(app: ASGIApp, **limits: float) -> AsyncIterator[tuple[int, uvicorn.Server]]:
    """Yield the port of a server of an application, and the server."""
    times = {"head_seconds": LONG, "body_seconds": LONG, "send_seconds": LONG, "keep_alive_seconds": LONG} | limits
    connection = Connection.bound(Limits(connections=10, **times), lambda _: None)
    config = uvicorn.Config(app, port=0, http=connection, ws="none", lifespan="off", log_config=None)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1], server
    finally:
        await server.shutdown()


@pytest.mark.parametrize("app", [lines, whole])
async def test_a_client_that_takes_no_more_of_its_answer_is_cut(app: ASGIApp, log: Callable[[], str]) -> None:
    scopes: list[Scope] = []

    async def kept(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await app(scope, receive, send)

    async with serving(kept, send_seconds=SHORT) as (port, server), stalled(port, HEAD + b"\r\n") as client:
        async with asyncio.timeout(20):
            while not scopes or server.server_state.connections or server.server_state.tasks:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        client.settimeout(20)
        received = await asyncio.to_thread(read_to_the_end, client)
    assert 0 < received < PIECES * len(PIECE)
    assert scopes[0].get(STATUS) == (499 if app is lines else None)
    assert "ERROR" not in log()


def read_to_the_end(client: socket.socket) -> int:
    """Return the number of bytes that come until the end, or until a reset."""
    received = 0
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(1 << 20):
            received += len(part)
    return received


async def test_a_request_whose_time_ends_while_its_client_reads_nothing_is_logged_as_too_late(
    start_gateway: StartGateway, engine: FakeEngine, log: Callable[[], str]
) -> None:
    engine.handler = large_stream
    gateway = await start_gateway(**only(request_timeout=1.0))
    async with stalled(int(gateway.url.rpartition(":")[2]), STREAM), asyncio.timeout(20):
        while "this-one" not in log():  # noqa: ASYNC110 - what is watched has no event
            await asyncio.sleep(0.02)
    assert logged(log)["status"] == 504
    await until(lambda: gateway.services.gate.running == 0)
