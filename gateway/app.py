"""The FastAPI application: services from settings, one router per endpoint, and the middleware before them."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from gateway import __version__
from gateway.api.http import problems
from gateway.api.middleware.direct import Direct
from gateway.api.middleware.guard import KEYS, Guard
from gateway.api.middleware.head import Head
from gateway.api.middleware.request_log import RequestLog
from gateway.api.routes import batch, convert, docs, extract, health, metrics, openai, page, stream, tasks
from gateway.api.schemas import RESERVED
from gateway.services import DefaultTaskError, Services, build_services
from gateway.settings import Settings
from gateway.tasks import Task


def create_app(settings: Settings) -> FastAPI:
    """Make the application.

    Args:
        settings: the operator's choices.

    Raises:
        TaskFileError, KeysFileError, DefaultTaskError: what the settings name cannot be used.
    """
    services = build_services(settings)
    _check_names(services.default_task)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await services.engine.close()

    app = FastAPI(
        title="slm-ft-serving gateway",
        version=__version__,
        description="A clinical note goes in, typed fields come out, each with the words that it rests on.",
        lifespan=lifespan,
        # A redirect would carry a text to another address.
        redirect_slashes=False,
        # FastAPI's own pages load their scripts from other hosts.
        docs_url=None,
        redoc_url=None,
        # FastAPI's own tracing could carry a request's data to wherever the environment says.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.services = services
    problems.install(app)
    docs.install(app)
    extraction = extract.router(services.default_task, settings)
    default = services.default_task
    guarded = [extraction, batch.router(default, settings), stream.router(default, settings), tasks.router(settings)]
    if convert.TASK in services.tasks:
        guarded.append(convert.router(services.tasks[convert.TASK], settings))
    passing = openai.router(settings)
    for router in (*guarded, passing):
        app.include_router(router, dependencies=KEYS if services.keyring is not None else None)
    app.include_router(page.router(is_on=settings.page == "on"))
    app.include_router(health.router)
    app.include_router(metrics.router)
    # Pure ASGI middleware, the outermost last.
    app.add_middleware(Direct, routes=[*extraction.routes, *passing.routes])
    app.add_middleware(Guard, services=services)
    _allow_origins(app, services)
    app.add_middleware(Head)
    app.add_middleware(RequestLog, metrics=services.metrics)
    return app


def _check_names(task: Task) -> None:
    """Refuse a default task whose fields clash with other members of an answer.

    Raises:
        DefaultTaskError: with what to put right.
    """
    clashing = sorted(RESERVED & task.by_name.keys())
    if clashing:
        raise DefaultTaskError(
            f"GATEWAY_DEFAULT_TASK: {task.name} cannot be the default: /api/v1/extract puts its fields beside "
            f"members of the same names: {', '.join(clashing)}; /api/v1/tasks/{task.name}/extract serves it"
        )


def _allow_origins(app: FastAPI, services: Services) -> None:
    if services.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origin_regex="|".join(map(origin_pattern, services.settings.cors_origins)),
            allow_methods=["GET", "POST"],
            # What a preflight asks for is allowed: SDKs send headers of their own, and the origin is what is checked.
            allow_headers=["*"],
            # A page on the internet that the operator names may ask a gateway in a hospital's own network.
            allow_private_network=True,
            expose_headers=["X-Request-ID", "Retry-After"],
            max_age=3600,
        )


def origin_pattern(origin: str) -> str:
    """Return the regular expression of an origin in which `*` stands for one label, or a part of one."""
    return re.escape(origin).replace(r"\*", "[A-Za-z0-9-]+")
