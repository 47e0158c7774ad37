"""The tasks: their list, their JSON Schemas, and extraction with any of them."""

import asyncio
from collections.abc import Set as AbstractSet
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from gateway.api import answers
from gateway.api.http.body import read, while_connected
from gateway.api.http.problems import ProblemError
from gateway.api.http.readers import TextReader
from gateway.api.http.scope import request_id
from gateway.api.schemas import Extracted, ExtractRequest
from gateway.errors import GatewayError
from gateway.services import Services, services_of
from gateway.settings import Settings
from gateway.tasks import Task

_LOOK_SECONDS = 2.0


class TaskModel(BaseModel):
    """A task."""

    name: str
    version: int
    title: str
    description: str
    adapter: str
    served: bool | None = Field(
        description="Whether the engine serves the task's adapter, without which its requests get 503; null while the "
        "engine does not say."
    )
    max_tokens: int
    instruction: str = Field(description="The instruction of the task's prompt, as its training data repeats it.")
    times: list[str] = Field(description="The fields that are times, which `resolve_times` resolves.")
    json_schema: dict[str, Any] = Field(description="JSON Schema (2020-12) of the fields.")


class TaskList(BaseModel):
    """All tasks; `default` is the one behind /api/v1/extract."""

    default: str
    tasks: list[TaskModel]


class TaskExtraction(Extracted):
    """An extraction. Its fields have an object of their own, since a task may name a field like a member beside it."""

    fields: dict[str, str | None]


def _shown(task: Task, served: AbstractSet[str] | None) -> TaskModel:
    return TaskModel(
        name=task.name,
        version=task.version,
        title=task.title,
        description=task.description,
        adapter=task.adapter,
        served=None if served is None else task.adapter in served,
        max_tokens=task.max_tokens,
        instruction=task.prompt.instruction,
        times=list(task.times),
        json_schema=dict(task.json_schema),
    )


async def _served(services: Services) -> AbstractSet[str] | None:
    """Return the names that the engine serves models and adapters under; None where it does not say so in time."""
    try:
        cards = await services.engine.models(deadline=asyncio.get_running_loop().time() + _LOOK_SECONDS)
    except GatewayError:
        return None
    return {str(card.get("id")) for card in cards}


def _find(services: Services, name: str) -> Task:
    task = services.tasks.get(name)
    if task is None:
        raise ProblemError(404, "there is no task of this name; /api/v1/tasks lists all")
    return task


def router(settings: Settings) -> APIRouter:
    """Return the router for these settings."""
    routes = APIRouter(tags=["tasks"])
    reader = TextReader(ExtractRequest)

    @routes.get("/api/v1/tasks", summary="The tasks", responses=answers.refusals())
    async def list_tasks(request: Request) -> TaskList:
        """Return all tasks with their JSON Schemas."""
        services = services_of(request)
        served = await _served(services)
        tasks = [_shown(task, served) for task in services.tasks.values()]
        return TaskList(default=services.default_task.name, tasks=tasks)

    @routes.get("/api/v1/tasks/{task}", summary="One task", responses=answers.refusals(404))
    async def get_task(request: Request, task: str) -> TaskModel:
        """Return one task with its JSON Schema."""
        services = services_of(request)
        found = _find(services, task)
        return _shown(found, await _served(services))

    @routes.post(
        "/api/v1/tasks/{task}/extract",
        summary="Extract with a task",
        response_model=TaskExtraction,
        responses=answers.errors(),
        openapi_extra=answers.body_schema(ExtractRequest),
    )
    async def extract(request: Request, task: str) -> Response:
        """Extract the task's fields from one text; they are in `fields`."""
        definition = _find(services_of(request), task)
        request_body = await read(request, reader, settings.max_body_bytes)
        async with while_connected(request):
            extraction = await answers.run(request, definition, request_body)
        return answers.json_response(answers.nested(extraction, definition, request_id(request.scope)))

    return routes
