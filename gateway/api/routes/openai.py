"""The OpenAI endpoints: chat completions, completions and models, passed on to the engine.

The gateway adds its keys, limits, metrics and errors; messages, tokens and token counts are passed on unchanged.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.responses import Response

from gateway.api import answers
from gateway.api.http.body import read, while_connected
from gateway.api.http.problems import ProblemError, problem
from gateway.api.http.scope import request_id
from gateway.api.http.streaming import EVENTS, PartsResponse
from gateway.api.schemas import Few, MaxTokens
from gateway.engine.completion import token_count, usage_of
from gateway.engine.errors import EngineRejectedError
from gateway.errors import GatewayError
from gateway.observability.metrics import OPENAI
from gateway.services import Services, services_of

router = APIRouter(tags=["OpenAI"])
_NOTE = "Members that are not listed here are passed on to the engine."


_Words = Annotated[str, Field(min_length=1)]


class _Generation(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)

    model: str | None = Field(
        default=None, min_length=1, max_length=128, description="The default task's adapter unless set."
    )
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    max_tokens: MaxTokens | None = None
    n: Few | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None


class ChatMessage(BaseModel):
    """A message; `content` is a text or a list of parts."""

    model_config = ConfigDict(extra="allow", strict=True)

    role: Annotated[str, Field(min_length=1, max_length=64)]
    content: str | list[dict[str, Any]] | None = None


class ChatRequest(_Generation):
    """A chat completion as OpenAI's API takes it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}]}
    )

    messages: list[ChatMessage] = Field(min_length=1)


class CompletionRequest(_Generation):
    """A completion as OpenAI's API takes it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": "Say hello.", "max_tokens": 16}]})

    prompt: _Words | Annotated[list[_Words], Field(min_length=1)]


class Model(BaseModel):
    """A model or adapter of the engine."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    parent: str | None = None
    max_model_len: int | None = None


class ModelList(BaseModel):
    """What the engine serves."""

    object: Literal["list"] = "list"
    data: list[Model]


_CHAT: TypeAdapter[ChatRequest] = TypeAdapter(ChatRequest)
_COMPLETION: TypeAdapter[CompletionRequest] = TypeAdapter(CompletionRequest)


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "As OpenAI's API answers",
        "content": {"application/json": {"schema": {"type": "object"}}, EVENTS: {}},
    },
    **answers.errors(),
}


@router.post(
    "/v1/chat/completions",
    summary="Chat completion",
    description=_NOTE,
    response_class=Response,
    responses=_ANSWERS,
    openapi_extra=answers.body_schema(ChatRequest),
)
async def chat(request: Request) -> Response:
    """Complete a chat, as a stream where the client asks for it."""
    request_body = await read(request, _CHAT, services_of(request).settings.max_body_bytes)
    size = sum(_length(message.content) for message in request_body.messages)
    return await _serve(request, "/v1/chat/completions", request_body, size)


@router.post(
    "/v1/completions",
    summary="Completion",
    description=_NOTE,
    response_class=Response,
    responses=_ANSWERS,
    openapi_extra=answers.body_schema(CompletionRequest),
)
async def complete(request: Request) -> Response:
    """Complete a prompt, as a stream where the client asks for it."""
    request_body = await read(request, _COMPLETION, services_of(request).settings.max_body_bytes)
    size = len(request_body.prompt) if isinstance(request_body.prompt, str) else sum(map(len, request_body.prompt))
    return await _serve(request, "/v1/completions", request_body, size)


@router.get("/v1/models", summary="Models", responses=answers.errors())
async def list_models(request: Request) -> ModelList:
    """Return the models and adapters that the engine serves."""
    services = services_of(request)
    cards = await services.engine.models(deadline=_deadline(services))
    # The engine's cards hold more, such as paths on its disk.
    return ModelList(
        data=[
            Model(
                id=str(card.get("id")),
                created=card["created"] if isinstance(card.get("created"), int) else 0,
                owned_by="slm-ft-serving",
                parent=card.get("parent") if isinstance(card.get("parent"), str) else None,
                max_model_len=card.get("max_model_len") if isinstance(card.get("max_model_len"), int) else None,
            )
            for card in cards
        ]
    )


def _length(content: str | list[dict[str, Any]] | None) -> int:
    if content is None or isinstance(content, str):
        return len(content or "")
    return sum(len(text) for part in content if isinstance(text := part.get("text"), str))


def _deadline(services: Services) -> float:
    return asyncio.get_running_loop().time() + services.settings.request_timeout


async def _serve(request: Request, path: str, request_body: _Generation, size: int) -> Response:
    services = services_of(request)
    if size > services.settings.max_text_chars:
        raise ProblemError(413, f"the text may have {services.settings.max_text_chars} characters at most")
    body = request_body.model_dump(exclude_unset=True)
    body["model"] = request_body.model or services.default_task.adapter
    if request_body.stream:
        return PartsResponse(request, _events(request, services, path, body), EVENTS)
    async with while_connected(request), services.gate.slot():
        began = time.monotonic()
        try:
            reply = await services.engine.forward(
                path, body, deadline=_deadline(services), request_id=request_id(request.scope)
            )
        except EngineRejectedError as error:
            raise _rejected(error) from None
    _count(services, began, reply)
    return answers.json_response(reply)


async def _events(request: Request, services: Services, path: str, body: dict[str, Any]) -> AsyncGenerator[bytes]:
    """Yield the engine's events as OpenAI's clients read them; an error after the first one is an event of its own."""
    begun = False
    began = time.monotonic()
    with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    body = {**body, "stream_options": {**(body.get("stream_options") or {}), "include_usage": True}}
    try:
        async with (
            services.gate.slot(),
            services.engine.open_stream(
                path, body, deadline=_deadline(services), request_id=request_id(request.scope)
            ) as events,
        ):
            async for event in events:
                if not begun:
                    services.metrics.first_token(OPENAI, time.monotonic() - began)
                if event.get("usage") and not event.get("choices"):
                    _count(services, began, event)
                if event.get("choices") or with_usage:
                    yield _data(event)
                    begun = True
        yield b"data: [DONE]\n\n"
    except Exception as error:
        if isinstance(error, EngineRejectedError):
            raise _rejected(error) from None
        if not begun or not isinstance(error, GatewayError):
            raise
        # OpenAI's clients look for `error`; no [DONE] follows, as the answer is not whole.
        document = problem(request.scope, error)
        yield _data({"error": {**document, "message": str(error), "code": error.status}})


def _count(services: Services, began: float, reply: Mapping[str, Any]) -> None:
    usage = usage_of(reply)
    prompt, completion = token_count(usage.get("prompt_tokens")), token_count(usage.get("completion_tokens"))
    services.metrics.engine_answered(OPENAI, time.monotonic() - began, prompt, completion)


def _data(event: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"


def _rejected(error: EngineRejectedError) -> ProblemError:
    """Return the client's error that a refusal means, as the request was passed on as it came."""
    if error.engine_status == 404:
        return ProblemError(404, "the engine serves no model of this name; /v1/models lists all")
    return ProblemError(422, "the engine refused the request; its members or its length are not what the model takes")
