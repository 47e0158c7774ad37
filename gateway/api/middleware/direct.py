"""Two shorter ways to an endpoint that takes the request and gives the response, with nothing in between.

FastAPI documents such an endpoint, but what it does for others - bodies, dependencies, response models, the stacks of
contexts around them - would cost a tenth of a request's time here.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.http.body import ClientGoneError
from gateway.api.http.problems import as_problem, as_response

CLIENT_CLOSED_REQUEST = 499  # nginx's number; only the log sees it

type Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


class DirectRoute(APIRoute):
    """A documented route to an endpoint of that form."""

    def get_route_handler(self) -> Endpoint:
        """The endpoint itself."""
        endpoint: Endpoint = self.endpoint
        return endpoint


class Direct:
    """A layer that serves the POST requests of the one path where time counts most, and hands on all others.

    Its endpoint's response must not fail once it is made, so it is not for streams.
    """

    def __init__(self, app: ASGIApp, path: str, endpoint: Endpoint) -> None:
        """Take the application to wrap, the path and its endpoint."""
        self._app = app
        self.path = path
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] != self.path or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["route"] = self
        try:
            response = await self._endpoint(Request(scope, receive, send))
        except ClientGoneError:
            response = Response(status_code=CLIENT_CLOSED_REQUEST)
        except Exception as error:
            known = as_problem(error)
            if known is None:
                raise
            response = as_response(scope, known)
        await response(scope, receive, send)
