"""The page at `/`, where people extract and see what each value rests on; programs get the service's links there.

People paste notes and type keys there, so it loads and calls this gateway alone and runs no script but its own files
(docs/decisions/0020-page-without-a-build.md).
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway import __version__
from gateway.api.answers import json_response
from gateway.api.http.problems import ProblemError

FOLDER = Path(__file__).parents[2] / "page"
INDEX = "index.html"
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    # No string can become markup or code.
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    # They hold nothing of anybody; a browser keeps them, and asks each time whether they are still the same.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
_ABOUT = {
    "service": "slm-ft-serving gateway",
    "version": __version__,
    "links": {"extract": "/api/v1/extract", "health": "/health", "docs": "/docs", "openapi": "/openapi.json"},
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    compressed: bytes
    media_type: str
    tag: str


def router(*, is_on: bool) -> APIRouter:
    """Return the router of `/` and of what the page loads.

    Args:
        is_on: whether there is a page; without one, whoever asks for HTML gets 404.
    """
    routes = APIRouter(include_in_schema=False)
    files = _read() if is_on else {}

    @routes.get("/")
    async def index(request: Request) -> Response:
        if _prefers_html(request.headers.get("accept", "")):
            return _answer(request, files, INDEX)
        response = json_response(_ABOUT)
        response.headers["Vary"] = "Accept"
        return response

    @routes.get("/page/{name}")
    async def file(request: Request, name: str) -> Response:
        return _answer(request, files, name)

    return routes


def _read() -> dict[str, _File]:
    files = {}
    for path in FOLDER.iterdir():
        if path.suffix in _MEDIA_TYPES:
            content = path.read_bytes()
            tag = hashlib.sha256(content).hexdigest()[:32]
            files[path.name] = _File(content, gzip.compress(content, mtime=0), _MEDIA_TYPES[path.suffix], tag)
    return files


def _answer(request: Request, files: dict[str, _File], name: str) -> Response:
    """Return a file, or 304 where the client has it already.

    Raises:
        ProblemError: there is no such file, or no page.
    """
    file = files.get(name)
    if file is None:
        raise ProblemError(404, "there is nothing at this path" if files else "this gateway serves no page")
    zipped = "gzip" in request.headers.get("accept-encoding", "").lower()
    # Each form of a file has a tag of its own (RFC 9110, section 8.8.3.3).
    tag = f'"{file.tag}{"-gzip" if zipped else ""}"'
    headers = {**_HEADERS, "ETag": tag, "Vary": "Accept, Accept-Encoding"}
    if _knows(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    if zipped:
        headers["Content-Encoding"] = "gzip"
    return Response(file.compressed if zipped else file.content, headers=headers, media_type=file.media_type)


def _knows(header: str, tag: str) -> bool:
    """Return whether `If-None-Match` names a tag; a proxy that compresses makes it a weak one."""
    tags = {part.strip().removeprefix("W/") for part in header.split(",")}
    return tag in tags or "*" in tags


def _prefers_html(accept: str) -> bool:
    """Return whether a client names HTML, and wants it rather than JSON: a browser does, `*/*` does not."""
    weights: dict[str, float] = {}
    for entry in accept.lower().split(","):
        media_type, *parameters = (part.strip() for part in entry.split(";"))
        weight = next((value for name, _, value in (p.partition("=") for p in parameters) if name.strip() == "q"), "1")
        try:
            weights[media_type] = float(weight)
        except ValueError:
            weights[media_type] = 0.0
    json = next((weights[name] for name in ("application/json", "application/*", "*/*") if name in weights), 0.0)
    return weights.get("text/html", 0.0) > json
