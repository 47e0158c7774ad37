"""Fake of the Hugging Face Hub: one repository over real HTTP, with Range requests, a token, a redirect and cuts.

Its storage, below `/storage/`, serves for S3 as well: see aws_cli.py.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.fakes.http_service import HttpFake

REPOSITORY = "someone/some-model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub(HttpFake):
    """A Hub that serves `files`; with a token, only to those who send it.

    Attributes:
        cut_at: Bytes after which the next download ends, once.
        gated: Whether its terms were not accepted.
        sent: Bytes of files that went out, by name.
    """

    def __init__(self, files: dict[str, bytes], token: str = "") -> None:
        """Begin with nothing sent.

        Args:
            files: Content by name.
            token: The one that opens it; empty where none is needed.
        """
        super().__init__()
        self.address = f"http://127.0.0.1:{self.port}"
        self.files, self.token = files, token
        self.cut_at: int | None = None
        self.gated = False
        self.sent: Counter[str] = Counter()
        self.seen: list[tuple[str, str, str]] = []

    def siblings(self) -> list[dict[str, object]]:
        """Return the Hub's entry for each file: a SHA-256 for those over 100 bytes, else the git blob's SHA-1."""
        entries: list[dict[str, object]] = []
        for name, content in self.files.items():
            blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
            entry: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": blob}
            if len(content) > 100:
                entry["lfs"] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            entries.append(entry)
        return entries

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request as the Hub (or, under /storage, the storage that it redirects to) does."""
        path = urlsplit(request.path).path
        authorization = request.headers.get("Authorization", "")
        self.seen.append((path, authorization, request.headers.get("Range", "")))
        storage = path.startswith("/storage/")
        if self.gated and not storage:
            self._refuse(request, 403 if authorization else 401, "GatedRepo")
        elif self.token and not storage and authorization != f"Bearer {self.token}":
            self._refuse(request, 401, "" if authorization else "RepoNotFound")
        elif path.startswith(f"/api/models/{REPOSITORY}/revision/") and not path.endswith(COMMIT):
            self._refuse(request, 404, "RevisionNotFound")
        elif path == f"/api/models/{REPOSITORY}/revision/{COMMIT}":
            self._send(request, 200, json.dumps({"siblings": self.siblings()}).encode())
        elif path.startswith(f"/{REPOSITORY}/resolve/{COMMIT}/"):
            request.send_response(302)
            # Another name of the same machine, so that it is another host for the client.
            request.send_header("Location", f"http://localhost:{self.port}/storage/{path.rsplit(COMMIT + '/')[-1]}")
            request.end_headers()
        elif storage and path.removeprefix("/storage/") in self.files:
            self._download(request, self.files[path.removeprefix("/storage/")])
        else:
            request.send_error(404)

    def _refuse(self, request: BaseHTTPRequestHandler, status: int, code: str) -> None:
        """Refuse as the Hub does, with its own code in a header."""
        request.send_response(status)
        request.send_header("X-Error-Code", code)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def _download(self, request: BaseHTTPRequestHandler, content: bytes) -> None:
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self._send(request, 206 if start else 200, content[start:])

    def _send(self, request: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if self.cut_at is not None and len(body) > self.cut_at and "/storage/" in request.path:
            body, self.cut_at = body[: self.cut_at], None
        if "/storage/" in request.path:
            self.sent[urlsplit(request.path).path.removeprefix("/storage/")] += len(body)
        request.wfile.write(body)
