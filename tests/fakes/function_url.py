"""A stand-in for the address of a Lambda function: turns HTTP into the function's events (payload 2.0) and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.fakes.http_service import HttpFake

Handler = Callable[[Mapping[str, Any], object], Mapping[str, Any]]


class FunctionUrl(HttpFake):
    """An address that a function answers at, many calls at a time."""

    methods = ("GET", "HEAD", "POST", "PUT", "DELETE")

    def __init__(self, handler: Handler) -> None:
        """Take a free port.

        Args:
            handler: The function.
        """
        super().__init__()
        self._handler = handler

    @property
    def url(self) -> str:
        """Return the address."""
        return f"http://127.0.0.1:{self.port}/"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Have the function answer one request."""
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        answer = self._handler(event_of(request, body.decode()), None)
        content = str(answer.get("body", "")).encode()
        request.send_response(answer["statusCode"])
        for name, value in {**answer.get("headers", {}), "content-length": str(len(content))}.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)


def event_of(request: BaseHTTPRequestHandler, body: str) -> dict[str, Any]:
    """Return the event of a request, with the parts of payload 2.0 that tell requests apart."""
    path, _, query = request.path.partition("?")
    http = {
        "method": request.command,
        "path": path,
        "protocol": request.request_version,
        "sourceIp": request.client_address[0],
        "userAgent": request.headers.get("user-agent", ""),
    }
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "requestContext": {"http": http, "routeKey": "$default", "stage": "$default"},
        "body": body,
        "isBase64Encoded": False,
    }
