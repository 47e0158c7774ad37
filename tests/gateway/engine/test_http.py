"""The HTTP client, against servers that behave and that do not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.engine.http import BrokenOffError, ConnectError, HttpClient
from tests.gateway.conftest import free_port, until

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Server:
    """A raw server: it reads requests and lets a test answer."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.connections = 0
        self.open = 0
        self.requests: list[bytes] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
                self.requests.append(head + await reader.readexactly(length))
                await self._answer(reader, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[tuple[Server, HttpClient]]:
    """Yield a server and a client of it."""
    server = Server(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        client = HttpClient(f"http://127.0.0.1:{port}/base", connect_timeout=1)
        try:
            yield server, client
        finally:
            client.close()
            await until(lambda: server.open == 0)


def writing(*parts: bytes, close: bool = False) -> Answer:
    """Return an answer of these parts."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.01)
        if close:
            writer.close()

    return answer


async def get(client: HttpClient) -> tuple[int, bytes]:
    async with client.send("GET", "/path") as response:
        return response.status, await response.read()


async def test_a_request_and_its_answer_are_whole() -> None:
    async with serving(writing(WHOLE)) as (server, client):
        async with client.send("POST", "/path", b'{"a": 1}', "id-1") as response:
            assert (response.status, await response.read()) == (200, b"hello")
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /base/path HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"X-Request-Id: id-1" in head
        assert body == b'{"a": 1}'


async def test_a_connection_is_kept_and_as_many_are_made_as_are_used_at_once() -> None:
    async with serving(writing(WHOLE)) as (server, client):
        for _ in range(5):
            assert await get(client) == (200, b"hello")
        assert server.connections == 1
        await asyncio.gather(*(get(client) for _ in range(4)))
        assert server.connections == 4


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (writing(*(WHOLE[at : at + 1] for at in range(len(WHOLE)))), b"hello"),
        (
            writing(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", b"3\r\nllo\r\n0\r\n\r\n"),
            b"hello",
        ),
        (writing(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), b""),
        (writing(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000), b"x" * 3_000_000),
        (writing(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", close=True), b"hello"),
    ],
)
async def test_an_http_answer_may_arrive_in_any_parts(answer: Answer, body: bytes) -> None:
    async with serving(answer) as (_, client):
        for _ in range(2):
            assert await get(client) == (200, body)


async def test_an_idle_connection_that_the_server_closed_is_no_error() -> None:
    async with serving(writing(WHOLE, close=True)) as (server, client):
        for _ in range(3):
            assert await get(client) == (200, b"hello")
        assert server.connections == 3


@pytest.mark.parametrize(
    "answer",
    [
        writing(close=True),
        writing(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", close=True),
        writing(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", close=True),
        writing(b"HTTP/1.1 200 OK\r\nContent-", close=True),
        writing(b"SSH-2.0-OpenSSH_9.2\r\n"),
        writing(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    ],
)
async def test_an_answer_that_breaks_off_or_is_no_http_is_an_error(answer: Answer) -> None:
    async with serving(answer) as (server, client):
        with pytest.raises(BrokenOffError):
            await asyncio.wait_for(get(client), 2)
        await until(lambda: server.open == 0)


async def test_unsolicited_data_is_no_answer_to_the_next_request() -> None:
    async with serving(writing(WHOLE + WHOLE)) as (server, client):
        for number in range(1, 4):
            try:
                assert await get(client) == (200, b"hello")
            except BrokenOffError:
                continue
            assert server.connections <= number


async def test_leaving_early_closes_the_connection() -> None:
    async with serving(writing(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nh")) as (server, client):
        async with client.send("GET", "/") as response:
            assert await response.read_some() == b"h"
        await until(lambda: server.open == 0)
        waiting = asyncio.create_task(get(client))
        await until(lambda: server.open == 1)
        waiting.cancel()
        await until(lambda: server.open == 0)


async def test_a_stream_is_passed_on_as_it_comes_and_buffered_within_a_bound() -> None:
    sent = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    async with serving(endless) as (_, client), client.send("GET", "/") as response:
        await asyncio.sleep(0.5)
        held = sent
        assert held < 64 * 1_048_576  # the sockets' buffers, and ours
        for _ in range(20):
            assert await response.read_some()


async def test_an_unreachable_server_is_a_connect_error() -> None:
    client = HttpClient(f"http://127.0.0.1:{free_port()}", connect_timeout=1)
    with pytest.raises(ConnectError):
        await get(client)
