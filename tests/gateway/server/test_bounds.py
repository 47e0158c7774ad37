"""Without a key, nothing that a client sends costs more than a little memory, and all of it ends with an answer."""

import socket

import pytest

from gateway.server.limits import HEADERS, PIPELINED
from tests.gateway.server.conftest import Served

GET = b"GET /live HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"POST /api/v1/extract HTTP/1.1\r\nHost: x\r\nX-API-Key: right\r\nTransfer-Encoding: chunked\r\n\r\n"
FLOOD_BYTES = 30_000_000
MOST_KIB = 20 * 1024


@pytest.mark.parametrize(
    ("begin", "again", "status"),
    [
        pytest.param(GET, b"a:b\r\n", 431, id="small_headers"),
        pytest.param(GET, b"a:" + b"b" * 1000 + b"\r\n", 431, id="large_headers"),
        pytest.param(GET + b"a: ", b"b", 431, id="one_headers_value"),
        pytest.param(GET, b"b", 431, id="one_headers_name"),
        pytest.param(b"GET /", b"b", 414, id="url"),
        pytest.param(b"GET /?", b"b=%41&", 414, id="query"),
        pytest.param(b"", b"B", 400, id="method"),
        pytest.param(b"", b"\r\n", 431, id="blank_lines"),
        pytest.param(b"", b"\x16\x03\x01\x02\x00", 400, id="tls"),
        pytest.param(CHUNKED + b"1\r\na\r\n0\r\n", b"a:b\r\n", 431, id="trailers"),
        pytest.param(CHUNKED + b"1\r\na\r\n0\r\na:", b"b", 431, id="one_trailer"),
        pytest.param(CHUNKED + b"1;", b"b", 431, id="chunk_extension"),
        pytest.param(CHUNKED, b"0" * 65536, 431, id="chunk_size"),
        pytest.param(CHUNKED, b"1000\r\n" + b"a" * 4096 + b"\r\n", 413, id="body"),
    ],
)
def test_a_flood_is_refused_and_costs_no_memory(served: Served, begin: bytes, again: bytes, status: int) -> None:
    before = served.memory()[0]
    served.forget_peak()
    block = again * (65_536 // len(again) + 1)
    with served.connect() as client:
        client.socket.sendall(begin)
        for _ in range(FLOOD_BYTES // len(block)):
            client.socket.sendall(block)
        answer = client.answer()
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest() == b""
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Connection"] == "close"
    assert served.memory()[1] - before < MOST_KIB


@pytest.mark.parametrize("path", [b"/", b"/live", b"/nothing", b"/api/v1/extract"])
def test_a_flood_of_pipelined_requests_is_cut_after_a_few(served: Served, path: bytes) -> None:
    before = served.memory()[0]
    served.forget_peak()
    block = (b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n") * 2000
    with served.connect() as client:
        for _ in range(FLOOD_BYTES // len(block)):
            client.socket.sendall(block)
        statuses = [client.answer().status for _ in range(PIPELINED + 2)]
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest() == b""
    assert statuses[-1] == 400
    assert len(set(statuses[:-1])) == 1
    assert served.memory()[1] - before < MOST_KIB


def test_a_body_behind_a_running_request_is_not_read_ahead(served: Served) -> None:
    before = served.memory()[0]
    served.forget_peak()
    body = b"x" * 8_000_000
    with served.connect() as client:
        client.socket.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        client.socket.sendall(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert [client.answer().status, client.answer().status] == [200, 404]
        client.send(GET + b"\r\n")
        assert client.answer().status == 200  # the body was thrown away, and the connection goes on behind it
    assert served.memory()[1] - before < MOST_KIB


def test_a_large_head_within_the_bounds_is_served(served: Served) -> None:
    headers = b"".join(b"x-%d: %b\r\n" % (number, b"y" * 400) for number in range(HEADERS - 1))
    with served.connect() as client:
        client.send(b"GET /live?" + b"q" * 8000 + b" HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n")
        assert client.answer().status == 200


def test_pipelined_requests_are_answered_in_their_order(served: Served) -> None:
    paths = [b"/live", b"/nothing", b"/health", b"/"] * 4
    with served.connect() as client:
        client.send(b"".join(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n" for path in paths))
        assert [client.answer().status for _ in paths] == [200, 404, 200, 200] * 4


def test_a_pipelined_request_keeps_its_own_body(served: Served) -> None:
    post = b"POST /api/v1/extract HTTP/1.1\r\nHost: x\r\nX-API-Key: right\r\nContent-Length: 33\r\n\r\n"
    bodies = (b'{"text":"stage II cancer of lung"', b'{"text":"stage IV cancer of "}   ')
    with served.connect() as client:
        client.send(post + bodies[0], post + bodies[1], GET + b"\r\n")
        assert [client.answer().status for _ in range(3)] == [422, 200, 200]


def test_an_unreadable_request_is_answered_after_those_before_it(served: Served) -> None:
    with served.connect() as client:
        client.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" + GET + b"\r\nnot http\r\n\r\n" + GET + b"\r\n")
        assert [client.answer().status for _ in range(3)] == [200, 200, 400]
        assert client.rest() == b""


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /live HTTP/1.1\r\n\r\n", 400),
        (b"GET /live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /live\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"POST /live HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST /live HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /live HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", 400),
        (b"GET http://[ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ],
)
def test_what_is_not_valid_http_is_refused_with_a_problem(served: Served, request_bytes: bytes, status: int) -> None:
    with served.connect() as client:
        client.send(request_bytes)
        answer = client.answer()
        assert client.rest() == b""
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-ID"].encode() in answer.body


def test_a_body_that_breaks_off_its_form_is_the_requests_own_error(served: Served) -> None:
    with served.connect() as client:
        client.send(CHUNKED + b"1\r\n{\r\n", b"no size\r\n")
        answer = client.answer()
        assert client.rest() == b""
    assert answer.status == 400
    identity = answer.headers["X-Request-ID"]
    (logged,) = [entry for entry in served.log().splitlines() if identity in entry]
    assert '"route":"/api/v1/extract","status":400,"client":"ward"' in logged


@pytest.mark.parametrize("trailer", [b"X-API-Key: right", b"Authorization: Bearer right", b"X-Request-ID: chosen"])
def test_a_trailer_does_not_speak_for_the_request(served: Served, trailer: bytes) -> None:
    with served.connect() as client:
        client.send(
            b"POST /api/v1/extract HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-API-Key\r\n\r\n"
            b'd\r\n{"text": "x"}\r\n0\r\n' + trailer + b"\r\n\r\n"
        )
        answer = client.answer()
    assert answer.status == 401
    assert answer.headers["X-Request-ID"] != "chosen"
