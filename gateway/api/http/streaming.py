"""Responses that are sent in parts; their source stops as soon as the client goes away."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson
from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.api.http.body import while_connected
from gateway.api.http.problems import CLIENT_CLOSED_REQUEST, ClientGoneError
from gateway.api.http.scope import log_status
from gateway.errors import GatewayError

EVENTS = "text/event-stream"
LINES = "application/x-ndjson"


def event(name: str, data: object) -> bytes:
    """Return a server-sent event with JSON data."""
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(data) + b"\n\n"


class PartsResponse(Response):
    """A response of parts that a generator yields.

    The first part is awaited before the head is sent, so that an error before it still gets its own status.
    """

    def __init__(self, request: Request, parts: AsyncGenerator[bytes], media_type: str) -> None:
        """Make the response.

        Args:
            request: the request, whose body must have been read.
            parts: the body.
            media_type: of the body.
        """
        super().__init__(media_type=media_type)
        self._request = request
        self._parts = parts
        self.raw_headers = [
            (b"content-type", media_type.encode()),
            (b"cache-control", b"no-store"),
            # Proxies such as nginx would buffer the parts otherwise.
            (b"x-accel-buffering", b"no"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response; one that ends early is not completed, at which the server cuts the connection."""
        begun = False
        try:
            async with while_connected(self._request), aclosing(self._parts) as parts:
                first = await anext(parts, b"")
                begun = True
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": first, "more_body": True})
                async for part in parts:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except ClientGoneError:
            log_status(scope, CLIENT_CLOSED_REQUEST)
        except GatewayError as error:
            if not begun:
                raise
            log_status(scope, error.status)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # The time of the parts' own source was over while the client took nothing of the last one.
            log_status(scope, 504)
