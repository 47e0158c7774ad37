"""Whether an engine works: it makes a token, or goes on with those that it was asked for before."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.slm.serving.plugins.module_utils.engine import PROOFS

PATIENCE = "1"


class FakeEngine(ThreadingHTTPServer):
    """An engine that answers, fails, hangs, or is too busy to answer."""

    daemon_threads = True

    def __init__(self, behaviour: str) -> None:
        """Listen on a free port; `behaviour` is works, fails, hangs, silent or busy."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour, self.tokens, self.over = behaviour, 0, threading.Event()
        self.metric = 'vllm:generation_tokens_total{engine="0"} %d.0\n'


class Handler(BaseHTTPRequestHandler):
    """The requests that are made to see whether it works."""

    server: FakeEngine

    def do_GET(self) -> None:
        """Answer /metrics, /v1/models and /live."""
        if self.server.behaviour == "silent":
            self.server.over.wait()
        if self.server.behaviour == "busy":
            self.server.tokens += 1
        metrics = self.server.metric % self.server.tokens
        self.answer(200, metrics if self.path == "/metrics" else json.dumps({"data": [{"id": "base"}]}))

    def do_POST(self) -> None:
        """Answer /v1/completions."""
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.behaviour in {"hangs", "busy"}:
            self.server.over.wait()
        self.answer(200 if self.server.behaviour == "works" else 500, "{}")

    def answer(self, status: int, text: str) -> None:
        """Send an answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[FakeEngine]:
    """Return an engine of the behaviour that the test names."""
    with FakeEngine(request.param) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        yield server
        server.over.set()
        server.shutdown()


def said(service: str, port: str, engine: FakeEngine) -> str:
    """Return what a service's proof says last of an engine in place of the one in its container."""
    proof, metrics = PROOFS[service]
    program = proof.replace(f"127.0.0.1:{port}", f"127.0.0.1:{engine.server_port}")
    result = subprocess.run(
        [sys.executable, "-c", program, PATIENCE, *metrics], capture_output=True, text=True, check=False, timeout=60
    )
    return result.stderr.splitlines()[-1].partition(":")[0]


@pytest.mark.parametrize(
    ("engine", "expected"),
    [("works", "works"), ("busy", "works"), ("hangs", "hangs"), ("fails", "hangs"), ("silent", "hangs")],
    indirect=["engine"],
)
def test_an_engine_works_as_long_as_it_makes_tokens(engine: FakeEngine, expected: str) -> None:
    assert said("engine", "8000", engine) == expected


@pytest.mark.parametrize("engine", ["busy"], indirect=True)
def test_llamacpp_works_too_as_long_as_it_makes_tokens(engine: FakeEngine) -> None:
    engine.metric = "llamacpp:tokens_predicted_total %d\n"
    assert said("engine", "8000", engine) == "works"


@pytest.mark.parametrize(("engine", "expected"), [("works", "works"), ("silent", "hangs")], indirect=["engine"])
def test_a_gateway_works_as_long_as_it_answers(engine: FakeEngine, expected: str) -> None:
    assert said("gateway", "8080", engine) == expected
