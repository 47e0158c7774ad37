"""POST /api/convert: the assistant-intent task at its former address."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from gateway.api import answers
from gateway.api.http.body import read, while_connected
from gateway.api.http.readers import TextReader
from gateway.api.schemas import ExtractRequest, Text
from gateway.settings import Settings
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


def router(task: Task, settings: Settings) -> APIRouter:
    """Return the router for the assistant-intent task and these settings."""
    routes = APIRouter(tags=["extraction"])
    reader = TextReader(ConvertRequest)

    @routes.post(
        "/api/convert",
        summary=task.title,
        response_model=Conversion,
        responses=answers.errors(),
        openapi_extra=answers.body_schema(ConvertRequest),
    )
    async def convert(request: Request) -> Response:
        request_body = await read(request, reader, settings.max_body_bytes)
        plain = ExtractRequest(text=request_body.text, grounding="off")
        async with while_connected(request):
            extraction = await answers.run(request, task, plain)
        return answers.json_response(
            {"success": True, "structured_data": extraction.fields, "raw_output": extraction.raw_output}
        )

    return routes
