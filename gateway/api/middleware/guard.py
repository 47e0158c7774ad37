"""What every request under /api and /v1 passes first: is the gateway draining, who calls, and within which rate."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.http.problems import problem_response
from gateway.engine.gate import RefusedError
from gateway.services import Services

GUARDED = ("/api/", "/v1/")
ANONYMOUS = "anonymous"
_DRAIN_RETRY_AFTER = 10


class Guard:
    """Refuses with 503, 401 or 429; counts the requests that it lets in until they end."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        """Take the application to wrap and the services that decide."""
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http" or not scope["path"].startswith(GUARDED):
            await self._app(scope, receive, send)
            return
        drain = self._services.drain
        metrics = self._services.metrics
        if drain.draining:
            metrics.refused("draining")
            headers = {"Retry-After": str(_DRAIN_RETRY_AFTER), "Connection": "close"}
            await problem_response(scope, 503, "the gateway is going down", headers)(scope, receive, send)
            return
        client = ANONYMOUS
        if self._services.keyring is not None:
            key = _presented(scope)
            name = self._services.keyring.identify(key) if key else None
            if name is None:
                metrics.refused("unauthorized")
                detail = (
                    "the key is not known" if key else "send a key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
                )
                await problem_response(scope, 401, detail, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
                return
            client = name
        scope["gateway.client"] = client
        if self._services.limiter is not None:
            try:
                self._services.limiter.take(client)
            except RefusedError as error:
                metrics.refused(error.reason)
                headers = {"Retry-After": str(error.retry_after)}
                await problem_response(scope, 429, str(error), headers)(scope, receive, send)
                return
        drain.active += 1
        try:
            await self._app(scope, receive, send)
        finally:
            drain.active -= 1


def charge(scope: Scope, services: Services, requests: int) -> None:
    """Count `requests` more towards the rate of the client of `scope`, which may go into debt with them."""
    if services.limiter is not None and requests > 0:
        services.limiter.charge(scope["gateway.client"], requests)


def _presented(scope: Scope) -> str | None:
    headers = Headers(scope=scope)
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    return headers.get("x-api-key")
