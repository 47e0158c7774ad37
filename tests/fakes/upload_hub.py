"""Fake of the Hugging Face Hub as huggingface_hub uploads to it: repositories, Git LFS objects, commits, over HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.http_service import HttpFake

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"


class FakeUploadHub(HttpFake):
    """A Hub that takes uploads from those who send `token`.

    Attributes:
        repositories: The files of each by name, after a commit.
        private: Which were made private.
        refused: How many requests came without the token.
    """

    methods = ("GET", "POST", "PUT")

    def __init__(self, token: str) -> None:
        """Begin with no repository.

        Args:
            token: The one that opens it.
        """
        super().__init__("0.0.0.0")  # noqa: S104 - the instance reaches this machine by the address of Docker's bridge
        self.token = token
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.refused = 0
        self._objects: dict[str, bytes] = {}

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request; the storage of objects takes no token, as the Hub's signed addresses do not."""
        path = urlsplit(request.path).path
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if path.startswith("/storage/"):
            self._objects[path.removeprefix("/storage/")] = body
            self._send(request, 200, {})
        elif request.headers.get("Authorization") != f"Bearer {self.token}":
            self.refused += 1
            self._send(request, 401, {"error": "Invalid credentials in Authorization header"})
        elif path == "/api/repos/create":
            self._create(request, json.loads(body))
        elif path == "/api/validate-yaml":
            self._send(request, 200, {"errors": [], "warnings": []})
        elif path.endswith("/preupload/main"):
            self._say_how(request, json.loads(body))
        elif path.endswith(".git/info/lfs/objects/batch"):
            self._offer_storage(request, json.loads(body))
        elif path.endswith("/commit/main"):
            self._commit(request, path.removeprefix("/api/models/").removesuffix("/commit/main"), body)
        else:
            self._send(request, 404, {"error": f"the fake Hub has no {request.command} {path}"})

    def _create(self, request: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
        name = "/".join(part for part in (asked.get("organization"), asked["name"]) if part)
        self.repositories.setdefault(name, {})
        if asked.get("private") or asked.get("visibility") == "private":
            self.private.add(name)
        self._send(request, 200, {"url": f"{self._address(request)}/{name}", "name": name})

    def _say_how(self, request: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
        """Answer how each file is uploaded: weights to the storage, small texts in the commit, as on the Hub."""
        files = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for each in asked["files"]
        ]
        self._send(request, 200, {"files": files})

    def _offer_storage(self, request: BaseHTTPRequestHandler, asked: dict[str, Any]) -> None:
        here = self._address(request)
        objects = [
            {**each, "actions": {"upload": {"href": f"{here}/storage/{each['oid']}"}}} for each in asked["objects"]
        ]
        self._send(request, 200, {"transfer": "basic", "objects": objects}, "application/vnd.git-lfs+json")

    def _commit(self, request: BaseHTTPRequestHandler, repository: str, body: bytes) -> None:
        files = self.repositories[repository]
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                content = self._objects[value["oid"]]
                assert hashlib.sha256(content).hexdigest() == value["oid"]
                files[value["path"]] = content
        url = f"{self._address(request)}/{repository}/commit/{COMMIT}"
        self._send(request, 200, {"success": True, "commitOid": COMMIT, "commitUrl": url})

    @staticmethod
    def _address(request: BaseHTTPRequestHandler) -> str:
        return f"http://{request.headers['Host']}"

    @staticmethod
    def _send(
        request: BaseHTTPRequestHandler, status: int, body: dict[str, Any], kind: str = "application/json"
    ) -> None:
        content = json.dumps(body).encode()
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)
