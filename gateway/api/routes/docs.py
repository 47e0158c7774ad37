"""The pages of the API's documentation. People type keys and notes there, so nothing comes from another host."""

import base64
import hashlib
import re
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

_ASSETS = "/docs/assets"
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def install(app: FastAPI) -> None:
    """Serve `/docs` and `/redoc`, with the assets that the package fastapi-offline brings."""
    openapi = app.openapi_url or ""
    swagger = get_swagger_ui_html(
        openapi_url=openapi,
        title=app.title,
        swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{_ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{_ASSETS}/favicon.png",
    )
    redoc = get_redoc_html(
        openapi_url=openapi,
        title=app.title,
        redoc_js_url=f"{_ASSETS}/redoc.standalone.js",
        redoc_favicon_url=f"{_ASSETS}/favicon.png",
        with_google_fonts=False,
    )
    for path, page in (("/docs", swagger), ("/redoc", redoc)):
        _serve(app, path, page)
    app.mount(_ASSETS, StaticFiles(directory=Path(str(files("fastapi_offline") / "static"))), name="docs-assets")


def _serve(app: FastAPI, path: str, page: HTMLResponse) -> None:
    content, headers = bytes(page.body), {"Content-Security-Policy": _policy(bytes(page.body))}

    async def show(_: Request) -> Response:
        return HTMLResponse(content, headers=headers)

    app.add_route(path, show, methods=["GET"], include_in_schema=False)


def _policy(page: bytes) -> str:
    """Return a Content-Security-Policy that lets a page load from this host alone, and run its own scripts only."""
    hashes = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in _INLINE_SCRIPT.findall(page)]
    scripts = " ".join(["'self'", *(f"'sha256-{digest}'" for digest in hashes)])
    return (
        f"default-src 'none'; script-src {scripts}; connect-src 'self'; img-src 'self' data:; "
        # Both pages style their elements one by one; Redoc searches in a worker that it makes itself.
        "style-src 'self' 'unsafe-inline'; worker-src blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
