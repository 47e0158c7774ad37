"""POST /api/convert: the assistant-intent task at its former address."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, TypeAdapter
from starlette.responses import Response

from gateway.api import answers
from gateway.api.http.body import read, while_connected
from gateway.api.http.scope import request_id
from gateway.api.schemas import ExtractRequest, Text
from gateway.services import services_of
from gateway.tasks import Task

TASK = "assistant_intent"


class ConvertRequest(BaseModel):
    """What a person said to the assistant."""

    model_config = ConfigDict(
        strict=True, json_schema_extra={"examples": [{"text": "Remind me to buy oat milk tomorrow morning."}]}
    )

    text: Text


class Conversion(BaseModel):
    """The intent and its details. A failure is a problem document with its own status, never `success: false`."""

    success: Literal[True] = True
    structured_data: dict[str, Any]
    raw_output: str


_REQUEST: TypeAdapter[ConvertRequest] = TypeAdapter(ConvertRequest)


def router(task: Task) -> APIRouter:
    """Return the router for the assistant-intent task."""
    routes = APIRouter(tags=["extraction"])

    @routes.post(
        "/api/convert",
        summary=task.title,
        response_model=Conversion,
        responses=answers.errors(),
        openapi_extra=answers.body_schema(ConvertRequest),
    )
    async def convert(request: Request) -> Response:
        services = services_of(request)
        request_body = await read(request, _REQUEST, services.settings.max_body_bytes)
        plain = ExtractRequest(text=request_body.text, grounding="off")
        async with while_connected(request):
            extraction = await answers.run(services, task, plain, request_id(request.scope))
        return answers.json_response(
            {"success": True, "structured_data": extraction.fields, "raw_output": extraction.raw_output}
        )

    return routes
