"""POST /api/v1/extract: one text in, the default task's fields out."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.api import answers
from gateway.api.http.body import read, while_connected
from gateway.api.http.readers import TextReader
from gateway.api.http.scope import request_id
from gateway.api.schemas import ExtractRequest, flat_model
from gateway.settings import Settings
from gateway.tasks import Task


def router(task: Task, settings: Settings) -> APIRouter:
    """Return the router for the default task and these settings."""
    routes = APIRouter(tags=["extraction"])
    reader = TextReader(ExtractRequest)

    @routes.post(
        "/api/v1/extract",
        summary=f"Extract: {task.title}",
        response_model=flat_model(task),
        responses=answers.errors(),
        openapi_extra=answers.body_schema(ExtractRequest),
    )
    async def extract(request: Request) -> Response:
        identity = request_id(request.scope)
        request_body = await read(request, reader, settings.max_body_bytes)
        async with while_connected(request):
            extraction = await answers.run(request, task, request_body)
        return answers.json_response(answers.flat(extraction, task, identity))

    return routes
