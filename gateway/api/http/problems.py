"""Errors as RFC 9457 problem documents. None of them quotes what the client or the engine sent.

On OpenAI's paths a document also has the member `error`, the only one that OpenAI's clients read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from loguru import logger
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from gateway.api.http.scope import REQUEST_ID
from gateway.errors import GatewayError
from gateway.observability.logs import describe

MEDIA_TYPE = "application/problem+json"
OPENAI_PATHS = "/v1/"
CLIENT_CLOSED_REQUEST = 499  # nginx's number; only the log sees it

_TITLES = {
    400: ("bad-request", "Bad request"),
    401: ("unauthorized", "No valid key"),
    404: ("not-found", "Not found"),
    405: ("method-not-allowed", "Method not allowed"),
    408: ("request-timeout", "The request came too slowly"),
    413: ("too-long", "Too long"),
    414: ("uri-too-long", "URL too long"),
    415: ("unsupported-coding", "Coding not supported"),
    422: ("not-valid", "Not valid"),
    429: ("rate-limit", "Over the rate limit"),
    431: ("head-too-large", "Head too large"),
    500: ("internal", "Internal error"),
    501: ("not-implemented", "Not implemented"),
    502: ("unusable-answer", "The engine's answer could not be used"),
    503: ("unavailable", "Not available now"),
    504: ("too-late", "Too late"),
    505: ("http-version", "Version of HTTP not supported"),
}


_MOST_ERRORS = 20
_MOST_CHARS = 300


class Problem(BaseModel):
    """The body of every error."""

    type: str = Field(examples=["urn:slm-ft-serving:problem:not-valid"])
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[dict[str, Any]] | None = Field(
        default=None, description=f"With 422: what is not valid, and where; the first {_MOST_ERRORS}."
    )
    error_count: int | None = Field(default=None, description="With 422: the number of all errors.")


class OpenAIError(BaseModel):
    """An error as OpenAI's clients read it."""

    message: str
    type: str
    code: int = Field(description="The HTTP status, as vLLM has it; also of an error within a stream.")
    param: str | None = Field(description="The member that is not valid, where it is one.")


class OpenAIProblem(Problem):
    """The body of every error of the OpenAI endpoints."""

    error: OpenAIError


class ProblemError(GatewayError):
    """An error that an endpoint answers with."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, Any]] | None = None,
        error_count: int | None = None,
    ) -> None:
        """Make the error.

        Args:
            status: the HTTP status.
            detail: a sentence for a person.
            headers: more headers of the answer.
            errors: the document's member `errors`.
            error_count: the number of all errors, where `errors` does not hold them all.
        """
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}
        self.errors = errors
        self.error_count = len(errors) if errors is not None and error_count is None else error_count


class UnexpectedError(GatewayError):
    """An error of the gateway itself; the log has the reason."""

    def __init__(self) -> None:
        """Make the error."""
        super().__init__("the gateway failed; its log has the reason under this request id")


class ClientGoneError(Exception):
    """The client closed its connection; nobody waits for an answer."""


def as_gateway_error(scope: Scope, error: Exception, subject: str) -> GatewayError:
    """Return the error to answer with: the error itself, or one that says no more where it was unexpected.

    Args:
        scope: of the request.
        error: what was raised; it is logged where it was unexpected.
        subject: what failed, for the log.
    """
    if isinstance(error, GatewayError):
        return error
    logger.bind(request_id=scope[REQUEST_ID], **describe(error)).error(f"{subject} failed unexpectedly")
    return UnexpectedError()


def problem(scope: Scope, error: GatewayError) -> dict[str, Any]:
    """Return the problem document of an error."""
    kind, title = _TITLES.get(error.status, ("error", "Error"))
    document: dict[str, Any] = {
        "type": f"urn:slm-ft-serving:problem:{kind}",
        "title": title,
        "status": error.status,
        "detail": str(error),
        "request_id": scope.get(REQUEST_ID, ""),
    }
    if isinstance(error, ProblemError) and error.errors is not None:
        document["errors"] = list(error.errors)
        document["error_count"] = error.error_count
    if scope.get("path", "").startswith(OPENAI_PATHS):
        document["error"] = _openai_error(document)
    return document


def _openai_error(document: Mapping[str, Any]) -> dict[str, Any]:
    status, message, param = document["status"], document["detail"], None
    if errors := document.get("errors"):
        # OpenAI's clients show the message alone.
        param = ".".join(map(str, errors[0]["loc"])) or None
        message = f"the request is not valid: {f'{param}: ' if param else ''}{errors[0]['msg']}"
    return {
        "message": message,
        "type": "rate_limit_error" if status == 429 else "invalid_request_error" if status < 500 else "server_error",
        "code": status,
        "param": param,
    }


def as_response(scope: Scope, error: GatewayError) -> Response:
    """Return the response that carries an error's problem document."""
    headers = dict(error.headers) if isinstance(error, ProblemError) else {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return Response(orjson.dumps(problem(scope, error)), error.status, headers, MEDIA_TYPE)


def client_gone() -> Response:
    """Return the response that nobody reads."""
    return Response(status_code=CLIENT_CLOSED_REQUEST)


def not_valid(errors: Sequence[Mapping[str, Any]], *, count: int | None = None) -> ProblemError:
    """Return a 422 for errors as pydantic lists them.

    Args:
        errors: the errors; the first ones are shown, without the values that were sent.
        count: of all errors, where `errors` does not hold them all.
    """
    shown = [
        {"loc": list(entry["loc"]), "msg": entry["msg"][:_MOST_CHARS], "type": entry["type"]}
        for entry in errors[:_MOST_ERRORS]
    ]
    total = len(errors) if count is None else count
    return ProblemError(422, "the request is not valid; `errors` says where", errors=shown, error_count=total)


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem document."""
    app.add_exception_handler(GatewayError, _on_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(ClientGoneError, _on_client_gone)


async def _on_error(request: Request, error: Exception) -> Response:
    return as_response(request.scope, as_gateway_error(request.scope, error, "a request"))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = {404: "there is nothing at this path", 405: "this path does not take this method"}.get(
        status, "not possible"
    )
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if "GET" in (allowed := headers.get("Allow", "").split(", ")):
        headers["Allow"] = ", ".join(sorted({*allowed, "HEAD"}))
    return as_response(request.scope, ProblemError(status, detail, headers=headers))


async def _on_invalid(request: Request, error: Exception) -> Response:
    errors = error.errors() if isinstance(error, RequestValidationError) else []
    return as_response(request.scope, not_valid(errors))


async def _on_client_gone(_: Request, __: Exception) -> Response:
    return client_gone()
