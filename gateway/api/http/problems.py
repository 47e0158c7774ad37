"""Errors as RFC 9457 problem documents. None of them quotes what the client or the engine sent."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from gateway.engine.circuit import CircuitOpenError
from gateway.engine.errors import EngineAnswerError, EngineRejectedError, EngineTimeoutError, EngineUnavailableError
from gateway.engine.gate import RefusedError
from gateway.extraction.decoding import DecodingError

MEDIA_TYPE = "application/problem+json"
_ENGINE_RETRY_AFTER = 5

_TITLES = {
    400: ("bad-request", "Bad request"),
    401: ("unauthorized", "No valid key"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "Method not allowed"),
    413: ("too-long", "Too long"),
    422: ("not-valid", "Not valid"),
    429: ("rate-limit", "Over the rate limit"),
    500: ("internal", "Internal error"),
    502: ("unusable-answer", "The engine's answer could not be used"),
    503: ("unavailable", "Not available now"),
    504: ("too-late", "Too late"),
}


class Problem(BaseModel):
    """What every error looks like."""

    type: str = Field(examples=["urn:slm-ft-serving:problem:not-valid"])
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[dict[str, Any]] | None = Field(default=None, description="With 422: what is not valid, and where.")


class ProblemError(Exception):
    """An error that a face answers with."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Take the HTTP status, a sentence for a person, and what goes with them."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.errors = errors


def as_problem(error: Exception) -> ProblemError | None:
    """The problem that an error of the layers below means to the client, or None for one that nobody foresaw."""
    match error:
        case ProblemError():
            return error
        case RefusedError(reason="rate_limit"):
            return ProblemError(429, str(error), headers={"Retry-After": str(error.retry_after)})
        case RefusedError():
            return ProblemError(503, str(error), headers={"Retry-After": str(error.retry_after)})
        case CircuitOpenError():
            return ProblemError(503, str(error), headers={"Retry-After": str(error.retry_after)})
        case EngineUnavailableError():
            return ProblemError(503, str(error), headers={"Retry-After": str(_ENGINE_RETRY_AFTER)})
        case EngineTimeoutError():
            return ProblemError(504, str(error))
        case DecodingError() | EngineAnswerError():
            return ProblemError(502, str(error))
        case EngineRejectedError():
            return ProblemError(502, "the engine refused the request")
        case _:
            return None


def problem(scope: Scope, error: ProblemError) -> dict[str, Any]:
    """The problem document's members."""
    kind, title = _TITLES.get(error.status, ("error", "Error"))
    document: dict[str, Any] = {
        "type": f"urn:slm-ft-serving:problem:{kind}",
        "title": title,
        "status": error.status,
        "detail": error.detail,
        "request_id": scope.get("gateway.request_id", ""),
    }
    if error.errors is not None:
        document["errors"] = list(error.errors)
    return document


def problem_response(scope: Scope, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A response that carries a problem document."""
    return as_response(scope, ProblemError(status, detail, headers=headers))


def as_response(scope: Scope, error: ProblemError) -> Response:
    """The response that carries an error's problem document."""
    return Response(
        orjson.dumps(problem(scope, error)), error.status, dict(error.headers) if error.headers else None, MEDIA_TYPE
    )


async def _on_error(request: Request, error: Exception) -> Response:
    known = as_problem(error)
    if known is None:  # pragma: no cover - the handler is registered for known errors only
        raise error
    return as_response(request.scope, known)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = {404: "there is nothing at this path", 405: "this path does not take this method"}.get(
        status, "not possible"
    )
    headers = error.headers if isinstance(error, HTTPException) else None
    return problem_response(request.scope, status, detail, headers)


async def _on_invalid(request: Request, error: Exception) -> Response:
    errors = error.errors() if isinstance(error, RequestValidationError) else []
    return as_response(request.scope, not_valid(errors))


def not_valid(errors: Sequence[Mapping[str, Any]]) -> ProblemError:
    """A 422 from pydantic's list of errors, without the values that were sent."""
    kept = [{"loc": list(entry["loc"]), "msg": entry["msg"], "type": entry["type"]} for entry in errors]
    return ProblemError(422, "the request is not valid; `errors` says where", errors=kept)


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem document."""
    for kind in (
        ProblemError, RefusedError, CircuitOpenError, DecodingError, EngineUnavailableError, EngineTimeoutError,
        EngineRejectedError, EngineAnswerError,
    ):  # fmt: skip
        app.add_exception_handler(kind, _on_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid)
