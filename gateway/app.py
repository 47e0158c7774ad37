"""The application: settings become services, services get their faces."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from gateway import __version__
from gateway.api.http import problems
from gateway.api.http.body import ClientGoneError
from gateway.api.middleware.direct import CLIENT_CLOSED_REQUEST, Direct
from gateway.api.middleware.guard import GUARDED, Guard
from gateway.api.routes import batch, convert, extract, health, metrics, openai, stream, tasks
from gateway.observability.logs import Telemetry
from gateway.services import Services, build
from gateway.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """Make the application.

    Args:
        settings: the operator's choices.

    Raises:
        TaskFileError, KeysFileError, DefaultTaskError: what the settings name cannot be used.
    """
    parts = build(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        parts.engine.close()

    app = FastAPI(
        title="slm-ft-serving gateway",
        version=__version__,
        description="A clinical note goes in, typed fields come out, each with the words that it rests on.",
        lifespan=lifespan,
        # A redirect would carry a text to another address.
        redirect_slashes=False,
        # FastAPI's own tracing could carry a request's data to wherever the environment says.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.services = parts
    problems.install(app)
    app.add_exception_handler(ClientGoneError, _on_client_gone)
    for face in (extract, batch, stream):
        app.include_router(face.router(parts.default_task))
    app.include_router(tasks.router)
    if convert.TASK in parts.tasks:
        app.include_router(convert.router(parts.tasks[convert.TASK]))
    app.include_router(openai.router)
    app.include_router(health.router)
    app.include_router(metrics.router)
    _add_layers(app, parts)
    if parts.keyring is not None:
        _document_keys(app)
    return app


def _add_layers(app: FastAPI, parts: Services) -> None:
    """Pure ASGI layers, the outermost last."""
    app.add_middleware(Direct, path=extract.PATH, endpoint=extract.endpoint(parts.default_task))
    app.add_middleware(Guard, services=parts)
    if parts.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origin_regex="|".join(map(origin_pattern, parts.settings.cors_origins)),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    app.add_middleware(Telemetry, metrics=parts.metrics)


def origin_pattern(origin: str) -> str:
    """The regular expression of an origin in which `*` stands for one label, or a part of one."""
    return re.escape(origin).replace(r"\*", "[A-Za-z0-9-]+")


async def _on_client_gone(_: Request, __: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED_REQUEST)


def _document_keys(app: FastAPI) -> None:
    """Tell the OpenAPI document about the keys; the guard, not FastAPI, checks them."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            document.setdefault("components", {})["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            for path, operations in document["paths"].items():
                if path.startswith(GUARDED):
                    for operation in operations.values():
                        operation["security"] = [{"bearer": []}, {"key": []}]
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
