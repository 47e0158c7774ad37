"""A small HTTP/1.1 client for one server, with kept connections.

It costs less CPU than aiohttp's client (docs/decisions/0003-own-http-client.md). The protocol itself is parsed by
httptools, as in uvicorn.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Protocol, cast
from urllib.parse import urlsplit

import httptools

# Reading pauses above this many bytes that nobody has taken.
_MOST_BUFFERED = 1_048_576


class ConnectError(Exception):
    """No connection could be made."""


class BrokenOffError(Exception):
    """The connection ended, or turned out not to speak HTTP, before the answer was whole."""


class Response(Protocol):
    """An answer whose head has arrived."""

    status: int

    async def read(self) -> bytes:
        """Return the whole body."""

    async def read_some(self) -> bytes:
        """Return what has arrived of the body since the last call, at least a byte; empty at its end."""


class HttpClient:
    """Sends requests to one server. It opens as many connections as there are requests at once, and keeps them."""

    def __init__(self, url: str, *, connect_timeout: float) -> None:
        """Make a client.

        Args:
            url: the server's address, such as http://127.0.0.1:8000.
            connect_timeout: seconds to reach it.
        """
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._ssl = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._ssl else 80)
        self._path = parts.path.rstrip("/")
        self._authority = parts.netloc.rpartition("@")[2]
        self._connect_timeout = connect_timeout
        self._idle: list[_Connection] = []

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    @asynccontextmanager
    async def send(
        self, method: str, path: str, body: bytes | None = None, request_id: str | None = None
    ) -> AsyncGenerator[Response]:
        """Send a request and yield its answer once the head has arrived.

        Leaving the context before the body has been read closes the connection, which ends the server's work.

        Args:
            method: GET or POST.
            path: under the server's address.
            body: JSON, or None.
            request_id: goes into `X-Request-Id`; it must be fit for a header.

        Raises:
            ConnectError: the server cannot be reached.
            BrokenOffError: the connection ended before the answer was whole.
        """
        request = self._head(method, path, body, request_id) + (body or b"")
        connection = await self._answered(request)
        try:
            yield connection
        finally:
            if connection.can_be_kept:
                self._idle.append(connection)
            else:
                connection.close()

    def _head(self, method: str, path: str, body: bytes | None, request_id: str | None) -> bytes:
        head = f"{method} {self._path}{path} HTTP/1.1\r\nHost: {self._authority}\r\nAccept: */*\r\n"
        if request_id is not None:
            head += f"X-Request-Id: {request_id}\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return (head + "\r\n").encode("latin-1")

    async def _answered(self, request: bytes) -> "_Connection":
        """Return a connection on which the head of the answer has arrived."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                try:
                    await connection.ask(request)
                except BrokenOffError:
                    # The server may close an idle connection just as it is used. Nothing has arrived, so ask once more.
                    if connection.has_begun:
                        raise
                    continue
                return connection
        connection = await self._connect()
        await connection.ask(request)
        return connection

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout):
                _, connection = await loop.create_connection(_Connection, self._host, self._port, ssl=self._ssl)
        except OSError as error:  # a time-out is one
            raise ConnectError("the server cannot be reached") from error
        return connection


class _Connection(asyncio.Protocol):
    """One connection, and the answer on it."""

    def __init__(self) -> None:
        self.status = 0
        self._transport: asyncio.Transport
        self._parser: httptools.HttpResponseParser
        self._is_asked = False
        self._parts: list[bytes] = []
        self._buffered = 0
        self._paused = False
        self._arrival: asyncio.Future[None] | None = None
        self._complete = False
        self._stays = False
        self._lost = False
        self.has_begun = False

    @property
    def is_open(self) -> bool:
        """Whether another request can be sent."""
        return not self._lost and not self._transport.is_closing()

    @property
    def can_be_kept(self) -> bool:
        """Whether the answer is whole and the server goes on listening."""
        return self._complete and self._stays and self.is_open

    async def ask(self, request: bytes) -> None:
        """Send a request and wait for the head of the answer.

        Raises:
            BrokenOffError: it did not come. The connection is closed.
        """
        self._parser, self._is_asked = httptools.HttpResponseParser(self), True
        self.status, self._parts, self._buffered, self._complete, self.has_begun = 0, [], 0, False, False
        self._resume()
        try:
            self._transport.write(request)
            while not self.status:
                await self._wait()
        except BaseException:
            self.close()
            raise

    async def read(self) -> bytes:
        """Return the whole body."""
        while not self._complete:
            await self._wait()
            self._resume()
        return self._take()

    async def read_some(self) -> bytes:
        """Return what has arrived of the body since the last call."""
        while not self._parts and not self._complete:
            await self._wait()
        return self._take()

    def close(self) -> None:
        """Close the connection at once."""
        self._lost = True
        self._transport.abort()

    def _take(self) -> bytes:
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts, self._buffered = [], 0
        self._resume()
        return body

    def _resume(self) -> None:
        if self._paused and not self._lost:
            self._paused = False
            self._transport.resume_reading()

    async def _wait(self) -> None:
        """Wait until something has arrived.

        Raises:
            BrokenOffError: nothing more will arrive.
        """
        if self._lost:
            raise BrokenOffError("the connection ended before the answer was whole")
        self._arrival = asyncio.get_running_loop().create_future()
        try:
            await self._arrival
        finally:
            self._arrival = None

    def _notify(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    # Callbacks of the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._lost = True
        self._notify()

    def data_received(self, data: bytes) -> None:
        if self._complete or not self._is_asked:
            self.close()  # there is no request to answer
            return
        self.has_begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()
        if self._buffered > _MOST_BUFFERED and not self._paused and not self._lost:
            self._paused = True
            self._transport.pause_reading()
        self._notify()

    # Callbacks of the parser.

    def on_message_begin(self) -> None:
        if self._complete:
            self._lost = True  # a second answer to one request; the first is whole

    def on_headers_complete(self) -> None:
        if not self._complete:
            self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if not self._complete:
            self._parts.append(body)
            self._buffered += len(body)

    def on_message_complete(self) -> None:
        self._complete = True
        self._stays = bool(self._parser.should_keep_alive())  # valid from here on
