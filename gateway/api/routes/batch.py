"""POST /api/v1/extract/batch: many texts in one request, answered in order or each as it is done."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Request
from loguru import logger
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.responses import Response

from gateway.api import answers
from gateway.api.http.body import read, while_connected
from gateway.api.http.problems import ProblemError, as_problem, problem
from gateway.api.http.streaming import LINES, PartsResponse
from gateway.api.middleware.direct import DirectRoute
from gateway.api.middleware.guard import charge
from gateway.api.schemas import NOTE, Choices, ExtractRequest, NumberId, Text
from gateway.observability.logs import describe, request_id
from gateway.services import Services, services
from gateway.tasks import Task

# Of one batch, so that a large one leaves room for others.
_ITEMS_AT_ONCE = 8


class BatchItem(BaseModel):
    """One text; `id` comes back with its result."""

    model_config = ConfigDict(strict=True)

    id: Annotated[str, Field(max_length=200)] | NumberId | None = Field(default=None, description="Yours to choose.")
    text: Text


class BatchRequest(Choices):
    """Texts, and choices that hold for all of them."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [{"id": "note-1", "text": NOTE}]}]})

    items: list[BatchItem] = Field(min_length=1)


class BatchResult(BaseModel):
    """The HTTP status that the text would have had alone, with its `result` (200) or its `error`, a problem
    document.
    """

    index: int
    id: str | int | None
    status: int
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class BatchResults(BaseModel):
    """All results, in the order of the items."""

    results: list[BatchResult]


_REQUEST: TypeAdapter[BatchRequest] = TypeAdapter(BatchRequest)


def router(task: Task) -> APIRouter:
    """The router for the default task."""
    routes = APIRouter(tags=["extraction"], route_class=DirectRoute)

    @routes.post(
        "/api/v1/extract/batch",
        summary=f"Extract many: {task.title}",
        description="With `Accept: application/x-ndjson` a line for each text as it is done. A text that fails does "
        "not fail the others. The request's time counts for each text, and each counts towards the rate limit.",
        response_model=BatchResults,
        responses={200: {"content": {LINES: {}}}, **answers.errors()},
        openapi_extra=answers.body_schema(BatchRequest),
    )
    async def batch(request: Request) -> Response:
        parts = services(request)
        wanted = await read(request, _REQUEST, parts.settings.max_body_bytes)
        most = parts.settings.max_batch_items
        if len(wanted.items) > most:
            raise ProblemError(413, f"a batch may have {most} items at most")
        charge(request.scope, parts, len(wanted.items) - 1)
        results = _results(request, parts, task, wanted)
        if LINES in request.headers.get("accept", ""):
            return PartsResponse(request, _lines(results), LINES)
        async with while_connected(request):
            done = [result async for result in results]
        done.sort(key=lambda result: int(result["index"]))
        return answers.json_response({"results": done})

    return routes


async def _lines(results: AsyncGenerator[dict[str, Any]]) -> AsyncGenerator[bytes]:
    try:
        async for result in results:
            yield orjson.dumps(result, option=orjson.OPT_APPEND_NEWLINE)
    finally:
        await results.aclose()


async def _results(
    request: Request, parts: Services, task: Task, wanted: BatchRequest
) -> AsyncGenerator[dict[str, Any]]:
    """The results as they are done."""
    left = iter(list(enumerate(wanted.items)))
    choices = wanted.model_dump(exclude={"items"})
    done: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def work() -> None:
        for index, item in left:
            done.put_nowait(await _one(request, parts, task, index, item, choices))

    workers: Sequence[asyncio.Task[None]] = [
        asyncio.create_task(work()) for _ in range(min(_ITEMS_AT_ONCE, len(wanted.items)))
    ]
    try:
        for _ in wanted.items:
            yield await done.get()
    finally:
        for worker in workers:
            worker.cancel()


async def _one(
    request: Request, parts: Services, task: Task, index: int, item: BatchItem, choices: dict[str, Any]
) -> dict[str, Any]:
    identity = request_id(request.scope)
    try:
        extraction = await answers.run(parts, task, ExtractRequest.model_construct(text=item.text, **choices), identity)
    except Exception as error:
        known = as_problem(error)
        if known is None:
            logger.bind(request_id=identity, **describe(error)).error("an item failed in a way that nobody foresaw")
            known = ProblemError(500, "the gateway failed; its log has the reason under this request id")
        return {"index": index, "id": item.id, "status": known.status, "error": problem(request.scope, known)}
    return {"index": index, "id": item.id, "status": 200, "result": answers.flat(extraction, task, identity)}
