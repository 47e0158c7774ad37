"""POST /api/v1/extract/batch: many texts in one request, answered in order or each as it is done."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.responses import Response

from gateway.api import answers
from gateway.api.http.body import read, while_connected
from gateway.api.http.problems import ProblemError, as_gateway_error, problem
from gateway.api.http.scope import request_id
from gateway.api.http.streaming import LINES, PartsResponse
from gateway.api.middleware.guard import charge
from gateway.api.schemas import NOTE, Choices, ExtractRequest, NumberId, Text
from gateway.services import Services, services_of
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
    """What the text alone would have got: its HTTP status, and its `result` (200) or `error`, a problem document."""

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
    """Return the router for the default task."""
    routes = APIRouter(tags=["extraction"])

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
        services = services_of(request)
        request_body = await read(request, _REQUEST, services.settings.max_body_bytes)
        most = services.settings.max_batch_items
        if len(request_body.items) > most:
            raise ProblemError(413, f"a batch may have {most} items at most")
        charge(request.scope, services, len(request_body.items) - 1)
        results = _results(request, services, task, request_body)
        if LINES in request.headers.get("accept", ""):
            return PartsResponse(request, _lines(results), LINES)
        async with while_connected(request):
            finished = [result async for result in results]
        finished.sort(key=lambda result: int(result["index"]))
        return answers.json_response({"results": finished})

    return routes


async def _lines(results: AsyncGenerator[dict[str, Any]]) -> AsyncGenerator[bytes]:
    try:
        async for result in results:
            yield orjson.dumps(result, option=orjson.OPT_APPEND_NEWLINE)
    finally:
        await results.aclose()


async def _results(
    request: Request, services: Services, task: Task, request_body: BatchRequest
) -> AsyncGenerator[dict[str, Any]]:
    """Yield the results as they are done."""
    remaining = iter(list(enumerate(request_body.items)))
    choices = request_body.model_dump(exclude={"items"})
    done: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def work() -> None:
        for index, item in remaining:
            done.put_nowait(await _one(request, services, task, index, item, choices))

    workers: Sequence[asyncio.Task[None]] = [
        asyncio.create_task(work()) for _ in range(min(_ITEMS_AT_ONCE, len(request_body.items)))
    ]
    try:
        for _ in request_body.items:
            yield await done.get()
    finally:
        for worker in workers:
            worker.cancel()


async def _one(
    request: Request, services: Services, task: Task, index: int, item: BatchItem, choices: dict[str, Any]
) -> dict[str, Any]:
    identity = request_id(request.scope)
    try:
        extraction = await answers.run(
            services, task, ExtractRequest.model_construct(text=item.text, **choices), identity
        )
    except Exception as error:
        failure = as_gateway_error(request.scope, error, "an item")
        return {"index": index, "id": item.id, "status": failure.status, "error": problem(request.scope, failure)}
    return {"index": index, "id": item.id, "status": 200, "result": answers.flat(extraction, task, identity)}
