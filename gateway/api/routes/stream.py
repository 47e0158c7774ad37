"""POST /api/v1/extract/stream: the default task's fields as server-sent events, each as soon as it is complete."""

import asyncio
from collections.abc import AsyncGenerator

from fastapi import APIRouter, Request
from loguru import logger
from pydantic import TypeAdapter
from starlette.responses import Response

from gateway.api import answers
from gateway.api.http.body import read
from gateway.api.http.problems import ProblemError, as_problem, problem
from gateway.api.http.streaming import EVENTS, PartsResponse, event
from gateway.api.middleware.direct import DirectRoute
from gateway.api.schemas import ExtractRequest
from gateway.extraction.decoding import finished_fields
from gateway.observability.logs import describe, request_id
from gateway.services import Services, services
from gateway.tasks import Task

_REQUEST: TypeAdapter[ExtractRequest] = TypeAdapter(ExtractRequest)
_DESCRIPTION = """\
`event: field` with `{"field", "value"}` as each field is complete, then `event: result` with what /api/v1/extract
answers. The result stands where a value differs from an earlier event's. What fails before the first event has its own
status; what fails later is an `event: error` with a problem document, and no result follows. A text that is read in
several pieces sends all its fields at the end.
"""


def router(task: Task) -> APIRouter:
    """The router for the default task."""
    routes = APIRouter(tags=["extraction"], route_class=DirectRoute)

    @routes.post(
        "/api/v1/extract/stream",
        summary=f"Extract as a stream: {task.title}",
        description=_DESCRIPTION,
        response_class=Response,
        responses={200: {"description": "Server-sent events", "content": {EVENTS: {}}}, **answers.errors()},
        openapi_extra=answers.body_schema(ExtractRequest),
    )
    async def stream(request: Request) -> Response:
        parts = services(request)
        wanted = await read(request, _REQUEST, parts.settings.max_body_bytes)
        return PartsResponse(request, _events(request, parts, task, wanted), EVENTS)

    return routes


async def _events(request: Request, parts: Services, task: Task, wanted: ExtractRequest) -> AsyncGenerator[bytes]:
    identity = request_id(request.scope)
    texts: asyncio.Queue[str | None] = asyncio.Queue()
    extraction = asyncio.create_task(answers.run(parts, task, wanted, identity, on_text=texts.put_nowait))
    extraction.add_done_callback(lambda _: texts.put_nowait(None))
    sent: dict[str, str | None] = {}
    try:
        while (text := await texts.get()) is not None:
            # Several may have come meanwhile; the last holds all.
            while not texts.empty() and (later := texts.get_nowait()) is not None:
                text = later
            for name, value in finished_fields(task, text).items():
                if name not in sent or sent[name] != value:
                    sent[name] = value
                    yield event("field", {"field": name, "value": value})
            if extraction.done():
                break
        result = await extraction
        for name, value in result.fields.items():
            if name not in sent:
                yield event("field", {"field": name, "value": value})
        yield event("result", answers.flat(result, task, identity))
    except Exception as error:
        known = as_problem(error)
        if not sent:
            raise
        if known is None:
            logger.bind(request_id=identity, **describe(error)).error("a stream failed in a way that nobody foresaw")
            known = ProblemError(500, "the gateway failed; its log has the reason under this request id")
        yield event("error", problem(request.scope, known))
    finally:
        extraction.cancel()
