"""What the extraction faces share: running one extraction, and how its answer looks."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.responses import Response

from gateway.api.http.problems import Problem, ProblemError
from gateway.api.schemas import ExtractRequest
from gateway.extraction.extractor import Extraction, Options, UnknownModelError
from gateway.services import Services
from gateway.tasks import Task

_DESCRIPTIONS = {
    401: "No or wrong key",
    404: "Not found",
    413: "Too long",
    422: "Not valid",
    429: "Over the rate limit",
    502: "The engine's answer could not be used",
    503: "Engine down, draining or queue full",
    504: "Too late",
}


_PROBLEM = Problem.model_json_schema()


def refusals(*more: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI part for the errors that every guarded path has, and `more`."""
    return {
        status: {"description": _DESCRIPTIONS[status], "content": {"application/problem+json": {"schema": _PROBLEM}}}
        for status in (401, 429, 503, *more)
    }


def errors() -> dict[int | str, dict[str, Any]]:
    """The OpenAPI part for the errors that every extraction face has, and `more`."""
    return refusals(404, 413, 422, 502, 504)


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI part for a body that the endpoint reads itself, which is what keeps it fast."""
    schema = model.model_json_schema()
    # The document has no place for definitions of its own here, so they are put where they are referred to.
    for name, definition in schema.pop("$defs", {}).items():
        schema = _replaced(schema, f"#/$defs/{name}", definition)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _replaced(node: Any, reference: str, definition: Any) -> Any:
    if isinstance(node, dict):
        if node.get("$ref") == reference:
            return definition
        return {key: _replaced(value, reference, definition) for key, value in node.items()}
    if isinstance(node, list):
        return [_replaced(value, reference, definition) for value in node]
    return node


async def run(
    parts: Services,
    task: Task,
    wanted: ExtractRequest,
    identity: str,
    on_text: Callable[[str], None] | None = None,
) -> Extraction:
    """One extraction with a client's choices, within the request's time.

    Raises:
        ProblemError: the text is too long, or the model is not served; and what `Extractor.extract` raises.
    """
    longest = parts.settings.max_text_chars
    if len(wanted.text) > longest:
        raise ProblemError(413, f"the text may have {longest} characters at most")
    options = Options(wanted.temperature, wanted.max_tokens, wanted.model, wanted.grounding)
    deadline = asyncio.get_running_loop().time() + parts.settings.request_timeout
    try:
        return await parts.extractor.extract(
            task, wanted.text, options, deadline=deadline, request_id=identity, on_text=on_text
        )
    except UnknownModelError as error:
        raise ProblemError(404, f"{error}; /v1/models lists all") from None


def flat(extraction: Extraction, task: Task, identity: str) -> dict[str, Any]:
    """The answer with the fields at the top level."""
    return {**extraction.fields, **_metadata(extraction, task, identity)}


def nested(extraction: Extraction, task: Task, identity: str) -> dict[str, Any]:
    """The answer with the fields in an object of their own, where no name of a field can clash."""
    return {"fields": extraction.fields, **_metadata(extraction, task, identity)}


def _metadata(extraction: Extraction, task: Task, identity: str) -> dict[str, Any]:
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
