"""GET /metrics for Prometheus."""

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from gateway.services import services_of

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Return the gateway's metrics in Prometheus's text format."""
    return Response(services_of(request).metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})
