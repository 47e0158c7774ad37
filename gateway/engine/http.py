"""The HTTP client of the engine: aiohttp's, with limits, and with rules for when a connection is used again.

An answer is its own request's, or an error (docs/decisions/0016-aiohttp-client.md).
"""

import asyncio
import functools
import io
import os
import select
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader
from aiohttp.tracing import Trace
from yarl import URL

from gateway.observability import tracing

# Bytes beyond as many as the content has that may come without being content: heads, interim answers, the framing of
# chunks.
_MOST_OVERHEAD = 1_048_576
# Shorter than the five seconds after which uvicorn, and so vLLM, closes a connection that is not used.
_KEEP_SECONDS = 4.0
# aiohttp warns of larger bodies in one piece, as writing them at once keeps the event loop busy.
_LARGE_BODY = 1_048_576


class HttpError(Exception):
    """The server gave no answer, or one that is no HTTP or too large.

    Attributes:
        reason: a fixed word.
        cause: a sentence for the operator, which quotes nothing that the server sent.
    """

    def __init__(self, reason: str, cause: str) -> None:
        """Make the error."""
        super().__init__(cause)
        self.reason = reason
        self.cause = cause


class Response:
    """An answer whose head has arrived."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        """Wrap aiohttp's response."""
        self._response = response
        self._protocol = response.connection and cast(_Protocol | None, response.connection.protocol)
        self.status = response.status

    async def read(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            HttpError: it has more than `limit` bytes, or broke off.
        """
        if (self._response.content_length or 0) > limit:
            raise _too_large(limit)
        parts, size = [], 0
        while part := await self.read_some():
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
        return b"".join(parts)

    async def read_some(self) -> bytes:
        """Return what has arrived of the body since the last call, at least a byte; empty at its end.

        Raises:
            HttpError: it broke off, or holds next to no content.
        """
        try:
            part = await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise _http_error(error) from error
        if self._protocol is not None:
            self._protocol.content += len(part)
        return part

    def close(self) -> None:
        """Close the connection at once, unless the answer is whole."""
        connection = self._response.connection
        if connection is not None and connection.transport is not None:
            # `close` alone would wait for a peer that does not take the rest of the request.
            connection.transport.abort()
        self._response.close()


class HttpClient:
    """Sends requests to one server, over connections that are kept for the next request."""

    def __init__(
        self, url: str, *, connect_timeout: float, connections: int, key: Callable[[], str | None] = lambda: None
    ) -> None:
        """Make a client; nothing is opened yet.

        Args:
            url: the server's address, such as http://127.0.0.1:8000.
            connect_timeout: seconds to reach it, with the resolution of its name and the TLS handshake.
            connections: that are open at once; more requests wait for one.
            key: returns what is sent as `Authorization: Bearer`, or None.
        """
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout)
        # The connector has a limit too, but its wait would count as time to connect.
        self._free = asyncio.Semaphore(connections)
        self._key = key
        # Reading the authorities takes a while, so only where they are needed.
        self._verification = ssl.create_default_context() if url.startswith("https:") else True
        self._session: aiohttp.ClientSession | None = None
        self._path_urls: dict[str, URL] = {}

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def send(
        self, method: str, path: str, body: bytes | None = None, request_id: str | None = None
    ) -> AsyncGenerator[Response]:
        """Send a request and yield its answer once the head has arrived.

        Leaving the context before the body has been read closes the connection, which ends the server's work. The trace
        of the request that is being served is passed on.

        Args:
            method: GET or POST.
            path: under the server's address.
            body: JSON, or None.
            request_id: goes into `X-Request-Id`; it must be fit for a header.

        Raises:
            HttpError: there is no answer, or it is no HTTP.
        """
        async with self._free:
            response = Response(await self._answered(method, path, body, request_id))
            try:
                yield response
            finally:
                response.close()

    async def _answered(
        self, method: str, path: str, body: bytes | None, request_id: str | None
    ) -> aiohttp.ClientResponse:
        """Return an answer whose head has arrived."""
        if self._session is None:
            self._session = _session(self._timeout, self._verification)
        if path not in self._path_urls:
            # The address as the operator wrote it: yarl would quote it anew.
            self._path_urls[path] = URL(self._url + path, encoded=True)
        headers = {} if body is None else {"Content-Type": "application/json"}
        if request_id is not None:
            headers["X-Request-Id"] = request_id
        if (trace := tracing.CURRENT.get()) is not None:
            headers |= trace.headers()
        if (key := self._key()) is not None:
            headers["Authorization"] = f"Bearer {key}"
        while True:
            try:
                return await self._session.request(
                    method, self._path_urls[path], data=_payload(body), headers=headers, allow_redirects=False
                )
            except _StaleConnectionError:
                # Each round uses up a kept connection, and a new one does not raise this.
                continue
            except (aiohttp.ClientError, OSError) as error:
                raise _http_error(error) from error
            except UnicodeError as error:
                raise HttpError("dns", "the name of the host cannot be one") from error


def _session(timeout: aiohttp.ClientTimeout, verification: ssl.SSLContext | bool) -> aiohttp.ClientSession:
    """Make a session that does what it is told alone: no cookies, no proxies of the environment, no decompression."""
    return aiohttp.ClientSession(
        connector=_Connector(
            limit=0,
            keepalive_timeout=_KEEP_SECONDS,
            ssl=verification,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=timeout,
        headers={"Accept-Encoding": "identity"},
        skip_auto_headers=["User-Agent"],
        trust_env=False,
        auto_decompress=False,
        max_line_size=8_190,
        max_field_size=8_190,
        max_headers=128,
    )


def _payload(body: bytes | None) -> bytes | io.BytesIO | None:
    return io.BytesIO(body) if body is not None and len(body) > _LARGE_BODY else body


class _StaleConnectionError(aiohttp.ServerDisconnectedError):
    """A kept connection ended before any of the answer came, as when the server had closed it meanwhile."""


class _FloodError(aiohttp.ClientPayloadError):
    """An answer without end that holds no content."""


class _FramingError(aiohttp.ClientPayloadError):
    """A body whose parts do not have the form that HTTP gives them."""


class _Protocol(ResponseHandler):
    """One connection. It tells a stale one from an answer that broke off, and bounds what is no content.

    aiohttp retries idempotent methods alone, has no bound on interim answers and on the framing of chunks, and leaves
    those who read a body waiting when its framing is broken.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin with a connection that has not been asked."""
        super().__init__(loop)
        self._requests = 0
        self._received = 0
        self.content = 0
        self.is_flooded = False

    def is_fit(self) -> bool:
        """Return whether another request can be sent: nothing has come that no request asked for."""
        if self._requests == 0:
            return True
        if self.should_close or self.transport is None or self._has_rest():
            return False
        # What has arrived and was not read yet, the end of the connection included.
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket"), select.POLLIN)
        return not poll.poll(0)

    def _has_rest(self) -> bool:
        """Return whether the parser holds the beginning of another answer."""
        try:
            return self._parser is not None and self._parser.feed_eof() is not None
        except HttpProcessingError:
            return True

    def set_response_params(self, **parameters: object) -> None:
        """Prepare for the answer to another request."""
        self._requests += 1
        self._received = self.content = 0
        super().set_response_params(**parameters)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Take in what has arrived."""
        self._received += len(data)
        # What has not been taken yet counts as none; aiohttp stops reading before that is much.
        if self._received > _MOST_OVERHEAD + 2 * self.content and self.transport is not None:
            self.is_flooded = True
            self.set_exception(_FloodError())
            self.transport.abort()
            return
        super().data_received(data)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Hand on the head of an answer."""
        if data[0].code == HTTPStatus.SWITCHING_PROTOCOLS:
            # No request asked for it, and aiohttp takes it for a whole answer where it names no protocol.
            self.force_close()
        super().feed_data(data, size)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Have those who wait for the answer get an error."""
        if self.is_flooded:
            exc = _FloodError()
        elif self._requests > 1 and self._received == 0 and isinstance(exc, aiohttp.ClientConnectionError):
            exc = _StaleConnectionError()
        if isinstance(exc, _FloodError | HttpProcessingError) and self._payload and not self._payload.is_eof():
            self._payload.set_exception(exc if isinstance(exc, _FloodError) else _FramingError())
        super().set_exception(exc, *cause)


class _Connector(aiohttp.TCPConnector):
    """Makes connections of the class above, and gives out a kept one only where nothing odd has come over it."""

    def __init__(self, *, limit: int, keepalive_timeout: float, ssl: ssl.SSLContext | bool) -> None:
        """Make a connector; the arguments are `TCPConnector`'s."""
        super().__init__(limit=limit, keepalive_timeout=keepalive_timeout, ssl=ssl)
        factory = functools.partial(_Protocol, loop=self._loop)
        self._factory = cast(functools.partial[ResponseHandler], factory)

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - `BaseConnector.connect` has it
    ) -> Connection:
        """Return a connection from the pool, or a new one."""
        while True:
            connection = await super().connect(req, traces, timeout)
            if cast(_Protocol, connection.protocol).is_fit():
                return connection
            connection.close()


def _too_large(limit: int) -> HttpError:
    return HttpError("too_large", f"the answer has more than {limit} bytes")


def _http_error(error: Exception) -> HttpError:
    """Return what an error of aiohttp means. Its own text may quote the answer, so it is not passed on."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            certificate = error.certificate_error
            why = getattr(certificate, "verify_message", "") or "it cannot be verified"
            return HttpError("tls", f"the certificate is not valid: {why}")
        case aiohttp.ClientSSLError():
            why = getattr(error.os_error, "reason", None) or "the connection ended"
            return HttpError("tls", f"the TLS handshake failed: {why}")
        case aiohttp.ClientConnectorDNSError():
            return HttpError("dns", "the name of the host cannot be resolved")
        case aiohttp.ServerTimeoutError():
            return HttpError("connect_timeout", "no connection was made within GATEWAY_CONNECT_TIMEOUT")
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, ConnectionRefusedError):
            return HttpError("refused", "nothing listens at the port")
        case aiohttp.ClientConnectorError():
            number = error.os_error.errno
            return HttpError("unreachable", os.strerror(number) if number else "no connection can be made")
        case _FloodError():
            return HttpError("too_large", f"{_MOST_OVERHEAD} bytes came with next to no content")
        case aiohttp.ClientResponseError() | _FramingError():
            return HttpError("not_http", "what came is no HTTP/1.1, or has too many or too long headers")
        case _:
            return HttpError("broken_off", "the connection ended before the answer was whole")
