"""HEAD wherever there is GET (RFC 9110, section 9.3.2), which FastAPI's routes do not have by themselves."""

from starlette.types import ASGIApp, Receive, Scope, Send


class Head:
    """Has the application answer HEAD as it answers GET; the server leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        # The server and the log read the method that was sent from the scope that they have.
        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send)
        finally:
            scope.update(asked | {"method": "HEAD"})
