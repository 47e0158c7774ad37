"""A small package index on loopback, in each of the forms that an index may have, and the packages that it serves."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler
from typing import NamedTuple

from tests.fakes.http_service import HttpFake

SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"


class Wheel(NamedTuple):
    """A package that holds its version and nothing else."""

    name: str
    version: str

    @property
    def filename(self) -> str:
        """The file's name in the index."""
        return f"{self.name}-{self.version}-py3-none-any.whl"

    @property
    def sha256(self) -> str:
        """The hash that a lock file names."""
        return hashlib.sha256(self.content()).hexdigest()

    def content(self, comment: str = "") -> bytes:
        """Return the file, the same bytes each time; with another comment it is another file of the same name."""
        info = f"{self.name}-{self.version}.dist-info"
        files = {
            f"{self.name}.py": f'VERSION = "{self.version}"  # {comment}\n',
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{path},sha256={_record_hash(text)},{len(text)}\n" for path, text in files.items())
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
                archive.writestr(zipfile.ZipInfo(path), text)  # ZipInfo's own date is always the same
        return buffer.getvalue()


def _record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@dataclass(frozen=True)
class Pages:
    """What an index answers beside the files themselves.

    Attributes:
        simple_json: `/simple/NAME/` has a JSON form (PEP 691) for those who ask for it.
        release_json: `/pypi/NAME/VERSION/json`, which the Python index has and no standard describes.
        relative_links: HTML pages link to files relative to themselves.
    """

    simple_json: bool
    release_json: bool
    relative_links: bool


class Form(Enum):
    """The forms of index in use."""

    PYTHON_INDEX = Pages(simple_json=True, release_json=True, relative_links=False)
    WITHOUT_RELEASE_JSON = Pages(simple_json=True, release_json=False, relative_links=False)
    HTML_ONLY = Pages(simple_json=False, release_json=False, relative_links=False)
    HTML_WITH_RELATIVE_LINKS = Pages(simple_json=False, release_json=False, relative_links=True)


class PackageIndex(HttpFake):
    """An index of one form that serves some wheels.

    Attributes:
        wheels: what it serves; may change while it runs.
        altered: wheels whose file is another than the one that was locked.
        requests: the paths that were asked for.
        holding: while set, files are not answered.
    """

    def __init__(self, form: Form, wheels: Iterable[Wheel]) -> None:
        """Serve the wheels on a free port once entered."""
        super().__init__()
        self.wheels = list(wheels)
        self.altered: set[Wheel] = set()
        self.requests: list[str] = []
        self.holding = threading.Event()
        self.held = threading.Event()
        self._released = threading.Event()
        self._pages = form.value

    @property
    def url(self) -> str:
        """The address for pip's `index-url`."""
        return f"http://127.0.0.1:{self.port}/simple/"

    def release(self) -> None:
        """Answer files again."""
        self.holding.clear()
        self._released.set()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a page or a file."""
        self.requests.append(request.path)
        match request.path.strip("/").split("/"):
            case ["simple", name] if wheels := [wheel for wheel in self.wheels if wheel.name == name]:
                if self._pages.simple_json and SIMPLE_JSON in request.headers["Accept"]:
                    _reply(request, SIMPLE_JSON, self._simple_json(name, wheels))
                else:
                    _reply(request, "text/html", self._simple_html(wheels))
            case ["pypi", name, version, "json"] if self._pages.release_json and Wheel(name, version) in self.wheels:
                urls = [self._link(Wheel(name, version))]
                _reply(request, "application/json", json.dumps({"info": {"name": name}, "urls": urls}).encode())
            case ["files", filename] if wheels := [wheel for wheel in self.wheels if wheel.filename == filename]:
                if self.holding.is_set():
                    self.held.set()
                    self._released.wait(timeout=60)
                comment = "altered" if wheels[0] in self.altered else ""
                _reply(request, "application/octet-stream", wheels[0].content(comment))
            case _:
                request.send_error(404)

    def _link(self, wheel: Wheel) -> str:
        return f"{'../../' if self._pages.relative_links else f'http://127.0.0.1:{self.port}/'}files/{wheel.filename}"

    def _simple_html(self, wheels: list[Wheel]) -> bytes:
        links = "".join(f'<a href="{self._link(wheel)}">{wheel.filename}</a><br>\n' for wheel in wheels)
        return f"<!DOCTYPE html><html><body>\n{links}</body></html>\n".encode()

    def _simple_json(self, name: str, wheels: list[Wheel]) -> bytes:
        files = [{"filename": wheel.filename, "url": self._link(wheel), "hashes": {}} for wheel in wheels]
        return json.dumps({"meta": {"api-version": "1.0"}, "name": name, "files": files}).encode()


def _reply(request: BaseHTTPRequestHandler, content_type: str, body: bytes) -> None:
    request.send_response(200)
    request.send_header("Content-Type", content_type)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
