"""A fake of the engine on the level of bytes: it answers each request with exactly the bytes that a test says."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.fakes.engine import documents

# Writes one answer; returning ends it, and the connection stays open unless it was closed.
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


def head(length: int, status: str = "200 OK", *more: str) -> bytes:
    """Return the head of an answer with a body of `length` bytes, and `more` lines in it."""
    lines = (f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {length}", *more)
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


def whole(body: bytes | dict[str, object], status: str = "200 OK", *more: str) -> bytes:
    """Return an answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head(len(raw), status, *more) + raw


def chunk(data: bytes) -> bytes:
    """Return a chunk of an answer that is `CHUNKED`; the empty one ends it."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def completion(text: str, **changes: object) -> dict[str, object]:
    """Return a chat completion; `changes` replace parts of the document."""
    return documents.completion(text, None, documents.usage(10, 5)) | changes


def writing(*parts: bytes, pause: float = 0.0, close: bool = False) -> Answer:
    """Return an answer of these parts, with a pause between two, which may end the connection."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        for number, part in enumerate(parts):
            if number and pause:
                await asyncio.sleep(pause)
            writer.write(part)
            await writer.drain()
        if close:
            writer.close()

    return answer


def repeating(part: bytes, *, before: bytes = b"") -> Answer:
    """Return an answer without an end."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        while True:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)

    return answer


async def resetting(writer: asyncio.StreamWriter) -> None:
    """Answer nothing and reset the connection."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def silent(_: asyncio.StreamWriter) -> None:
    """Answer nothing."""


@dataclass
class RawEngine:
    """What it answers - the script's answers in turn, the last one for ever - and what it was asked."""

    script: list[Answer] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    requests: list[bytes] = field(default_factory=list)
    url: str = ""

    def answers(self, *script: Answer | bytes) -> None:
        """Set the script; bytes are an answer in one piece."""
        self.script = [writing(answer) if isinstance(answer, bytes) else answer for answer in script]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        self.open += 1
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                length = int(request.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
                self.requests.append(request + await reader.readexactly(length))
                await self._answer()(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()

    def _answer(self) -> Answer:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


def events(*data: object) -> bytes:
    """Return a stream's body: documents, or texts as they are, then the end."""
    texts: Iterable[str] = (text if isinstance(text, str) else json.dumps(text) for text in (*data, "[DONE]"))
    return "".join(f"data: {text}\n\n" for text in texts).encode()


@asynccontextmanager
async def raw_engine(port: int = 0) -> AsyncIterator[RawEngine]:
    """Run a fake, by default at a free port; leaving ends its connections."""
    engine = RawEngine()
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(engine.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", port, limit=16 * 1_048_576)
    async with server:
        engine.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield engine
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
