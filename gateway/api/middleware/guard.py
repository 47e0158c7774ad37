"""The checks before every request under /api and /v1: draining, too many connections, API key, rate limit."""

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.access.rate_limit import RateLimitedError
from gateway.api.http.problems import ProblemError, as_response
from gateway.api.http.scope import BODY_BYTES, CLIENT, OVERLOADED
from gateway.errors import GatewayError
from gateway.services import Services

GUARDED = ("/api/", "/v1/")
ANONYMOUS = "anonymous"
# For the OpenAPI document alone: the guard, not FastAPI, checks the keys.
KEYS = [
    Security(HTTPBearer(scheme_name="bearer", auto_error=False)),
    Security(APIKeyHeader(scheme_name="key", name="X-API-Key", auto_error=False)),
]
_DRAIN_RETRY_AFTER = 10
_OVERLOAD_RETRY_AFTER = 2


class Guard:
    """Refuses with 503, 401 or 429, and counts the admitted requests until they end."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        """Wrap an application.

        Args:
            app: the application.
            services: hold the keys, the rate limit and the state of draining.
        """
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http" or not scope["path"].startswith(GUARDED):
            await self._app(scope, receive, send)
            return
        try:
            self._admit(scope)
        except GatewayError as error:
            await as_response(scope, error)(scope, receive, send)
            return
        drain = self._services.drain
        drain.active += 1
        try:
            await self._app(scope, receive, send)
        finally:
            drain.active -= 1
            self._services.bodies.give_back(scope.get(BODY_BYTES, 0))

    def _admit(self, scope: Scope) -> None:
        """Admit a request, and note its client in `scope`, also of one that is over its rate.

        Raises:
            GatewayError: the request is refused; the refusal has been counted.
        """
        services, metrics = self._services, self._services.metrics
        if services.drain.refusing:
            metrics.refused("draining")
            headers = {"Retry-After": str(_DRAIN_RETRY_AFTER), "Connection": "close"}
            raise ProblemError(503, "the gateway is going down", headers=headers)
        if OVERLOADED in scope:
            metrics.refused("connections")
            headers = {"Retry-After": str(_OVERLOAD_RETRY_AFTER), "Connection": "close"}
            raise ProblemError(503, "the gateway has as many connections as it may have", headers=headers)
        scope[CLIENT] = ANONYMOUS
        if services.keyring is not None:
            keys = _presented_keys(scope)
            name = next(filter(None, map(services.keyring.identify, keys)), None)
            if name is None:
                metrics.refused("unauthorized")
                missing = "send a key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
                detail = "the key is not valid" if keys else missing
                raise ProblemError(401, detail, headers={"WWW-Authenticate": "Bearer"})
            scope[CLIENT] = name
        if services.limiter is not None:
            try:
                services.limiter.take(scope[CLIENT])
            except RateLimitedError:
                metrics.refused("rate_limit")
                raise


def charge(scope: Scope, services: Services, requests: int) -> None:
    """Count `requests` more towards the rate of the client of `scope`, which may exceed its rate with them."""
    if services.limiter is not None and requests > 0:
        services.limiter.charge(scope[CLIENT], requests)


def _presented_keys(scope: Scope) -> list[str]:
    """Return the keys that a request shows, either of which may be the right one.

    A proxy or an SDK may put a token of its own into `Authorization`, and then the key is in `X-API-Key`.
    """
    headers = Headers(scope=scope)
    scheme, _, credentials = headers.get("authorization", "").strip().partition(" ")
    bearer = credentials if scheme.lower() == "bearer" else ""
    return [key for key in (bearer.strip(), headers.get("x-api-key", "").strip()) if key]
