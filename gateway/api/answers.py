"""What the extraction endpoints share: running one extraction, and the shape of its answer."""

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import orjson
from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from gateway.api.http.problems import Problem, ProblemError
from gateway.api.http.scope import client, request_id
from gateway.api.schemas import ExtractRequest
from gateway.extraction.answer import Extraction, Options
from gateway.extraction.errors import UnknownModelError
from gateway.services import services_of
from gateway.tasks import Task

_DESCRIPTIONS = {
    401: "No or wrong key",
    404: "Not found",
    408: "The body did not come in time",
    413: "Too long",
    415: "The body is compressed",
    422: "Not valid",
    429: "Over the rate limit",
    502: "The engine's answer could not be used",
    503: "Engine down, draining or queue full",
    504: "Too late",
}


def refusals(*more: int, problem: type[Problem] = Problem) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of the errors that every guarded path has, and of `more`.

    Args:
        more: statuses of further errors.
        problem: the model of their document.
    """
    content = {"application/problem+json": {"schema": _schema(problem)}}
    return {status: {"description": _DESCRIPTIONS[status], "content": content} for status in (401, 429, 503, *more)}


def errors(problem: type[Problem] = Problem) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of the errors that every endpoint with a text has."""
    return refusals(404, 408, 413, 415, 422, 502, 504, problem=problem)


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI description of a body that the endpoint reads itself, which keeps it fast."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _schema(model)}}}}


@lru_cache(maxsize=32)
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model's JSON Schema as the document takes it: without definitions, each put where it is referred to."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def inlined(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return inlined(definitions[node["$ref"].removeprefix("#/$defs/")])
            return {key: inlined(value) for key, value in node.items()}
        return [inlined(value) for value in node] if isinstance(node, list) else node

    whole: dict[str, Any] = inlined(schema)
    return whole


async def run(
    request: Request,
    task: Task,
    request_body: ExtractRequest,
    on_text: Callable[[str], None] | None = None,
) -> Extraction:
    """Run one extraction with a client's choices, within the request's time.

    Args:
        request: the request, for its services, its client and its id.
        task: what to extract.
        request_body: the text and the choices.
        on_text: as for `Extractor.extract`.

    Raises:
        ProblemError: the text is too long, or the model is not served; and what `Extractor.extract` raises.
    """
    services, asker = services_of(request), client(request.scope)
    longest = services.settings.max_text_chars
    if len(request_body.text) > longest:
        raise ProblemError(413, f"the text may have {longest} characters at most")
    times = request_body.resolve_times
    options = Options(
        request_body.temperature,
        request_body.max_tokens,
        request_body.model,
        request_body.grounding,
        None if times is None else times.moment,
    )
    deadline = asyncio.get_running_loop().time() + services.settings.request_timeout
    try:
        return await services.extractor.extract(
            task,
            request_body.text,
            options,
            deadline=deadline,
            request_id=request_id(request.scope),
            client=asker,
            cache_salt=services.salts.of(asker) if services.salts is not None else None,
            on_text=on_text,
        )
    except UnknownModelError as error:
        raise ProblemError(404, f"{error}; /v1/models lists all") from None


def flat(extraction: Extraction, task: Task, identity: str) -> dict[str, Any]:
    """Return the answer with the fields at the top level."""
    return {**extraction.fields, **_metadata(extraction, task, identity)}


def nested(extraction: Extraction, task: Task, identity: str) -> dict[str, Any]:
    """Return the answer with the fields in an object of their own, where no field's name can clash."""
    return {"fields": extraction.fields, **_metadata(extraction, task, identity)}


def _metadata(extraction: Extraction, task: Task, identity: str) -> dict[str, Any]:
    document = {
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
    if extraction.resolved is not None:
        document["resolved"] = extraction.resolved
    return document


def json_response(document: Any) -> Response:
    """Return a JSON response; orjson writes the dataclasses as they are."""
    return Response(orjson.dumps(document), media_type="application/json")
