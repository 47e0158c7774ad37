"""POST /api/v1/extract: one text in, the default task's fields out."""

from fastapi import APIRouter, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from gateway.api import answers
from gateway.api.http.body import read, while_connected
from gateway.api.http.scope import request_id
from gateway.api.schemas import ExtractRequest, flat_model
from gateway.services import services_of
from gateway.tasks import Task

_REQUEST: TypeAdapter[ExtractRequest] = TypeAdapter(ExtractRequest)


def router(task: Task) -> APIRouter:
    """Return the router for the default task."""
    routes = APIRouter(tags=["extraction"])

    @routes.post(
        "/api/v1/extract",
        summary=f"Extract: {task.title}",
        response_model=flat_model(task),
        responses=answers.errors(),
        openapi_extra=answers.body_schema(ExtractRequest),
    )
    async def extract(request: Request) -> Response:
        services = services_of(request)
        identity = request_id(request.scope)
        request_body = await read(request, _REQUEST, services.settings.max_body_bytes)
        async with while_connected(request):
            extraction = await answers.run(services, task, request_body, identity)
        return answers.json_response(answers.flat(extraction, task, identity))

    return routes
