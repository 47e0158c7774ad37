"""The OpenAI endpoints: chat completions, completions and models, passed on to the engine.

The gateway adds its keys, limits, metrics and errors; messages, tokens and token counts are passed on unchanged.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Literal

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from gateway.api import answers
from gateway.api.http.body import read, while_connected
from gateway.api.http.problems import OpenAIProblem, ProblemError, problem
from gateway.api.http.scope import client, request_id
from gateway.api.http.streaming import EVENTS, PartsResponse
from gateway.api.middleware.guard import charge
from gateway.api.routes.openai_requests import ChatRequest, CompletionRequest, Generation, RequestReader
from gateway.engine.completion import token_count, usage_of
from gateway.engine.errors import EngineRejectedError
from gateway.errors import GatewayError
from gateway.observability.metrics import OPENAI
from gateway.services import Services, services_of
from gateway.settings import Settings


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


_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "As OpenAI's API answers",
        "content": {"application/json": {"schema": {"type": "object"}}, EVENTS: {}},
    },
    **answers.errors(OpenAIProblem),
}


def router(settings: Settings) -> APIRouter:
    """Return the router for these settings."""
    routes = APIRouter(tags=["OpenAI"])
    chats, completions = RequestReader(ChatRequest, settings), RequestReader(CompletionRequest, settings)

    @routes.post(
        "/v1/chat/completions",
        summary="Chat completion",
        response_class=Response,
        responses=_ANSWERS,
        openapi_extra=answers.body_schema(chats.model),
    )
    async def chat(request: Request) -> Response:
        """Complete a chat, as a stream where the client asks for it."""
        return await _serve(request, "/v1/chat/completions", await read(request, chats, settings.max_body_bytes))

    @routes.post(
        "/v1/completions",
        summary="Completion",
        response_class=Response,
        responses=_ANSWERS,
        openapi_extra=answers.body_schema(completions.model),
    )
    async def complete(request: Request) -> Response:
        """Complete one or several prompts, as a stream where the client asks for it."""
        return await _serve(request, "/v1/completions", await read(request, completions, settings.max_body_bytes))

    @routes.get("/v1/models", summary="Models", responses=answers.refusals(502, 504, problem=OpenAIProblem))
    async def list_models(request: Request) -> ModelList:
        """Return the models and adapters that the engine serves."""
        return ModelList(data=await _models(request))

    @routes.get(
        "/v1/models/{model:path}", summary="One model", responses=answers.refusals(404, 502, 504, problem=OpenAIProblem)
    )
    async def get_model(request: Request, model: str) -> Model:
        """Return one of the models and adapters that the engine serves."""
        for served in await _models(request):
            if served.id == model:
                return served
        raise _no_such_model()

    return routes


async def _models(request: Request) -> list[Model]:
    services = services_of(request)
    async with services.gate.slot(client(request.scope)):
        cards = await services.engine.models(deadline=_deadline(services))
    # The engine's cards hold more, such as paths on its disk.
    return [
        Model(
            id=str(card.get("id")),
            created=card["created"] if isinstance(card.get("created"), int) else 0,
            owned_by="slm-ft-serving",
            parent=card.get("parent") if isinstance(card.get("parent"), str) else None,
            max_model_len=card.get("max_model_len") if isinstance(card.get("max_model_len"), int) else None,
        )
        for card in cards
    ]


def _deadline(services: Services) -> float:
    return asyncio.get_running_loop().time() + services.settings.request_timeout


async def _serve(request: Request, path: str, asked: Generation) -> Response:
    services = services_of(request)
    slots, most = asked.slots(), services.gate.most_slots
    if slots > most:
        detail = f"the request asks for {slots} answers, `n` for each prompt; one key may ask for {most} at once"
        raise ProblemError(422, detail)
    charge(request.scope, services, slots - 1)
    body = asked.passed_on()
    body["model"] = asked.model or services.default_task.adapter
    if services.salts is not None:
        body |= services.engine.dialect.private(services.salts.of(client(request.scope)))
    if asked.stream:
        return PartsResponse(request, _events(request, services, path, body, slots), EVENTS)
    async with while_connected(request), services.gate.slot(client(request.scope), slots):
        began = time.monotonic()
        try:
            reply = await services.engine.forward(
                path, body, deadline=_deadline(services), request_id=request_id(request.scope)
            )
        except EngineRejectedError as error:
            raise _rejected(error) from None
    _count(services, began, reply)
    return answers.json_response(reply)


async def _events(
    request: Request, services: Services, path: str, body: dict[str, Any], slots: int
) -> AsyncGenerator[bytes]:
    """Yield the engine's events as OpenAI's clients read them; an error after the first one is an event of its own."""
    begun = False
    began = time.monotonic()
    with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    body = {**body, "stream_options": {**(body.get("stream_options") or {}), "include_usage": True}}
    try:
        async with (
            services.gate.slot(client(request.scope), slots),
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
        # OpenAI's clients look for its member `error`; no [DONE] follows, as the answer is not whole.
        yield _data(problem(request.scope, error))


def _count(services: Services, began: float, reply: Mapping[str, Any]) -> None:
    usage = usage_of(reply)
    prompt, completion = token_count(usage.get("prompt_tokens")), token_count(usage.get("completion_tokens"))
    services.metrics.engine_answered(OPENAI, time.monotonic() - began, prompt, completion)


def _data(event: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"


def _rejected(error: EngineRejectedError) -> ProblemError:
    """Return the client's error that a refusal means, as the request was passed on as it came."""
    if error.engine_status == 404:
        return _no_such_model()
    return ProblemError(422, "the engine refused the request; its members or its length are not what the model takes")


def _no_such_model() -> ProblemError:
    return ProblemError(404, "the engine serves no model of this name; /v1/models lists all")
