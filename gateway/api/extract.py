"""POST /api/v1/extract: one text in, the default task's fields out."""

import asyncio
from typing import Any

import orjson
from fastapi import APIRouter, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from gateway.api.body import read, while_connected
from gateway.api.problems import Problem, ProblemError
from gateway.api.schemas import ExtractRequest, flat_model
from gateway.extraction import Extraction, Options, UnknownModelError
from gateway.services import Services, services
from gateway.tasks import Task
from gateway.telemetry import request_id

_REQUEST: TypeAdapter[ExtractRequest] = TypeAdapter(ExtractRequest)
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text, "content": {"application/problem+json": {}}}
    for status, text in (
        (401, "No or wrong key"), (413, "Too long"), (422, "Not valid"), (429, "Over the rate limit"),
        (502, "The engine's answer could not be used"), (503, "Engine down, draining or queue full"), (504, "Too late"),
    )
}  # fmt: skip


def body_schema(model: type[Any]) -> dict[str, Any]:
    """The OpenAPI part for a body that the endpoint reads itself, which is what keeps it fast."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


def router(task: Task) -> APIRouter:
    """The router for the default task."""
    routes = APIRouter(tags=["extraction"])

    @routes.post(
        "/api/v1/extract",
        summary=f"Extract: {task.title}",
        response_model=flat_model(task),
        responses=ERRORS,
        openapi_extra=body_schema(ExtractRequest),
    )
    async def extract(request: Request) -> Response:
        parts = services(request)
        wanted = await read(request, _REQUEST, parts.settings.max_body_bytes)
        async with while_connected(request):
            extraction = await run(parts, task, wanted, request_id(request.scope))
        return json_response({**extraction.fields, **metadata(extraction, task, request_id(request.scope))})

    return routes


async def run(parts: Services, task: Task, wanted: ExtractRequest, identity: str) -> Extraction:
    """One extraction with a client's choices, within the request's time.

    Raises:
        ProblemError: the text is too long, or the model is not known; and what `Extractor.extract` raises.
    """
    longest = parts.settings.max_text_chars
    if len(wanted.text) > longest:
        raise ProblemError(413, f"the text may have {longest} characters at most")
    options = Options(wanted.temperature, wanted.max_tokens, wanted.model, wanted.grounding)
    deadline = asyncio.get_running_loop().time() + parts.settings.request_timeout
    try:
        return await parts.extractor.extract(task, wanted.text, options, deadline=deadline, request_id=identity)
    except UnknownModelError as error:
        raise ProblemError(
            422, str(error), errors=[{"loc": ["model"], "msg": str(error), "type": "unknown_model"}]
        ) from None


def metadata(extraction: Extraction, task: Task, identity: str) -> dict[str, Any]:
    """What an answer tells beside the fields."""
    return {
        "evidence": extraction.evidence,
        "confidence": extraction.confidence,
        "raw_output": extraction.raw_output,
        "tokens_used": extraction.tokens_used,
        "model": extraction.model,
        "task": task.name,
        "request_id": identity,
        "chunks": extraction.chunks,
        "warnings": extraction.warnings,
    }


def json_response(document: Any) -> Response:
    """A JSON response; orjson writes the dataclasses as they are."""
    return Response(orjson.dumps(document), media_type="application/json")
