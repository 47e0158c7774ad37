"""uvicorn's HTTP/1.1 protocol on httptools, with bounds on everything that a client can send or leave undone.

Where this differs from uvicorn's own class, a test of this package says how.
"""

import asyncio
import enum
import secrets
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import httptools
import orjson
from loguru import logger
from starlette.types import ASGIApp
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.api.http.headers import ALWAYS
from gateway.api.http.problems import MEDIA_TYPE, ProblemError, problem
from gateway.api.http.scope import OVERLOADED, REQUEST_ID
from gateway.server.exchange import Exchange
from gateway.server.heads import Head, RefusedError, without_offer
from gateway.server.limits import (
    DISCARD_SECONDS,
    DISCARDED_BYTES,
    HEAD_BYTES,
    LAST_SECONDS,
    PIPELINED,
    SLICE_BYTES,
    Limits,
)
from gateway.server.pool import Pool
from gateway.server.wire import Wire


class Phase(enum.Enum):
    """What a connection waits for."""

    NEW = enum.auto()  # the first byte
    HEAD = enum.auto()  # the rest of a head
    BODY = enum.auto()  # the rest of the body of the request that is being answered
    ANSWER = enum.auto()  # the application's answer
    REST = enum.auto()  # the rest of a body whose request has been answered
    IDLE = enum.auto()  # another request


class Connection(HttpToolsProtocol):
    """One client's connection."""

    limits: ClassVar[Limits]
    seconds: ClassVar[Mapping[Phase, float]]
    pool: ClassVar[Pool]
    refused: ClassVar[Callable[[int], None]]

    @classmethod
    def bound(cls, limits: Limits, refused: Callable[[int], None]) -> type["Connection"]:
        """Return the class for the connections of one server, as uvicorn wants a class.

        Args:
            limits: the operator's choices.
            refused: is called with the status of each request that never reached the application.
        """
        seconds = {
            Phase.HEAD: limits.head_seconds,
            Phase.BODY: limits.body_seconds,
            Phase.REST: DISCARD_SECONDS,
            Phase.IDLE: limits.keep_alive_seconds,
        }
        members = {"limits": limits, "seconds": seconds, "pool": Pool(limits.connections)}
        return type(cls.__name__, (cls,), {**members, "refused": staticmethod(refused)})

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Make the protocol of a connection that is to come; uvicorn calls this."""
        super().__init__(config, server_state, app_state, _loop)
        self._head = Head()
        self._phase = Phase.NEW
        self._timer: asyncio.TimerHandle | None = None
        self._exchange: Exchange | None = None
        self._body_open = False
        # Bytes since the parser last found a message's begin or a part of a body.
        self._fruitless = 0
        # What came behind requests that wait for their turn; parsed when none waits any more.
        self._ahead = b""
        # The head to parse again, without its offer of another protocol.
        self._rewritten = b""
        self._rest_bytes = 0
        self._half_closed = False
        # What to answer after those that came before, and then nothing more.
        self._last_words: RefusedError | None = None
        self._over_limit = False

    # What the transport calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection, where there is room for it."""
        self.wire = Wire(transport, self.limits.send_seconds, self._may_still_send)
        super().connection_made(self.wire)
        self._over_limit = not self.pool.add(self)
        if self.pool.is_full:
            self.wire.abort()
        else:
            self._start_timer(self.limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, and forget the connection."""
        self.pool.remove(self)
        self._stop_timer()
        self.wire.lost()
        self._ahead = b""
        self.pipeline.clear()
        if self._exchange is not None:
            self._exchange.lost()  # uvicorn tells the request that came last, which may be another one
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless requests wait for their turn."""
        if self.wire.closing:
            self.wire.discard(data)
        elif self._ahead or self.pipeline or self._last_words:
            self._ahead += data  # once: no more is read until they have been answered
            self.wire.hold(True)
        else:
            self._parse(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer a client that has ended its side of the connection, but not the connection.

        Returns:
            Whether the connection stays open for the answer.
        """
        exchange = self._exchange
        waits = self._phase is Phase.ANSWER and exchange is not None and not exchange.answer_begun
        if not waits or self.scheme == "https":  # the end of TLS ends both sides
            return False
        self._half_closed = True
        self.wire.probe()
        return True

    def pause_writing(self) -> None:
        """Let the application wait, and the client not for ever."""
        super().pause_writing()
        self.wire.watch()

    def resume_writing(self) -> None:
        """Let the application go on."""
        super().resume_writing()
        self.wire.unwatch()

    # What the server and the pool call.

    def shutdown(self) -> None:
        """End the connection: the time to drain is over."""
        self.pipeline.clear()
        self.wire.end_within(LAST_SECONDS)
        if self.has_unsent:
            self.wire.abort()  # its client had all that time to read the answer
        elif self._exchange is not None:
            self._exchange.interrupt(going_down())
        else:
            self.wire.finish()

    def end_with_answer(self) -> None:
        """Let the answer that is under way be the last one, and say so where it has not begun."""
        cycle = self.cycle
        if self._exchange is not None and CLOSE_HEADER not in cycle.default_headers:
            cycle.default_headers = [*cycle.default_headers, CLOSE_HEADER]
            if cycle.response_started:
                cycle.keep_alive = False

    def refuse_unfinished(self) -> None:
        """Answer a request whose body is not there yet: there is no time to wait for it."""
        if self._phase is Phase.BODY and self._exchange is not None:
            self._exchange.interrupt(going_down())

    @property
    def has_unsent(self) -> bool:
        """Whether a part of an answer has not gone out."""
        return bool(self.wire.get_write_buffer_size())

    def evict(self) -> None:
        """Make room for another connection."""
        self._stop_timer()
        self.wire.finish()

    # Parsing.

    def _parse(self, data: bytes) -> None:
        if self._phase is Phase.REST:
            self._rest_bytes += len(data)
        for start in range(0, len(data), SLICE_BYTES):
            if self.pipeline:
                self._ahead = data[start:]
                break
            self._parse_slice(data if len(data) <= SLICE_BYTES else data[start : start + SLICE_BYTES])
            if self.wire.closing or self._last_words:
                return
        if self.pipeline:
            self.wire.hold(True)
        if self._rest_bytes > DISCARDED_BYTES:
            self.wire.abort()
        else:
            self._settle()

    def _parse_slice(self, data: bytes) -> None:
        self._fruitless += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._parse_without_offer(data[offer.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, RefusedError) else RefusedError(400, "this is not valid HTTP/1.1"))
        else:
            if self._fruitless > HEAD_BYTES:
                self._refuse(
                    RefusedError(431, f"a head, or what stands around a body, may have {HEAD_BYTES} bytes at most")
                )

    def _parse_without_offer(self, rest: bytes) -> None:
        """Parse a request that offers another protocol (h2c, WebSocket) as what it is in HTTP/1.1.

        A server may ignore the offer (RFC 9110, section 7.8), but the parser takes all behind the head for the other
        protocol. So a new one gets the head again, without the offer.
        """
        head, self._rewritten = self._rewritten, b""
        self.parser = httptools.HttpRequestParser(self)
        for data in (head, rest):
            if data and not self.wire.closing and not self._last_words:
                self._parse_slice(data)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._fruitless = 0
        self._head.begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        self._head.add_url(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; of a trailer nothing is kept, as it must not speak for the request (RFC 9110, 6.5.1)."""
        self._head.add_header(name, value)
        if self._head.is_open:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, or queue it behind the one that is being answered."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self._head.complete(method, version, self.headers)
        if self.parser.should_upgrade():
            self._rewritten = without_offer(method, self.url, version, self.headers)
            return
        if len(self.pipeline) >= PIPELINED:
            raise RefusedError(400, f"{PIPELINED} requests may wait behind another at most")
        if self._over_limit:
            cast("dict[str, Any]", self.scope)[OVERLOADED] = True
        super().on_headers_complete()
        self._body_open = True
        if self._over_limit:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._exchange = Exchange(cycle, cast("ASGIApp", app))
        self._enter(Phase.ANSWER)
        super()._start_asgi_task(cycle, cast("ASGI3Application", self._exchange))

    def on_body(self, body: bytes) -> None:
        """Hand a part of the body on."""
        self._fruitless = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        if not self._rewritten:
            self._body_open = False
            super().on_message_complete()

    # Refusing.

    def _refuse(self, error: RefusedError) -> None:
        """Answer what cannot be parsed, or is too much, after all that came before it; nothing behind it is read."""
        if self._exchange is None and not self._body_open:
            self._answer_refused(error)
            return
        self._last_words = error
        if self._exchange is None:  # it has had its answer, and gets no second one
            self._stop_timer()
            self.wire.close()
            return
        self.wire.hold(True)
        if self._body_open and self.pipeline:
            self.pipeline.popleft()  # the last one that came: its body is what was refused
        elif self._body_open:
            self._exchange.interrupt(ProblemError(error.status, error.detail))

    def _answer_refused(self, error: RefusedError) -> None:
        identity = secrets.token_hex(16)
        body = orjson.dumps(problem({REQUEST_ID: identity}, ProblemError(error.status, error.detail)))
        headers = [
            *self.server_state.default_headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            *ALWAYS,
            (b"x-request-id", identity.encode()),
            CLOSE_HEADER,
        ]
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self.wire.write(STATUS_LINE[error.status] + lines + b"\r\n" + body)
        self._last_words = error
        self._stop_timer()
        self.pool.mark(self, idle=True)
        self.wire.close()
        type(self).refused(error.status)
        line = {"method": None, "route": None, "status": error.status, "client": None, "reason": error.detail}
        logger.info("request", request_id=identity, **line)

    def _may_still_send(self) -> bool:
        return self._body_open or bool(self._ahead) or self._last_words is not None or self.wire.held

    # From one phase to the next.

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for it."""
        self._exchange = None
        super().on_response_complete()
        self._unset_keepalive_if_required()  # uvicorn's own time; `_settle` sets the one that fits
        if self.wire.is_closing():
            self._stop_timer()
            self.pool.mark(self, idle=True)
        else:
            if not self.pipeline:
                self.loop.call_soon(self._catch_up)
            self._settle()

    def _catch_up(self) -> None:
        """Parse what came while requests waited for their turn."""
        if self.wire.is_closing() or self.pipeline:
            return
        if self._last_words is not None:
            if self._exchange is None:
                self._answer_refused(self._last_words)
            return
        self.wire.hold(False)
        ahead, self._ahead = self._ahead, b""
        if ahead:
            self._parse(ahead)
        if self._half_closed and self._exchange is None:
            self.wire.finish()

    def _settle(self) -> None:
        """Find the connection's phase from what the parser and the application have done."""
        if self._exchange is not None:
            # The request that came last is the one that is being answered, unless some wait.
            self._enter(Phase.BODY if self._body_open and not self.pipeline else Phase.ANSWER)
        elif self._body_open:
            self._enter(Phase.REST)
        elif self._head.is_open or self._phase in (Phase.NEW, Phase.HEAD, Phase.IDLE):
            self._enter(Phase.HEAD)  # blank lines before a request are the beginning of one
        else:
            self._enter(Phase.IDLE)

    def _enter(self, phase: Phase) -> None:
        if phase is self._phase:
            return
        self._phase = phase
        self._rest_bytes = 0
        self._stop_timer()
        if (seconds := self.seconds.get(phase)) is not None:
            self._start_timer(seconds)
        self.pool.mark(self, idle=self._exchange is None)

    def _start_timer(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._on_time)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time(self) -> None:
        """End what took too long."""
        self._timer = None
        match self._phase:
            case Phase.HEAD:
                self._refuse(RefusedError(408, f"the head did not come within {self.limits.head_seconds:g} seconds"))
            case Phase.BODY if self._exchange is not None:
                detail = f"the body did not come within {self.limits.body_seconds:g} seconds"
                self._exchange.interrupt(ProblemError(408, detail))
            case Phase.REST:
                self.wire.abort()
            case _:
                self.wire.finish()


def going_down() -> ProblemError:
    """Return the error of a request that the end of the gateway cuts off."""
    return ProblemError(503, "the gateway is going down", headers={"Retry-After": "10"})
