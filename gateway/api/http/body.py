"""Reading a request's body, and noticing that the client went away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from fastapi import Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from gateway.api.http.problems import ClientGoneError, ProblemError, not_valid


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
        ProblemError: 413 when it is longer, 422 when it is not valid.
        ClientGoneError: it did not come whole.
    """
    too_long = ProblemError(413, f"the body may have {limit} bytes at most", headers={"Connection": "close"})
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise too_long
    body = b""
    try:
        async for part in request.stream():
            body = body + part if body else part
            if len(body) > limit:
                raise too_long
    except ClientDisconnect:
        raise ClientGoneError from None
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        raise not_valid(error.errors(include_url=False, include_input=False, include_context=False)) from None


@asynccontextmanager
async def while_connected(request: Request) -> AsyncIterator[None]:
    """Cancel the context's work as soon as the client goes away; the body must have been read.

    Raises:
        ClientGoneError: the client went away.
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
        raise ClientGoneError from None
    finally:
        watcher.cancel()
