"""A shorter way to the endpoints where time counts most: around FastAPI's handling of a request.

FastAPI registers and documents such an endpoint, but what it does for others - bodies, dependencies, response models,
the stacks of contexts around them - would cost an eighth to a fifth of the gateway's time
(docs/decisions/0004-direct-route.md).
"""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.http.problems import ClientGoneError, as_response, client_gone
from gateway.errors import GatewayError

type Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


class Direct:
    """Serves some routes of an application, and passes all other requests on.

    Their endpoints take the request alone and return a response. One that is sent in parts may fail as long as no part
    is out.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        """Wrap an application.

        Args:
            app: the application, which has these routes too.
            routes: FastAPI's routes; only those that take a POST alone are served here, which have no path parameters.
        """
        self._app = app
        self._routes = {
            route.path: route for route in routes if isinstance(route, APIRoute) and route.methods == {"POST"}
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        route = self._routes.get(scope["path"]) if scope["type"] == "http" else None
        if route is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        endpoint: Endpoint = route.endpoint
        try:
            response = await endpoint(Request(scope, receive, send))
            await response(scope, receive, send)
        except GatewayError as error:
            await as_response(scope, error)(scope, receive, send)
        except ClientGoneError:
            await client_gone()(scope, receive, send)
