"""Whatever comes, a connection ends in an answer or a close, nothing is left of it, and nothing goes wrong inside."""

import asyncio
import contextlib
import random
from collections.abc import Callable

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from tests.gateway.server.test_times import serving

HOST = b"Host: x\r\n"
OFFER = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
PIECES = [
    b"GET / HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"HEAD / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + OFFER + b"\r\n",
    b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello",
    b"POST /unread HTTP/1.1\r\n" + HOST + OFFER + b"Content-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"POST /unread HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"\r\n",
    b"x" * 20_000,
]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer, on most paths after the body."""
    request = Request(scope, receive)
    with contextlib.suppress(ClientDisconnect):
        if request.url.path != "/unread":
            await request.body()
        await asyncio.sleep(0)
    await PlainTextResponse("ok")(scope, receive, send)


def sent(chance: random.Random) -> bytes:
    """Return some requests, half of the time with a few bytes changed or left out."""
    data = bytearray(b"".join(chance.choices(PIECES, k=chance.randint(1, 25))))
    for _ in range(chance.choice([0, 0, 1, 3])):
        at = chance.randrange(len(data))
        data[at : at + chance.randint(0, 20)] = chance.randbytes(chance.choice([0, 1]))
    return bytes(data) or b"x"


async def converse(port: int, chance: random.Random) -> None:
    """Send in packets, perhaps end the sending side or reset, and read to the end."""
    data = sent(chance)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        cuts = sorted(chance.choices(range(len(data)), k=chance.choice([0, 0, 1, 4])))
        for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            writer.write(data[begin:end])
            await asyncio.sleep(0)
        ending = chance.choice(["wait", "wait", "half", "reset"])
        if ending == "half":
            with contextlib.suppress(OSError):
                writer.write_eof()
        elif ending == "reset":
            writer.transport.abort()
        answer = await asyncio.wait_for(reader.read(), 20)
        assert not answer or answer.startswith(b"HTTP/1.1 ")
    writer.close()


@pytest.mark.parametrize("seed", [1, 2])
async def test_any_bytes_end_in_an_answer_or_a_close(log: Callable[[], str], seed: int) -> None:
    chance = random.Random(seed)
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    async with serving(app, head_seconds=0.1, body_seconds=0.1, keep_alive_seconds=0.1) as (port, server):
        for _ in range(10):
            await asyncio.gather(*(converse(port, chance) for _ in range(20)))
        async with asyncio.timeout(20):
            while server.server_state.connections or server.server_state.tasks:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert not failures
    assert "ERROR" not in log()
