"""Every client can read its answer: one that still sends, one that has ended its side, one of HTTP/1.0."""

import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from http.client import HTTPConnection
from pathlib import Path

import pytest
import requests

from tests.gateway.server.conftest import BODY_BYTES, KEY, Engine, Served
from tests.gateway.server.raw_client import RawClient

BODY = b'{"text": "Stage IV cancer."}'
HEAD = b"POST /api/v1/extract HTTP/1.1\r\nHost: x\r\nX-API-Key: right\r\n"
LARGE = 6_000_000


@pytest.fixture
def slow_engine(served: Served, monkeypatch: pytest.MonkeyPatch) -> type[Engine]:
    """Have the engine take half a second."""
    monkeypatch.setattr(served.engine, "seconds", 0.5)
    return served.engine


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-API-Key": KEY}, 413),
        ({}, 401),
        ({"X-API-Key": KEY, "Content-Encoding": "gzip"}, 415),
        ({"X-API-Key": KEY, "Transfer-Encoding": "gzip, chunked"}, 501),
    ],
)
def test_a_client_that_sends_all_before_it_reads_gets_the_refusal(
    served: Served, headers: dict[str, str], status: int
) -> None:
    connection = HTTPConnection("127.0.0.1", served.port, timeout=30)
    for size in (BODY_BYTES + 1, LARGE, 5 * LARGE):
        connection.request("POST", "/api/v1/extract", b"x" * size, headers)
        answer = connection.getresponse()
        assert answer.status == status
        assert json.loads(answer.read())["status"] == status
    connection.close()


@pytest.mark.parametrize("size", [LARGE, 5 * LARGE])
def test_pythons_clients_read_a_413(served: Served, size: int) -> None:
    url = f"http://127.0.0.1:{served.port}/api/v1/extract"
    request = urllib.request.Request(url, b"x" * size, {"X-API-Key": KEY})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    assert caught.value.code == 413
    caught.value.close()
    assert requests.post(url, b"x" * size, headers={"X-API-Key": KEY}, timeout=30).status_code == 413


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
@pytest.mark.parametrize(
    "options", [[], ["-H", "Expect:"], ["--http2"], ["--http1.0"], ["-H", "Transfer-Encoding: chunked"]]
)
def test_curl_reads_a_413(served: Served, tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "body").write_bytes(b"x" * LARGE)
    url = f"http://127.0.0.1:{served.port}/api/v1/extract"
    command = ["curl", "-s", "-w", "%{http_code}", "-o", "/dev/null", "-H", f"X-API-Key: {KEY}", *options]
    shown = subprocess.run([*command, "--data-binary", f"@{tmp_path}/body", url], capture_output=True, check=True)
    assert shown.stdout == b"413"


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_nodes_fetch_reads_a_413(served: Served) -> None:
    script = (
        f"const send = () => fetch('http://127.0.0.1:{served.port}/api/v1/extract', {{method: 'POST',"
        f" headers: {{'X-API-Key': '{KEY}'}}, body: 'x'.repeat({LARGE})}})"
        ".then(answer => answer.text().then(() => answer.status), error => String(error.cause));"
        "(async () => { for (let i = 0; i < 4; i++) console.log(await send()) })()"
    )
    shown = subprocess.run(["node", "-e", script], capture_output=True, check=True, text=True)
    assert shown.stdout.split() == ["413"] * 4


@pytest.mark.skipif(not shutil.which("javac"), reason="needs a JDK")
def test_the_jdks_client_is_served_as_it_comes(served: Served, tmp_path: Path) -> None:
    (tmp_path / "Post.java").write_text(
        "import java.net.URI; import java.net.http.*;"
        "public class Post { public static void main(String[] a) throws Exception {"
        "HttpClient client = HttpClient.newHttpClient(); for (int i = 0; i < 2; i++) {"
        'HttpRequest request = HttpRequest.newBuilder(URI.create(a[0])).header("X-API-Key", a[1])'
        ".POST(HttpRequest.BodyPublishers.ofString(a[2])).build();"
        "System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode()); } } }"
    )
    url = f"http://127.0.0.1:{served.port}/api/v1/extract"
    command = ["java", "-XX:TieredStopAtLevel=1", str(tmp_path / "Post.java"), url, KEY, BODY.decode()]
    assert subprocess.run(command, capture_output=True, check=True).stdout.split() == [b"200", b"200"]


def test_a_small_refused_body_leaves_the_connection_open(served: Served) -> None:
    with served.connect() as client:
        for _ in range(3):
            client.send(b"POST /api/v1/extract HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n", b"x" * 20000)
            assert client.answer().status == 401


def test_a_body_that_was_not_asked_for_ends_the_connection(served: Served) -> None:
    # Whether the client sends it after the refusal is its own choice; as a request it must not be read.
    with served.connect() as client:
        client.send(b"POST /api/v1/extract HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 40\r\n\r\n")
        answer = client.answer()
        assert answer.status == 401
        assert answer.headers["Connection"] == "close"
        client.send(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest() == b""


def test_a_body_that_is_awaited_is_asked_for(served: Served) -> None:
    with served.connect() as client:
        client.send(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        assert client.socket.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(BODY)
        assert client.answer().status == 200


@pytest.mark.usefixtures("slow_engine")
@pytest.mark.parametrize("path", [b"/api/v1/extract", b"/api/v1/extract/stream"])
def test_a_client_that_ended_its_side_gets_its_answer(served: Served, path: bytes) -> None:
    with served.connect() as client:
        client.send(HEAD.replace(b"/api/v1/extract", path) + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        client.socket.shutdown(socket.SHUT_WR)
        answer = client.answer()
        assert answer.status == 200
        assert b'"IV"' in answer.body
        assert client.rest() == b""


@pytest.mark.usefixtures("slow_engine")
def test_pipelined_requests_of_a_client_that_ended_its_side_are_all_answered(served: Served) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    with served.connect() as client:
        client.send(request * 2 + b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert [client.answer().status for _ in range(3)] == [200, 200, 200]
        assert client.rest() == b""


@pytest.mark.usefixtures("slow_engine")
def test_a_client_that_closed_is_noticed_and_logged_as_gone(served: Served) -> None:
    with served.connect() as client:
        client.send(HEAD + b"X-Request-ID: gone-1\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
    with served.connect() as client:  # answered after the other one would have been
        client.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        assert client.answer().status == 200
    (logged,) = [entry for entry in served.log().splitlines() if "gone-1" in entry]
    assert '"status":499' in logged


@pytest.mark.parametrize("connection", [b"", b"Connection: keep-alive\r\n"])
def test_a_stream_to_a_client_of_http_1_0_has_no_chunks(served: Served, connection: bytes) -> None:
    head = HEAD.replace(b"1.1", b"1.0").replace(b"extract", b"extract/stream") + connection
    with served.connect() as client:
        client.send(head + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        answer = client.answer()
        assert client.rest() == b""
    assert answer.headers["Transfer-Encoding"] is None
    assert answer.body.startswith(b"event: field\n")
    assert answer.body.endswith(b"}\n\n")


def test_a_client_of_http_1_0_needs_no_host(served: Served) -> None:
    with served.connect() as client:
        client.send(b"GET /live HTTP/1.0\r\n\r\n")
        assert client.answer().body == b'{"status":"alive"}'
        assert client.rest() == b""


@pytest.mark.parametrize(
    "path", ["/live", "/health", "/healthz", "/", "/metrics", "/docs", "/openapi.json", "/v1/models"]
)
def test_head_is_get_without_the_body(served: Served, path: str) -> None:
    connection = HTTPConnection("127.0.0.1", served.port, timeout=30)
    seen = {}
    for method in ("HEAD", "GET"):
        connection.request(method, path, headers={"X-API-Key": KEY})
        answer = connection.getresponse()
        body = answer.read()
        seen[method] = (answer.status, sorted(name.lower() for name in answer.headers), answer.headers["Content-Type"])
        assert bool(body) is (method == "GET")
    connection.close()
    assert seen["HEAD"] == seen["GET"]
    assert seen["HEAD"][0] == 200


def test_head_is_logged_as_such_and_guarded_like_get(served: Served) -> None:
    with served.connect() as client:
        client.send(b"HEAD /live HTTP/1.1\r\nHost: x\r\nX-Request-ID: head-1\r\n\r\n")
        assert client.answer("HEAD").headers["Content-Length"] == "18"
        client.send(b"HEAD /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.answer("HEAD").status == 401
        client.send(b"HEAD /api/v1/extract HTTP/1.1\r\nHost: x\r\nX-API-Key: right\r\n\r\n")
        answer = client.answer("HEAD")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    (logged,) = [entry for entry in served.log().splitlines() if "head-1" in entry]
    assert '"method":"HEAD","route":"/live","status":200' in logged


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("OPTIONS", "/live", "GET, HEAD"),
        ("DELETE", "/live", "GET, HEAD"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("OPTIONS", "/api/v1/extract", "POST"),
        ("PUT", "/api/v1/tasks/medical_ie/extract", "POST"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_told_which_it_takes(
    served: Served, method: str, path: str, allowed: str
) -> None:
    connection = HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request(method, path, headers={"X-API-Key": KEY})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Allow"]) == (405, allowed)
    connection.close()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/live", b""),
        ("GET", "/nothing", b""),
        ("GET", "/api/v1/tasks", b""),
        ("POST", "/api/v1/extract", BODY),
        ("POST", "/api/v1/extract", b"{}"),
        ("POST", "/api/v1/extract/stream", BODY),
        ("POST", "/api/v1/extract/batch", b'{"items": [' + BODY + b"]}"),
        ("POST", "/v1/completions", b'{"prompt": "x"}'),
    ],
)
def test_no_answer_is_cached_or_taken_for_another_type(served: Served, method: str, path: str, body: bytes) -> None:
    connection = HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request(method, path, body, {"X-API-Key": KEY})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.headers.get_all("Cache-Control") == ["no-store"]
    assert answer.headers.get_all("X-Content-Type-Options") == ["nosniff"]


def test_a_refusal_before_the_application_has_the_same_headers(served: Served) -> None:
    with RawClient(served.port) as client:
        client.send(b"nonsense\r\n\r\n")
        headers = client.answer().headers
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert headers["Date"]
