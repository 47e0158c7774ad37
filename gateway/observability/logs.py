"""Request ids and logs. No log line holds text that came from a client or from the engine, at any level.

That is why exceptions are logged as their type and the places in the code, without their messages, which often quote
values.
"""

import logging
import re
import secrets
import sys
import time
import traceback
from typing import TYPE_CHECKING, TextIO

import orjson
from loguru import logger
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.http.problems import problem_response
from gateway.observability.metrics import Metrics

if TYPE_CHECKING:
    from loguru import Message as LogMessage
    from loguru import Record

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Libraries whose messages are known to hold no data of a request.
_TRUSTED = ("uvicorn.error", "gateway")


def configure_logging(level: str, stream: TextIO = sys.stderr) -> None:
    """Write one JSON object a line to `stream`, from `level` up, and bring the libraries' logs in."""

    def write(message: "LogMessage") -> None:
        stream.write(_line(message.record))
        stream.flush()

    logger.remove()
    # backtrace and diagnose would print the values of variables.
    logger.add(write, level=level, format="{message}", backtrace=False, diagnose=False, catch=True)
    logging.basicConfig(handlers=[_Bridge()], level=logging.INFO, force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True


def _line(record: "Record") -> str:
    entry = {
        "time": record["time"].isoformat(timespec="milliseconds"),
        "level": record["level"].name,
        "message": record["message"],
        **record["extra"],
    }
    return orjson.dumps(entry, default=str, option=orjson.OPT_APPEND_NEWLINE).decode()


class _Bridge(logging.Handler):
    """Hands the standard library's log records to loguru, without what they may quote."""

    def emit(self, record: logging.LogRecord) -> None:
        trusted = record.name in _TRUSTED
        message = record.getMessage() if trusted and not record.exc_info else f"{record.name} has something to report"
        extra: dict[str, object] = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            extra |= describe(record.exc_info[1])
        elif not trusted:
            extra["at"] = f"{record.pathname}:{record.lineno}"
        logger.bind(**extra).log(record.levelname if record.levelname in _LEVELS else "INFO", message)


_LEVELS = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})


def describe(error: BaseException) -> dict[str, object]:
    """An exception for the log: its type and where it was raised, without its message."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return {
        "error": type(error).__name__,
        "frames": [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}:{frame.name}" for frame in frames],
    }


def request_id(scope: Scope) -> str:
    """The id of the request that `scope` belongs to."""
    return str(scope["gateway.request_id"])


def note_status(scope: Scope, status: int) -> None:
    """Log another status than the one that was sent, such as 499 for a client that went away."""
    scope["gateway.status"] = status


class Telemetry:
    """Gives each request an id, takes the client's `X-Request-ID` where it is well-formed, and logs the request's end.

    It is the outermost layer: whatever nobody else caught becomes a problem document here.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Take the application to wrap and the metrics to keep."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = _accepted_id(scope) or secrets.token_hex(16)
        scope["gateway.request_id"] = identity
        began = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", identity.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            logger.bind(request_id=identity, **describe(error)).error("a request failed in a way that nobody foresaw")
            if status:
                # Half an answer is out; closing the connection is the only way left to say so.
                raise _AnswerBrokenOffError from None
            response = problem_response(scope, 500, "the gateway failed; its log has the reason under this request id")
            await response(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - began
            status = scope.get("gateway.status", status)
            route = _route(scope)
            self._metrics.answered(route or "none", status, seconds)
            logger.info(
                "request",
                request_id=identity,
                method=scope["method"],
                route=route,
                status=status,
                client=scope.get("gateway.client"),
                milliseconds=round(1000 * seconds, 1),
            )


class _AnswerBrokenOffError(Exception):
    """An answer could not be finished after its head was sent."""


def _accepted_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            return text if _REQUEST_ID.fullmatch(text) else None
    return None


def _route(scope: Scope) -> str | None:
    # The path as it was sent could hold anything; its template cannot.
    return getattr(scope.get("route"), "path", None)
