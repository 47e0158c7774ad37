"""One request and its answer: what uvicorn's cycle of both leaves to do."""

import asyncio
import sys
from typing import cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.api.http.scope import interrupt
from gateway.errors import GatewayError


class Exchange:
    """Calls the application for one request, and can end its reading early."""

    def __init__(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:
        """Make an exchange.

        Args:
            cycle: uvicorn's state of the request.
            app: answers it.
        """
        self._cycle = cycle
        self._app = app
        self._interrupted = False

    @property
    def answer_begun(self) -> bool:
        """Whether the head of the answer has been sent."""
        return self._cycle.response_started

    def interrupt(self, error: GatewayError) -> None:
        """Have the application read no more, and answer with `error` where it has not begun to answer."""
        self._interrupted = True
        self._cycle.keep_alive = False
        interrupt(cast("Scope", self._cycle.scope), error)
        self._cycle.message_event.set()

    def lost(self) -> None:
        """Note that the client is gone."""
        self._cycle.disconnected = True
        self._cycle.message_event.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        cycle = self._cycle

        async def receive_until_interrupted() -> Message:
            message: Message = {"type": "http.disconnect"} if self._interrupted else await receive()
            return {"type": "http.disconnect"} if self._interrupted else message

        async def send_with_care(message: Message) -> None:
            if message["type"] == "http.response.start":
                if cycle.waiting_for_100_continue:
                    # Whether the client sends its body after this answer is not known: what comes next cannot be read.
                    cycle.keep_alive = False
                if scope["http_version"] == "1.0" and not _has_length(message):
                    # Uvicorn would send chunks, which came with HTTP/1.1; the end of the connection ends this answer.
                    cycle.chunked_encoding, cycle.expected_content_length = False, sys.maxsize
            elif cycle.expected_content_length > sys.maxsize // 2 and not message.get("more_body", False):
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        plain = scope["http_version"] != "1.0" and not cycle.waiting_for_100_continue
        try:
            await self._app(scope, receive_until_interrupted, send if plain else send_with_care)
        except asyncio.CancelledError:  # uvicorn does so at the end of a shutdown, and would log it as an error
            self._cut()
        if cycle.response_started and not cycle.response_complete:
            self._cut()

    def _cut(self) -> None:
        """Close the connection, the only way left to say that the answer is not whole."""
        if not self._cycle.disconnected:
            self._cycle.disconnected = True
            self._cycle.transport.close()


def _has_length(message: Message) -> bool:
    return any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
