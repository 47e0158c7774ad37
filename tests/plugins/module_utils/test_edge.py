"""The edge's certificate before it is used, and an edge that is asked under its name."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils import edge
from ansible_collections.slm.serving.plugins.module_utils.process import StackError

from tests.local_region.docker.certificates import Authority

DOMAIN = "notes.example.org"
AUTHORITY = Authority("the tests' authority")
CERTIFICATE, KEY = (part.decode() for part in AUTHORITY.issue(DOMAIN))
OTHER_KEY = AUTHORITY.issue(DOMAIN)[1].decode()
ENDED = b"".join(AUTHORITY.issue(DOMAIN, days=-1)).decode()
ANOTHERS = b"".join(AUTHORITY.issue("another.example.org")).decode()


@pytest.mark.parametrize("pem", [CERTIFICATE + KEY, KEY + CERTIFICATE, CERTIFICATE + AUTHORITY.pem.decode() + KEY])
def test_a_certificate_that_clients_take_is_no_problem(pem: str) -> None:
    assert edge.certificate_problem(pem, DOMAIN) is None
    assert edge.certificate_problem(pem.replace("\n", "\r\n"), DOMAIN) is None


@pytest.mark.parametrize(
    ("pem", "words"),
    [
        ("", "holds no certificate"),
        ("some words", "holds no certificate"),
        (CERTIFICATE, "holds no private key"),
        (KEY, "holds no certificate"),
        (CERTIFICATE + OTHER_KEY, "a key that is not the certificate's"),
        (AUTHORITY.pem.decode() + CERTIFICATE + KEY, "the first certificate has to be the server's own"),
        (ENDED, "has ended"),
        (ANOTHERS, f"not of the name {DOMAIN}"),
        (CERTIFICATE.replace("M", "!", 3) + KEY, "cannot be read"),
        (CERTIFICATE + KEY.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), "with a passphrase"),
    ],
)
def test_another_one_is_named_without_its_content(pem: str, words: str) -> None:
    problem = edge.certificate_problem(pem, DOMAIN)
    assert problem is not None
    assert words in problem
    assert KEY.splitlines()[1] not in problem


def test_the_setting_that_names_the_certificates_host_is_said() -> None:
    problem = edge.certificate_problem(ANOTHERS, DOMAIN, setting="engine_pool_name")
    assert problem is not None
    assert problem.endswith("(engine_pool_name)")


class Handler(BaseHTTPRequestHandler):
    """Says by which name it was asked, and with which key."""

    def do_GET(self) -> None:
        """Answer."""
        body = f'{{"host": "{self.headers["Host"]}", "key": "{self.headers["Authorization"]}"}}'.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


class Server(ThreadingHTTPServer):
    """A server whose clients may break a handshake off."""

    def handle_error(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[int]:
    """Return the port of a server with a certificate and its key."""
    pem = tmp_path / "served.pem"
    pem.write_text(getattr(request, "param", CERTIFICATE + KEY))
    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def ask(port: int) -> tuple[int, dict[str, Any]]:
    """Ask an edge as the verification does."""
    return edge.ask_edge({"domain": DOMAIN, "port": port}, "/health", None, "the-key", 30)


def test_an_edge_with_the_certificate_of_the_secret_is_asked_by_its_name(
    served: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be of an authority that the instance does not know."""
    monkeypatch.setattr(edge, "CERTIFICATE", tmp_path / "certificate.pem")
    (tmp_path / "certificate.pem").write_text(KEY + CERTIFICATE)
    assert ask(served) == (200, {"host": DOMAIN, "key": "Bearer the-key"})


@pytest.mark.parametrize("served", [ANOTHERS, ENDED, CERTIFICATE + KEY], indirect=True)
def test_another_certificate_is_refused(served: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "CERTIFICATE", tmp_path / "certificate.pem")
    (tmp_path / "certificate.pem").write_text(b"".join(AUTHORITY.issue(DOMAIN)).decode())
    with pytest.raises(StackError, match="the edge's certificate is refused"):
        ask(served)


def test_an_edge_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(edge, "CERTIFICATE", tmp_path / "none.pem")
    with pytest.raises(StackError, match="the edge does not answer /health"):
        edge.ask_edge({"domain": "", "port": 9}, "/health", None, "", 5)


@pytest.mark.parametrize(
    ("service", "started", "outdated"),
    [
        ("edge", "2026-01-01T00:00:00.123456789Z", True),
        ("edge", "2126-01-01T00:00:00.123456789Z", False),
        ("router", "2026-01-01T00:00:00.123456789Z", True),
        ("gateway", "2026-01-01T00:00:00Z", False),
    ],
)
def test_an_edge_that_was_started_before_its_certificate_is_made_anew(
    service: str, started: str, outdated: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(edge, "CERTIFICATES", dict.fromkeys(edge.CERTIFICATES, tmp_path / "certificate.pem"))
    container: Any = {"service": service, "status": "running", "started": started}
    assert edge.is_outdated(container) is False
    (tmp_path / "certificate.pem").write_text("x")
    assert edge.is_outdated(container) is outdated
    # One that does not run reads the certificate when it starts.
    assert edge.is_outdated(container | {"status": "exited"}) is False
