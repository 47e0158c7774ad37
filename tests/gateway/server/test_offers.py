"""Offers of another protocol are ignored: the request is served as what it is in HTTP/1.1."""

from collections.abc import Iterator

import pytest

from tests.gateway.server.conftest import Served

BODY = b'{"text": "Stage IV cancer."}'
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
# As they were recorded from OpenJDK 17's HttpClient, which offers h2c by default, and `curl --http2` 7.88.
JAVA = (
    b"POST /api/v1/extract HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\n%bHost: 127.0.0.1:8080\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\n%bUpgrade: h2c\r\n"
    b"User-Agent: Java-http-client/17.0.15\r\nContent-Type: application/json\r\nX-API-Key: right\r\n\r\n"
)
CURL = (
    b"POST /api/v1/extract HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
    + OFFER
    + b"X-API-Key: right\r\n%bContent-Type: application/json\r\n\r\n"
)
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CODING = b"Transfer-encoding: chunked\r\n"
CHUNKS = [b"%x\r\n" % len(BODY) + BODY + b"\r\n", b"0\r\n\r\n"]


def packets() -> Iterator[object]:
    """Yield the requests, in the packets that they may come in."""
    for name, head, body in (
        ("java_length", JAVA % (LENGTH, b""), [BODY]),
        ("java_chunked", JAVA % (b"", CODING), CHUNKS),
        ("curl_length", CURL % LENGTH, [BODY]),
        ("curl_chunked", CURL % CODING, CHUNKS),
    ):
        yield pytest.param([head, *body], id=f"{name}-body_apart")
        yield pytest.param([b"".join([head, *body])], id=f"{name}-one_packet")
        yield pytest.param([head[:50], head[50:] + body[0][:5], body[0][5:], *body[1:]], id=f"{name}-cut_anywhere")


@pytest.mark.parametrize("request_packets", list(packets()))
def test_a_request_that_offers_h2c_is_served_with_its_body(served: Served, request_packets: list[bytes]) -> None:
    with served.connect() as client:
        for _ in range(2):  # the connection goes on
            client.send(*request_packets)
            answer = client.answer()
            assert answer.status == 200
            assert b'"stage":"IV"' in answer.body
            assert answer.headers["Upgrade"] is None


def test_the_body_of_a_request_with_an_offer_is_not_a_request(served: Served) -> None:
    smuggled = b"GET /metrics HTTP/1.1\r\nHost: smuggled\r\n\r\n"
    head = b"GET /live HTTP/1.1\r\nHost: x\r\n" + OFFER + b"Content-Length: %d\r\n\r\n" % len(smuggled)
    with served.connect() as client:
        for sent in ([head, smuggled], [head + smuggled]):
            client.send(*sent, b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
            assert [client.answer().status, client.answer().status] == [200, 404]


def test_pipelined_offers_are_answered_in_order_and_bounded(served: Served) -> None:
    offer = b" HTTP/1.1\r\nHost: x\r\n" + OFFER + b"\r\n"
    with served.connect() as client:
        client.send(b"".join(b"GET " + path + offer for path in (b"/health", b"/nothing", b"/live")))
        assert [client.answer().status for _ in range(3)] == [200, 404, 200]
        client.send((b"GET /live" + offer) * 500)
        while client.answer().status == 200:
            pass
        assert client.rest() == b""


def test_an_offer_that_is_refused_ends_in_one_answer(served: Served) -> None:
    with served.connect() as client:
        client.send(b"GET /live HTTP/1.1\r\n" + OFFER + b"\r\n")  # no Host
        assert client.answer().status == 400
        assert client.rest() == b""


@pytest.mark.parametrize(("path", "status"), [(b"/live", 200), (b"/x?note=ZQXJ", 404), (b"/api/v1/ZQXJ", 401)])
def test_a_websocket_handshake_is_a_request_like_any_other(served: Served, path: bytes, status: int) -> None:
    with served.connect() as client:
        client.send(
            b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert client.answer().status == status
    assert "ZQXJ" not in served.log()
    assert "127.0.0.1:" not in served.log().replace(f"http://127.0.0.1:{served.port}", "")
