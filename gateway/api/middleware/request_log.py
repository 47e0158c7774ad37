"""The outermost middleware: an id for each request, its log line, its metrics and the headers of every answer."""

import asyncio
import re
import secrets
import time

from loguru import logger
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.http.headers import ALWAYS
from gateway.api.http.problems import UnexpectedError, as_response
from gateway.api.http.scope import CLIENT, REQUEST_ID, STATUS, log_status
from gateway.observability import tracing
from gateway.observability.logs import describe
from gateway.observability.metrics import Metrics

_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestLog:
    """Gives each request an id, taken from the client's `X-Request-ID` where it is well-formed, and logs its end.

    A request that belongs to a trace is logged with the trace's id.
    What nothing below has caught becomes a problem document here.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Wrap an application.

        Args:
            app: the application.
            metrics: counts the requests.
        """
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = _accepted_id(scope) or secrets.token_hex(16)
        scope[REQUEST_ID] = identity
        trace = tracing.read(scope["headers"])
        tracing.CURRENT.set(trace)
        began = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [*message.get("headers", ())]
                named = {name.lower() for name, _ in own}
                more = [pair for pair in ALWAYS if pair[0] not in named]
                message["headers"] = [*own, *more, (b"x-request-id", identity.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:  # the server is going down and waits no longer
            log_status(scope, 503)
            raise
        except Exception as error:
            logger.bind(request_id=identity, **describe(error)).error("a request failed unexpectedly")
            if status:
                # Half an answer is out; closing the connection is the only way left to say so.
                raise _AnswerBrokenOffError from None
            await as_response(scope, UnexpectedError())(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - began
            status = scope.get(STATUS, status)
            route = _route(scope)
            self._metrics.answered(route or "none", status, seconds)
            logger.info(
                "request",
                request_id=identity,
                method=scope["method"],
                route=route,
                status=status,
                client=scope.get(CLIENT),
                milliseconds=round(1000 * seconds, 1),
                **({"trace_id": trace.identity} if trace is not None else {}),
            )


class _AnswerBrokenOffError(Exception):
    """An answer could not be finished after its head was sent."""


def _accepted_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            return text if _ACCEPTED_ID.fullmatch(text) else None
    return None


def _route(scope: Scope) -> str | None:
    # The path as it was sent could hold anything; its template cannot.
    return getattr(scope.get("route"), "path", None)
