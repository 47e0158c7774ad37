"""What clients meet at the edge: TLS, paths, headers, times and sizes, with the gateway behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import ssl
import time
from typing import Any

import pytest
from starlette.routing import Mount, Route

from gateway.app import create_app
from gateway.settings import Settings
from tests.fakes.engine.scripted import FakeEngine
from tests.fakes.http_service import HttpFake
from tests.gateway.conftest import Gateway, StartGateway
from tests.gateway.edge.conftest import DOMAIN, Answer, Edge, StartEdge, upstream
from tests.local_region.docker.certificates import Authority
from tests.support.ports import free_port
from tests.support.release_files import edge_files

pytestmark = pytest.mark.slow

# What a log must never hold.
PLANTED = "planted-words-of-a-note"


async def extract(edge: Edge, **headers: str) -> Answer:
    """Have a note extracted."""
    body = json.dumps({"text": "stage IV lung adenocarcinoma"})
    return await edge.call("POST", "/api/v1/extract", body, Content_Type="application/json", **headers)


def greet(edge: Edge, data: bytes, patience: float = 60) -> bytes:
    """Send bytes as they are over TLS, and return what comes until the edge closes, however it does.

    Where it leaves the connection open after its answer, for the rest of a request, no longer than the patience lasts.

    Raises:
        TimeoutError: Nothing came.
    """
    assert edge.trust is not None
    received = b""
    # On a busy machine the edge may have closed before all is sent.
    with (
        contextlib.suppress(ConnectionError, ssl.SSLError),
        socket.create_connection(("127.0.0.1", edge.port), patience) as plain,
        edge.trust.wrap_socket(plain, server_hostname=DOMAIN) as client,
    ):
        client.sendall(data)
        while part := _more(client, received):
            received += part
    return received


def _more(client: ssl.SSLSocket, received: bytes) -> bytes:
    try:
        return client.recv(65536)
    except TimeoutError:
        if received:
            return b""
        raise


async def test_page_health_and_notes_go_through_with_a_checked_certificate(edge: Edge) -> None:
    answer = await extract(edge)
    assert (answer.status, json.loads(answer.body)["stage"]) == (200, "IV")
    assert (await edge.call("GET", "/health")).status == 200
    page = await edge.call("GET", "/", Accept="text/html")
    assert page.status == 200
    # Whose certificate is not of an authority that the client trusts, is no edge.
    stranger = Edge(
        edge.port, ssl.create_default_context(cadata=Authority("another").pem.decode()), edge.log, edge.process
    )
    with pytest.raises(ssl.SSLCertVerificationError):
        await stranger.call("GET", "/health")
    # The page's own policy stays, and what the gateway says wins.
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers.get_all("X-Content-Type-Options") == ["nosniff"]
    assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert (page.headers["Server"], page.headers["Via"]) == (None, None)


async def test_http2_is_offered_and_old_tls_and_plain_http_are_refused(edge: Edge, authority: Authority) -> None:
    def negotiated(**options: Any) -> str | None:
        trust = ssl.create_default_context(cadata=authority.pem.decode())
        trust.set_alpn_protocols(["h2", "http/1.1"])
        for name, setting in options.items():
            setattr(trust, name, setting)
        with (
            socket.create_connection(("127.0.0.1", edge.port), 60) as plain,
            trust.wrap_socket(plain, server_hostname=DOMAIN) as client,
        ):
            return client.selected_alpn_protocol()

    assert await asyncio.to_thread(negotiated) == "h2"
    # The client's own security level, not a warning of Python's, would refuse an older one than 1.2 already.
    assert await asyncio.to_thread(negotiated, maximum_version=ssl.TLSVersion.TLSv1_2) == "h2"

    def in_plain() -> bytes:
        with socket.create_connection(("127.0.0.1", edge.port), 60) as client:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: " + DOMAIN.encode() + b"\r\n\r\n")
            return client.recv(65536)

    assert (await asyncio.to_thread(in_plain)).startswith(b"HTTP/1.0 400 ")


CLOSED = [
    "/metrics", "/Metrics", "//metrics", "/metrics/", "/%6detrics", "/./metrics", "/page/../metrics",
    "/page/%2e%2e/metrics", "/api/..%2fmetrics", "/metrics?x=/page/a", "/docs", "/docs/x", "/redoc", "/openapi.json",
    "/OPENAPI.JSON", "/nothing", "/tokenize", "/v1",
]  # fmt: skip


async def test_what_is_not_open_is_not_there(edge: Edge) -> None:
    answers = {path: await edge.call("GET", path) for path in CLOSED}
    assert {path: answer.status for path, answer in answers.items() if answer.status != 404} == {}
    assert all(b"http_requests" not in answer.body and b"openapi" not in answer.body for answer in answers.values())
    assert (await edge.call("POST", "/metrics", "x")).status == 404
    problem = json.loads(answers["/metrics"].body)
    assert answers["/metrics"].headers["Content-Type"] == "application/problem+json"
    assert answers["/metrics"].headers["Strict-Transport-Security"] == "max-age=31536000"
    assert answers["/metrics"].headers["Server"] is None
    # What is left of a body that nobody read is not taken for the next request.
    assert answers["/metrics"].headers["Connection"] == "close"
    assert problem["request_id"] == answers["/metrics"].headers["X-Request-Id"]
    assert (problem["status"], problem["type"]) == (404, "urn:slm-ft-serving:problem:not-found")


async def test_a_setting_opens_documentation_and_metrics(start_edge: StartEdge, gateway: Gateway) -> None:
    edge = await start_edge(upstream(gateway), inference_stack_edge_open=["docs", "metrics"])
    for path in ("/metrics", "/docs", "/redoc", "/openapi.json"):
        assert (await edge.call("GET", path)).status == 200, path


def test_every_path_of_the_gateway_is_either_open_or_closed_on_purpose() -> None:
    """Whoever gives the gateway a new path has to say here what the edge does with it."""
    app = create_app(Settings(auth="off"))
    # Those of the schema, and those beside it that are not of a router.
    found = {*app.openapi()["paths"], *(route.path for route in app.routes if isinstance(route, Route | Mount))}
    closed = {"/metrics", "/docs", "/docs/assets", "/redoc", "/openapi.json"}
    patterns = re.findall(r"@open path (.*)", edge_files()["Caddyfile"])[0].split()
    unknown = [
        path
        for path in found - closed
        if not any(path == each or (each.endswith("*") and path.startswith(each[:-1])) for each in patterns)
    ]
    assert unknown == []
    assert closed.isdisjoint(patterns)
    assert {"/api/v1/extract", "/v1/chat/completions", "/health", "/metrics"} <= found


async def test_another_name_is_not_answered(edge: Edge) -> None:
    assert (await edge.call("GET", "/health", Host="another.example.org")).status == 421


async def test_request_ids_go_through_and_others_are_replaced(edge: Edge) -> None:
    assert (await extract(edge, X_Request_Id="client.id-1")).headers.get_all("X-Request-Id") == ["client.id-1"]
    for given in ("", 'a"b', "x" * 65, PLANTED + " with spaces"):
        (found,) = (await extract(edge, X_Request_Id=given)).headers.get_all("X-Request-Id") or []
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", found)
        assert found != given
    assert '"request_id":"client.id-1"' in edge.log.read_text()


async def test_stream_arrives_piece_by_piece(
    engine: FakeEngine, start_gateway: StartGateway, start_edge: StartEdge
) -> None:
    """The engine takes its time for each token, and the first event is there long before the last."""
    engine.token_delay = 0.05
    edge = await start_edge(upstream(await start_gateway()))

    def seconds_after_the_first_event() -> float:
        connection = edge.connection()
        headers = {"Host": DOMAIN, "Content-Type": "application/json"}
        connection.request("POST", "/api/v1/extract/stream", json.dumps({"text": "stage IV"}), headers)
        answer = connection.getresponse()
        assert answer.status == 200
        answer.readline()
        first = time.monotonic()
        answer.read()
        connection.close()
        return time.monotonic() - first

    assert await asyncio.to_thread(seconds_after_the_first_event) > 0.2


@pytest.mark.parametrize("path", ["/api/v1/extract", "/api/v1/extract/stream"])
async def test_a_client_that_goes_away_ends_the_engines_work(
    engine: FakeEngine, start_gateway: StartGateway, start_edge: StartEdge, path: str
) -> None:
    engine.delay = 30
    edge = await start_edge(upstream(await start_gateway()))
    connection = edge.connection()
    headers = {"Host": DOMAIN, "Content-Type": "application/json"}
    await asyncio.to_thread(connection.request, "POST", path, json.dumps({"text": "stage IV"}), headers)
    async with asyncio.timeout(10):
        while engine.running == 0:  # noqa: ASYNC110 - what is watched has no event
            await asyncio.sleep(0.01)
        connection.close()
        while engine.cancelled == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Recorder(HttpFake):
    """An upstream that keeps the headers of each request."""

    methods = ("GET",)

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()
        self.seen: list[dict[str, list[str]]] = []

    def answer(self, request: Any) -> None:
        """Answer 200."""
        self.seen.append({name.lower(): request.headers.get_all(name) for name in request.headers})
        request.send_response(200)
        request.send_header("Content-Length", "0")
        request.end_headers()


SPOOFED = {
    "X_Forwarded_For": "203.0.113.9",
    "X_Forwarded_Proto": "gopher",
    "X_Forwarded_Host": "evil.example",
    "X_Real_IP": "203.0.113.9",
    "Forwarded": "for=203.0.113.9",
}


async def test_forwarding_headers_cannot_be_spoofed(start_edge: StartEdge) -> None:
    with Recorder() as recorder:
        edge = await start_edge(f"127.0.0.1:{recorder.port}")
        await edge.call("GET", "/health", **SPOOFED)
        (seen,) = recorder.seen
    assert seen["x-forwarded-for"] == ["127.0.0.1"]
    assert seen["x-forwarded-proto"] == ["https"]
    assert seen["x-forwarded-host"] == [DOMAIN]
    assert seen["host"] == [DOMAIN]
    assert "x-real-ip" not in seen
    assert "forwarded" not in seen


@pytest.mark.parametrize(
    ("trusted", "expected"), [("127.0.0.0/8", "203.0.113.9, 127.0.0.1"), ("10.0.0.0/8", "127.0.0.1")]
)
async def test_a_plain_edge_believes_the_proxies_that_are_named(
    start_edge: StartEdge, trusted: str, expected: str
) -> None:
    with Recorder() as recorder:
        edge = await start_edge(
            f"127.0.0.1:{recorder.port}", mode="plain", inference_stack_edge_trusted_proxies=[trusted]
        )
        answer = await edge.call("GET", "/health", X_Forwarded_For="203.0.113.9")
        (seen,) = recorder.seen
    assert answer.status == 200
    assert seen["x-forwarded-for"] == [expected]
    # Whoever speaks TLS to clients says for how long they have to.
    assert answer.headers["Strict-Transport-Security"] is None


async def test_slow_heads_and_bodies_end(start_edge: StartEdge, start_gateway: StartGateway) -> None:
    """A head at the edge; a body, of which some has come, at the gateway, whose time for it is the shorter one."""
    gateway = await start_gateway(request_timeout=1)
    edge = await start_edge(upstream(gateway), inference_stack_edge_head_timeout=1)
    head = f"POST /api/v1/extract HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Type: application/json\r\n".encode()
    slow_head, slow_body = await asyncio.gather(
        asyncio.to_thread(greet, edge, head),
        asyncio.to_thread(greet, edge, head + b'Content-Length: 100\r\n\r\n{"text": "', 10),
    )
    assert slow_head == b"" or slow_head.startswith(b"HTTP/1.1 408 ")
    assert slow_body.startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_is_too_large_is_refused(start_edge: StartEdge, start_gateway: StartGateway) -> None:
    gateway = await start_gateway(max_body_bytes=2048)
    edge = await start_edge(upstream(gateway), inference_stack_gateway_environment={"GATEWAY_MAX_BODY_BYTES": "2048"})
    assert edge_files(inference_stack_gateway_environment={"GATEWAY_MAX_BODY_BYTES": "2048"})["Caddyfile"].count("2048")
    fits = json.dumps({"text": "stage IV ".ljust(1900)})
    answers = [
        await edge.call("POST", "/api/v1/extract", body, Content_Type="application/json")
        for body in (fits, fits.ljust(2049), [b"x" * 1024] * 3)
    ]
    assert [answer.status for answer in answers] == [200, 413, 413]


async def test_a_gateway_that_is_down_is_an_honest_503(start_edge: StartEdge) -> None:
    edge = await start_edge(
        f"127.0.0.1:{free_port()}", inference_stack_edge_patience=0, inference_stack_edge_retry_after=7
    )
    answer = await extract(edge, X_Request_Id="down-1")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "7")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers.get_all("X-Request-Id") == ["down-1"]
    problem = json.loads(answer.body)
    assert (problem["status"], problem["request_id"]) == (503, "down-1")


async def test_a_request_is_held_while_the_gateway_is_made_anew(start_edge: StartEdge) -> None:
    with Recorder() as recorder:
        port = recorder.port
    edge = await start_edge(f"127.0.0.1:{port}", inference_stack_edge_patience=60)
    asked = asyncio.ensure_future(edge.call("GET", "/health"))
    await asyncio.sleep(0.3)
    assert not asked.done()
    server = await asyncio.start_server(_answers_once, "127.0.0.1", port)
    try:
        assert (await asked).status == 204
    finally:
        server.close()


async def _answers_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    await writer.drain()
    writer.close()


@pytest.mark.parametrize("is_up", [True, False])
async def test_nothing_that_a_client_wrote_is_logged(start_edge: StartEdge, gateway: Gateway, is_up: bool) -> None:
    where = upstream(gateway) if is_up else f"127.0.0.1:{free_port()}"
    edge = await start_edge(where, inference_stack_edge_patience=0)
    body = json.dumps({"text": PLANTED})
    headers = {"X_Api_Key": PLANTED, "Authorization": f"Bearer {PLANTED}", "Referer": PLANTED, "User_Agent": PLANTED}
    await edge.call("POST", f"/api/v1/{PLANTED}?text={PLANTED}", body, X_Request_Id="a " + PLANTED, **headers)
    await edge.call("GET", f"/{PLANTED}?text={PLANTED}", **headers)
    edge.process.terminate()
    await asyncio.to_thread(edge.process.wait, 60)
    written = edge.log.read_text()
    assert PLANTED not in written
    assert written.count('"logger":"http.log.access') == 2


async def test_the_edge_drains_at_its_end(
    engine: FakeEngine, start_gateway: StartGateway, start_edge: StartEdge
) -> None:
    engine.delay = 1.0
    edge = await start_edge(upstream(await start_gateway()))
    asked = asyncio.ensure_future(extract(edge))
    async with asyncio.timeout(60):
        while not engine.bodies:  # noqa: ASYNC110 - what is watched has no event
            await asyncio.sleep(0.01)
    edge.process.terminate()
    assert (await asked).status == 200
    assert await asyncio.to_thread(edge.process.wait, 60) == 0
