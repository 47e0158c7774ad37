"""Reading a request's body, and noticing that the client went away."""

import asyncio
from codecs import BOM_UTF8
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from fastapi import Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from gateway.api.http.problems import ClientGoneError, ProblemError, not_valid
from gateway.api.http.scope import BODY_BYTES, interruption
from gateway.services import services_of


class Adapter[Model](Protocol):
    """Reads a model from JSON; a pydantic `TypeAdapter` is one."""

    def validate_json(self, data: bytes, /) -> Model:
        """Return the model, or raise a ValidationError or a ProblemError."""
        ...


async def read[Model](request: Request, adapter: Adapter[Model], limit: int) -> Model:
    """Read the body of `request` as a model.

    Args:
        request: the request.
        adapter: of the model.
        limit: bytes that the body may have.

    Raises:
        ProblemError: 413 when it is longer, 415 when it is compressed, 422 when it is not valid.
        BodiesFullError: there is no room for it beside those of other requests.
        GatewayError: the server stopped reading it, and why.
        ClientGoneError: it did not come whole.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
        raise ProblemError(415, "send the body without a `Content-Encoding`", headers={"Accept-Encoding": "identity"})
    too_long = ProblemError(413, f"the body may have {limit} bytes at most", headers={"Connection": "close"})
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise too_long
    bodies, scope = services_of(request).bodies, request.scope
    body = bytearray()
    try:
        async for part in request.stream():
            if len(body) + len(part) > limit:
                raise too_long
            bodies.take(len(part))
            scope[BODY_BYTES] = scope.get(BODY_BYTES, 0) + len(part)  # the guard gives them back
            body += part
    except ClientDisconnect:
        raise interruption(scope) or ClientGoneError() from None
    try:
        # RFC 8259, section 8.1: a reader may ignore a byte order mark, which some platforms write before UTF-8.
        return adapter.validate_json(bytes(body.removeprefix(BOM_UTF8)))
    except ValidationError as error:
        raise not_valid(error.errors(include_url=False, include_input=False, include_context=False)) from None


@asynccontextmanager
async def while_connected(request: Request) -> AsyncIterator[None]:
    """Cancel the context's work as soon as the client goes away; the body must have been read.

    Raises:
        ClientGoneError: the client went away.
        GatewayError: the server ended the request, and why.
    """
    work = asyncio.current_task()
    if work is None:
        raise RuntimeError("there is no task to cancel")
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        work.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not gone:
            raise
        work.uncancel()
        raise interruption(request.scope) or ClientGoneError() from None
    finally:
        watcher.cancel()
