"""Caddy with the file that the role renders, on loopback, before the gateway with a fake engine."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import pytest

from tests.gateway.conftest import Gateway
from tests.local_region.docker.certificates import Authority
from tests.support import caddy
from tests.support.ports import free_port
from tests.support.release_files import edge_files

DOMAIN = "notes.example.org"
START_SECONDS = 60


@dataclass
class Answer:
    """An answer that was read whole."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class _Connection(http.client.HTTPSConnection):
    """A connection to loopback that asks for the edge's name, and checks that the certificate is of that name."""

    def __init__(self, port: int, trust: ssl.SSLContext) -> None:
        super().__init__("127.0.0.1", port, timeout=30, context=trust)
        self._trust = trust

    def connect(self) -> None:
        """Connect, and shake hands under the edge's name."""
        http.client.HTTPConnection.connect(self)
        self.sock = self._trust.wrap_socket(self.sock, server_hostname=DOMAIN)


@dataclass
class Edge:
    """An edge that runs.

    Attributes:
        port: where clients come to.
        trust: what a client trusts; None where the edge has no certificate.
        log: everything that Caddy wrote.
    """

    port: int
    trust: ssl.SSLContext | None
    log: Path
    process: subprocess.Popen[bytes]

    def connection(self) -> http.client.HTTPConnection:
        """Return a new connection of a client."""
        if self.trust is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        return _Connection(self.port, self.trust)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send a request as its name was written, and read the answer."""
        connection = self.connection()
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {"Host": DOMAIN, **named})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Do the same in a thread: the gateway is in this one."""
        return await asyncio.to_thread(self.ask, method, path, body, **headers)


class StartEdge(Protocol):
    """Starts an edge; changes are variables of the role."""

    async def __call__(self, upstream: str, mode: str = "certificate", **changes: Any) -> Edge:
        """Start one before an upstream, `host:port`."""


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Return a certificate authority of the tests."""
    return Authority("the tests' authority")


@pytest.fixture
async def start_edge(tmp_path: Path, authority: Authority) -> AsyncIterator[StartEdge]:
    """Start edges; each ends with the test."""
    (tmp_path / "certificate.pem").write_bytes(b"".join(authority.issue(DOMAIN)))
    trust = ssl.create_default_context(cadata=authority.pem.decode())
    program = caddy.program()
    with contextlib.ExitStack() as stack:

        async def start(upstream: str, mode: str = "certificate", **changes: Any) -> Edge:
            listen = {"http": free_port(), "https": free_port(), "alive": free_port()}
            file, log = tmp_path / f"Caddyfile-{listen['alive']}", tmp_path / f"log-{listen['alive']}"
            rendered = edge_files(
                inference_stack_edge_mode=mode,
                inference_stack_edge_domain=DOMAIN,
                inference_stack_edge_upstream=upstream,
                _inference_stack_edge_listen=listen,
                _inference_stack_edge_certificate=str(tmp_path / "certificate.pem"),
                **changes,
            )
            file.write_text(rendered["Caddyfile"], encoding="utf-8")
            output = stack.enter_context(log.open("wb"))
            process = _run(program, file, output)
            stack.callback(process.wait, START_SECONDS)
            stack.callback(process.kill)
            await _until_alive(process, listen["alive"], log)
            if mode == "plain":
                return Edge(listen["http"], None, log, process)
            return Edge(listen["https"], trust, log, process)

        yield start


def _run(program: str, file: Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start Caddy as its container does, with nothing of this user's."""
    command = [program, "run", "--config", str(file), "--adapter", "caddyfile"]
    environment = {"HOME": str(file.parent), "PATH": "/usr/bin:/bin"}
    return subprocess.Popen(command, stdout=output, stderr=output, env=environment)


async def _until_alive(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until the health check that the container has would pass."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            assert process.poll() is None, log.read_text()
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"GET / HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
                answer = await reader.read()
                writer.close()
                if answer.startswith(b"HTTP/1.0 200"):
                    return
            await asyncio.sleep(0.02)


@pytest.fixture
async def edge(start_edge: StartEdge, gateway: Gateway) -> Edge:
    """Return an edge with a certificate, before a gateway."""
    return await start_edge(upstream(gateway))


def upstream(gateway: Gateway) -> str:
    """Return where an edge finds a gateway."""
    return gateway.url.removeprefix("http://")
