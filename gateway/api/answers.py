"""What the extraction endpoints share: running one extraction, and the shape of its answer."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.responses import Response

from gateway.api.http.problems import Problem, ProblemError
from gateway.api.schemas import ExtractRequest
from gateway.extraction.answer import Extraction, Options
from gateway.extraction.errors import UnknownModelError
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
    """Return the OpenAPI description of the errors that every guarded path has, and of `more`."""
    return {
        status: {"description": _DESCRIPTIONS[status], "content": {"application/problem+json": {"schema": _PROBLEM}}}
        for status in (401, 429, 503, *more)
    }


def errors() -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of the errors that every extraction endpoint has."""
    return refusals(404, 413, 422, 502, 504)


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI description of a body that the endpoint reads itself, which keeps it fast."""
    schema = model.model_json_schema()
    # The document takes no definitions here, so each is put where it is referred to.
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
    services: Services,
    task: Task,
    request_body: ExtractRequest,
    identity: str,
    on_text: Callable[[str], None] | None = None,
) -> Extraction:
    """Run one extraction with a client's choices, within the request's time.

    Args:
        services: the application's.
        task: what to extract.
        request_body: the text and the choices.
        identity: the request's id.
        on_text: as for `Extractor.extract`.

    Raises:
        ProblemError: the text is too long, or the model is not served; and what `Extractor.extract` raises.
    """
    longest = services.settings.max_text_chars
    if len(request_body.text) > longest:
        raise ProblemError(413, f"the text may have {longest} characters at most")
    options = Options(request_body.temperature, request_body.max_tokens, request_body.model, request_body.grounding)
    deadline = asyncio.get_running_loop().time() + services.settings.request_timeout
    try:
        return await services.extractor.extract(
            task, request_body.text, options, deadline=deadline, request_id=identity, on_text=on_text
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
    """Return a JSON response; orjson writes the dataclasses as they are."""
    return Response(orjson.dumps(document), media_type="application/json")
