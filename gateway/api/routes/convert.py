"""POST /api/convert: the assistant-intent task at its former address."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from gateway.api import answers
from gateway.api.http.body import read, while_connected
from gateway.api.http.readers import TextReader
from gateway.api.schemas import SAID, ExtractRequest, ResolveTimes, Text, WarningModel
from gateway.settings import Settings
from gateway.tasks import Task

TASK = "assistant_intent"


class ConvertRequest(BaseModel):
    """What a person said to the assistant."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "examples": [
                {"text": "Remind me to buy oat milk tomorrow morning."},
                {"text": "Remind me to buy oat milk tomorrow at 9 am.", "resolve_times": SAID},
            ]
        },
    )

    text: Text
    resolve_times: ResolveTimes | None = Field(
        default=None, description="When and where it was said; the answer then has `resolved` and `warnings`."
    )


class Conversion(BaseModel):
    """The intent and its details. A failure is a problem document with its own status, never `success: false`."""

    success: Literal[True] = True
    structured_data: dict[str, Any]
    raw_output: str
    resolved: dict[str, str | None] | None = Field(
        default=None, description="With `resolve_times`, as in the answers of /api/v1/tasks/{task}/extract."
    )
    warnings: list[WarningModel] | None = Field(default=None, description="With `resolve_times`.")


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
        plain = ExtractRequest(text=request_body.text, grounding="off", resolve_times=request_body.resolve_times)
        async with while_connected(request):
            extraction = await answers.run(request, task, plain)
        document = {"success": True, "structured_data": extraction.fields, "raw_output": extraction.raw_output}
        if extraction.resolved is not None:
            document |= {"resolved": extraction.resolved, "warnings": extraction.warnings}
        return answers.json_response(document)

    return routes
