"""POST /api/v1/extract: one text in, the default task's fields out."""

from fastapi import APIRouter, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from gateway.api import answers
from gateway.api.http.body import read, while_connected
from gateway.api.middleware.direct import DirectRoute, Endpoint
from gateway.api.schemas import ExtractRequest, flat_model
from gateway.observability.logs import request_id
from gateway.services import services
from gateway.tasks import Task

PATH = "/api/v1/extract"
_REQUEST: TypeAdapter[ExtractRequest] = TypeAdapter(ExtractRequest)


def endpoint(task: Task) -> Endpoint:
    """The endpoint for the default task."""

    async def extract(request: Request) -> Response:
        parts = services(request)
        identity = request_id(request.scope)
        wanted = await read(request, _REQUEST, parts.settings.max_body_bytes)
        async with while_connected(request):
            extraction = await answers.run(parts, task, wanted, identity)
        return answers.json_response(answers.flat(extraction, task, identity))

    return extract


def router(task: Task) -> APIRouter:
    """The router for the default task."""
    routes = APIRouter(tags=["extraction"], route_class=DirectRoute)
    routes.post(
        PATH,
        summary=f"Extract: {task.title}",
        response_model=flat_model(task),
        responses=answers.errors(),
        openapi_extra=answers.body_schema(ExtractRequest),
    )(endpoint(task))
    return routes
