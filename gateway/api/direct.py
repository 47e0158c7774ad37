"""A route whose endpoint takes the request and gives the response, with nothing in between.

FastAPI still documents it. Its own handling of bodies, dependencies and response models, which such an endpoint does
not
use, would cost a tenth of a request's time here.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response


class DirectRoute(APIRoute):
    """For endpoints of the form `async def endpoint(request) -> Response`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint itself."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint
