"""What a head may have, and what makes it one that cannot be served."""

import pytest

from gateway.server.heads import Head, RefusedError, without_offer
from gateway.server.limits import HEAD_BYTES, HEADERS, URL_BYTES

HOST = (b"host", b"gateway:8080")


def status(method: bytes = b"POST", version: str = "1.1", *headers: tuple[bytes, bytes]) -> int:
    """Return the status that a head is refused with, or 200."""
    head = Head()
    head.begin()
    try:
        head.complete(method, version, headers)
    except RefusedError as error:
        return error.status
    return 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"gateway", 200),
        (b"", 200),
        (b"[::1]:8080", 200),
        (b"a b", 400),
        (b"a/b", 400),
        (b"user@a", 400),
        (b"a\xff", 400),
        (b"a\n", 400),
    ],
)
def test_a_host_has_the_form_of_one(host: bytes, expected: int) -> None:
    assert status(b"POST", "1.1", (b"host", host)) == expected


def test_http_1_1_needs_one_host_and_http_1_0_none() -> None:
    assert status(b"GET", "1.1") == 400
    assert status(b"GET", "1.0") == 200
    assert status(b"GET", "1.1", HOST, HOST) == status(b"GET", "1.0", HOST, (b"host", b"other")) == 400


@pytest.mark.parametrize(
    ("codings", "expected"),
    [
        ([b"chunked"], 200),
        ([b" Chunked "], 200),
        ([b"gzip, chunked"], 501),
        ([b"identity, chunked"], 501),
        ([b"gzip", b"chunked"], 501),
        ([b"chunked", b"chunked"], 501),
        ([b"identity"], 501),
    ],
)
def test_chunked_is_the_only_transfer_coding(codings: list[bytes], expected: int) -> None:
    headers = [(b"transfer-encoding", coding) for coding in codings]
    assert status(b"POST", "1.1", HOST, *headers) == expected
    assert status(b"POST", "1.0", HOST, *headers) == 400


@pytest.mark.parametrize(("version", "expected"), [("0.9", 505), ("1.0", 200), ("1.1", 200), ("2.0", 505)])
def test_other_versions_of_http_are_refused(version: str, expected: int) -> None:
    assert status(b"GET", version, HOST) == expected


def test_a_proxys_method_is_refused() -> None:
    assert status(b"CONNECT", "1.1", HOST) == 501


def test_the_number_of_headers_and_their_bytes_are_bounded_trailers_included() -> None:
    head = Head()
    head.begin()
    for _ in range(HEADERS - 1):
        head.add_header(b"a", b"b")
    head.complete(b"GET", "1.1", [HOST])
    head.add_header(b"a", b"b")
    with pytest.raises(RefusedError, match=str(HEADERS)):
        head.add_header(b"a", b"b")
    head.begin()
    head.add_header(b"a", b"b" * (HEAD_BYTES - 5))
    with pytest.raises(RefusedError, match=str(HEAD_BYTES)):
        head.add_header(b"a", b"b")


def test_the_length_of_the_url_is_bounded() -> None:
    head = Head()
    head.begin()
    head.add_url(b"/" * URL_BYTES)
    with pytest.raises(RefusedError, match=str(URL_BYTES)):
        head.add_url(b"/")


@pytest.mark.parametrize(
    ("connection", "kept"),
    [
        (b"Upgrade, HTTP2-Settings", b""),
        (b"close, Upgrade", b"connection: close\r\n"),
        (b"keep-alive, upgrade , http2-settings", b"connection: keep-alive\r\n"),
    ],
)
def test_only_the_offer_of_another_protocol_is_left_out(connection: bytes, kept: bytes) -> None:
    headers = [HOST, (b"connection", connection), (b"upgrade", b"h2c"), (b"http2-settings", b"AAE"), (b"x", b"y: z")]
    written = without_offer(b"POST", b"/a?b", "1.1", headers)
    assert written == b"POST /a?b HTTP/1.1\r\nhost: gateway:8080\r\n" + kept + b"x: y: z\r\n\r\n"


def test_an_empty_host_stays() -> None:
    assert b"\r\nhost: \r\n" in without_offer(b"GET", b"/", "1.1", [(b"host", b""), (b"upgrade", b"h2c")])
