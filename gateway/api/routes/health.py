"""Liveness and health."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from gateway import __version__
from gateway.services import services_of

router = APIRouter(tags=["health"])


class Live(BaseModel):
    """The process runs."""

    status: Literal["alive"] = "alive"


class Health(BaseModel):
    """Whether a request would be answered now."""

    status: Literal["healthy", "unhealthy"]
    vllm_available: bool
    version: str = __version__
    keys_file_stale_since: datetime | None = Field(
        default=None,
        description="Since when the keys file has been gone or unusable; the keys that were read before it stay valid.",
    )


@router.get("/live")
async def live() -> Live:
    """Return 200 while the process runs."""
    return Live()


@router.get(
    "/health",
    response_model_exclude_none=True,
    responses={503: {"model": Health, "description": "The engine makes no tokens, or the gateway is going down"}},
)
@router.get("/healthz", include_in_schema=False, response_model_exclude_none=True)
async def health(request: Request, response: Response) -> Health:
    """Return 200 only when the engine produces tokens and the gateway takes requests; otherwise 503."""
    services = services_of(request)
    available = await services.readiness.check()
    healthy = available and not services.drain.draining
    if not healthy:
        response.status_code = 503
    return Health(
        status="healthy" if healthy else "unhealthy",
        vllm_available=available,
        keys_file_stale_since=services.keyring.stale_since if services.keyring is not None else None,
    )
