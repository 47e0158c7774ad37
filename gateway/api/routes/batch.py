"""POST /api/v1/extract/batch: many texts in one request, answered in order or each as it is done."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any, cast

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, WithJsonSchema, create_model
from pydantic_core import from_json
from starlette.responses import Response

from gateway.api import answers
from gateway.api.http.body import read, while_connected
from gateway.api.http.problems import ProblemError, as_gateway_error, not_valid, problem
from gateway.api.http.readers import MEMBERS, check_values
from gateway.api.http.scope import request_id
from gateway.api.http.streaming import LINES, PartsResponse
from gateway.api.middleware.guard import charge
from gateway.api.schemas import NOTE, Choices, ExtractRequest, NumberId, Text
from gateway.services import services_of
from gateway.settings import Settings
from gateway.tasks import Task

# Of one batch, so that a large one leaves room for others.
_ITEMS_AT_ONCE = 8
# Values that an item may have; what a client adds of its own is left alone.
_ITEM_VALUES = 20


_Id = Annotated[str, Field(max_length=200)] | NumberId | None


class BatchItem(BaseModel):
    """One text; `id` comes back with its result."""

    model_config = ConfigDict(strict=True)

    id: _Id = Field(default=None, description="Yours to choose.")
    text: Text


class BatchRequest(Choices):
    """Texts, and choices that hold for all of them. An item that is not valid is an error of its own."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [{"id": "note-1", "text": NOTE}]}]})

    items: list[Any]


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


_ITEM: TypeAdapter[BatchItem] = TypeAdapter(BatchItem)
_ID: TypeAdapter[str | int | None] = TypeAdapter(cast(Any, _Id), config=ConfigDict(strict=True))


class BatchReader:
    """Reads a batch, with the items as they are."""

    def __init__(self, most_items: int) -> None:
        """Make a reader of batches with `most_items` items at most."""
        self._most = most_items
        # Each item is validated by itself; the document shows what a valid one has.
        shown: dict[str, Any] = {"type": "array", "minItems": 1, "maxItems": most_items}
        shown["items"] = {"anyOf": [BatchItem.model_json_schema(), {}]}
        items = Annotated[list[Any], Field(min_length=1, max_length=most_items), WithJsonSchema(shown)]
        self.model = create_model("BatchRequest", __base__=BatchRequest, items=(items, ...))
        self._adapter: TypeAdapter[BatchRequest] = TypeAdapter(self.model)

    def validate_json(self, data: bytes, /) -> BatchRequest:
        """Read a body.

        Raises:
            ValidationError: a member beside the items is not valid.
            ProblemError: it is not JSON, or it has too many items (413).
        """
        check_values(data, self._most * _ITEM_VALUES + MEMBERS, f"a batch, which may have {self._most} items at most,")
        try:
            # Parsed first: pydantic's errors would hold copies of all that they are about.
            return self._adapter.validate_python(_parsed(data))
        except ValidationError as error:
            if any(entry["type"] == "too_long" for entry in error.errors(include_input=False)):
                raise ProblemError(413, f"a batch may have {self._most} items at most") from None
            raise


def _parsed(data: bytes) -> Any:
    """Return a document in which half an emoji is allowed.

    JavaScript cuts texts in the middle of what is one character, and its JSON holds the half as a lone surrogate, which
    strict parsers refuse with the whole document. It is the fault of one item.

    Raises:
        ProblemError: it is not JSON.
    """
    try:
        return from_json(data)
    except ValueError as error:
        try:
            return json.loads(data.decode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError):
            raise not_valid([{"loc": [], "msg": f"Invalid JSON: {error}", "type": "json_invalid"}]) from None


def router(task: Task, settings: Settings) -> APIRouter:
    """Return the router for the default task and these settings."""
    routes = APIRouter(tags=["extraction"])
    reader = BatchReader(settings.max_batch_items)

    @routes.post(
        "/api/v1/extract/batch",
        summary=f"Extract many: {task.title}",
        description="With `Accept: application/x-ndjson` a line for each text as it is done. An item that fails, or "
        "is not valid, does not fail the others. The request's time counts for each text, and each counts towards the "
        "rate limit.",
        response_model=BatchResults,
        responses={200: {"content": {LINES: {}}}, **answers.errors()},
        openapi_extra=answers.body_schema(reader.model),
    )
    async def batch(request: Request) -> Response:
        services = services_of(request)
        request_body = await read(request, reader, services.settings.max_body_bytes)
        charge(request.scope, services, len(request_body.items) - 1)
        results = _results(request, task, request_body)
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


async def _results(request: Request, task: Task, request_body: BatchRequest) -> AsyncGenerator[dict[str, Any]]:
    """Yield the results as they are done."""
    remaining = iter(list(enumerate(request_body.items)))
    choices = {name: getattr(request_body, name) for name in Choices.model_fields}
    done: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def work() -> None:
        for index, item in remaining:
            done.put_nowait(await _one(request, task, index, item, choices))

    workers: Sequence[asyncio.Task[None]] = [
        asyncio.create_task(work()) for _ in range(min(_ITEMS_AT_ONCE, len(request_body.items)))
    ]
    try:
        for _ in request_body.items:
            yield await done.get()
    finally:
        for worker in workers:
            worker.cancel()


async def _one(request: Request, task: Task, index: int, item: object, choices: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {"index": index, "id": _id_of(item)}
    try:
        text = _valid(item, index).text
        extraction = await answers.run(request, task, ExtractRequest.model_construct(text=text, **choices))
    except Exception as error:
        failure = as_gateway_error(request.scope, error, "an item")
        return {**result, "status": failure.status, "error": problem(request.scope, failure)}
    return {**result, "status": 200, "result": answers.flat(extraction, task, request_id(request.scope))}


def _valid(item: object, index: int) -> BatchItem:
    try:
        return _ITEM.validate_python(item)
    except ValidationError as error:
        entries = error.errors(include_url=False, include_input=False, include_context=False)
        raise not_valid([{**entry, "loc": ("items", index, *entry["loc"])} for entry in entries]) from None


def _id_of(item: object) -> str | int | None:
    """Return the id that comes back with an item, also with one that is not valid; None where the id is not valid."""
    try:
        return _ID.validate_python(item.get("id")) if isinstance(item, dict) else None
    except ValidationError:
        return None
