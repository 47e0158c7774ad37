"""POST /api/v1/extract/stream: the default task's fields as server-sent events, each as soon as it is complete."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.api import answers
from gateway.api.http.body import read
from gateway.api.http.problems import as_gateway_error, problem
from gateway.api.http.readers import TextReader
from gateway.api.http.scope import request_id
from gateway.api.http.streaming import EVENTS, PartsResponse, event
from gateway.api.schemas import ExtractRequest
from gateway.extraction.decoding import finished_fields
from gateway.settings import Settings
from gateway.tasks import Task

_DESCRIPTION = """\
`event: field` with `{"field", "value"}` as each field is complete, then `event: result` with what /api/v1/extract
answers. Where a value differs from an earlier event's, the result is right. An error before the first event has its own
status; a later one is an `event: error` with a problem document, and no result follows. A text that is read in several
chunks sends all its fields at the end.
"""


def router(task: Task, settings: Settings) -> APIRouter:
    """Return the router for the default task and these settings."""
    routes = APIRouter(tags=["extraction"])
    reader = TextReader(ExtractRequest)

    @routes.post(
        "/api/v1/extract/stream",
        summary=f"Extract as a stream: {task.title}",
        description=_DESCRIPTION,
        response_class=Response,
        responses={200: {"description": "Server-sent events", "content": {EVENTS: {}}}, **answers.errors()},
        openapi_extra=answers.body_schema(ExtractRequest),
    )
    async def stream(request: Request) -> Response:
        request_body = await read(request, reader, settings.max_body_bytes)
        return PartsResponse(request, _events(request, task, request_body), EVENTS)

    return routes


class _Latest:
    """The answer so far: of several texts that come while nobody looks the last is kept, as it holds the others."""

    def __init__(self) -> None:
        """Begin without a text."""
        self._changed = asyncio.Event()
        self._text: str | None = None
        self._ended = False

    def put(self, text: str) -> None:
        """Replace the text."""
        self._text = text
        self._changed.set()

    def end(self) -> None:
        """Let no more texts follow."""
        self._ended = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield the text whenever it has changed."""
        while self._text is not None or not self._ended:
            await self._changed.wait()
            self._changed.clear()
            text, self._text = self._text, None
            if text is not None:
                yield text


async def _events(request: Request, task: Task, request_body: ExtractRequest) -> AsyncGenerator[bytes]:
    latest = _Latest()
    extraction = asyncio.create_task(answers.run(request, task, request_body, on_text=latest.put))
    extraction.add_done_callback(lambda _: latest.end())
    sent: dict[str, str | None] = {}
    try:
        async for text in latest:
            for name, value in finished_fields(task, text).items():
                if name not in sent or sent[name] != value:
                    sent[name] = value
                    yield event("field", {"field": name, "value": value})
        result = await extraction
        for name, value in result.fields.items():
            if name not in sent:
                yield event("field", {"field": name, "value": value})
        yield event("result", answers.flat(result, task, request_id(request.scope)))
    except Exception as error:
        if not sent:
            raise
        yield event("error", problem(request.scope, as_gateway_error(request.scope, error, "a stream")))
    finally:
        extraction.cancel()
