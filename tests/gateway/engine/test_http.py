"""The HTTP client, against servers that behave and that do not: an answer is its request's own, or an error."""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.engine.http import HttpClient, HttpError
from tests.fakes.engine.raw import (
    CHUNKED,
    UNTIL_CLOSE,
    Answer,
    RawEngine,
    chunk,
    head,
    raw_engine,
    repeating,
    resetting,
    silent,
    whole,
    writing,
)
from tests.gateway.conftest import free_port, until

LIMIT = 4_000_000
HELLO = whole(b"hello")
ODD = b"HTTP/1.1 200 OK\r\nSec-WebSocket-Key1: x\r\nA: "  # aiohttp refuses such an answer


@pytest.fixture
async def server() -> AsyncIterator[RawEngine]:
    async with raw_engine() as server:
        yield server


@pytest.fixture
async def client(server: RawEngine) -> AsyncIterator[HttpClient]:
    client = HttpClient(f"{server.url}/base", connect_timeout=2, connections=8)
    try:
        yield client
    finally:
        await client.close()


async def ask(client: HttpClient, path: str = "/path") -> tuple[int, bytes]:
    async with asyncio.timeout(10), client.send("POST", path, b"{}") as response:
        return response.status, await response.read(LIMIT)


async def failure(client: HttpClient) -> str:
    with pytest.raises(HttpError) as caught:
        await ask(client)
    assert caught.value.cause
    return caught.value.reason


async def test_a_request_is_whole_and_says_no_more_than_it_must(server: RawEngine, client: HttpClient) -> None:
    server.answers(HELLO)
    async with client.send("POST", "/path", b'{"a": 1}', "id-1") as response:
        assert (response.status, await response.read(LIMIT)) == (200, b"hello")
    lines, _, body = server.requests[0].partition(b"\r\n\r\n")
    first, *headers = lines.decode().split("\r\n")
    assert first == "POST /base/path HTTP/1.1"
    assert dict(line.split(": ", 1) for line in headers) == {
        "Host": server.url.removeprefix("http://"),
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Content-Length": "8",
        "X-Request-Id": "id-1",
    }
    assert body == b'{"a": 1}'


@pytest.mark.parametrize("path", ["/a%20b/%7Ec%2F", "/a+b;c=d", "/%C3%A9"])
async def test_the_address_is_sent_as_it_was_written(server: RawEngine, path: str) -> None:
    server.answers(HELLO)
    client = HttpClient(server.url + path, connect_timeout=2, connections=8)
    await ask(client)
    await client.close()
    assert server.requests[0].startswith(f"POST {path}/path HTTP/1.1\r\n".encode())


async def test_the_key_is_sent_as_it_is_at_the_time(server: RawEngine) -> None:
    keys: list[str | None] = ["first", None]
    server.answers(HELLO)
    client = HttpClient(server.url, connect_timeout=2, connections=8, key=lambda: keys.pop(0))
    await ask(client)
    await ask(client)
    await client.close()
    assert b"\r\nAuthorization: Bearer first\r\n" in server.requests[0]
    assert b"Authorization" not in server.requests[1]


async def test_a_large_body_is_sent_whole(server: RawEngine, client: HttpClient) -> None:
    server.answers(HELLO)
    body = b"x" * 3_000_000
    async with client.send("POST", "/path", body) as response:
        await response.read(LIMIT)
    assert server.requests[0].endswith(b"\r\n\r\n" + body)


async def test_the_environment_names_no_proxy_and_an_answer_sets_no_cookie_and_leads_nowhere(
    server: RawEngine, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    server.answers(whole(b"", "302 Found", "Location: /other", "Set-Cookie: a=b"))
    assert await ask(client) == (302, b"")
    assert await ask(client) == (302, b"")
    assert len(server.requests) == 2
    assert b"cookie" not in server.requests[1].lower()


async def test_a_connection_is_kept_and_no_more_are_made_than_are_allowed(server: RawEngine) -> None:
    client = HttpClient(server.url, connect_timeout=2, connections=3)
    server.answers(writing(HELLO, pause=0.02))
    for _ in range(3):
        assert await ask(client) == (200, b"hello")
    assert server.connections == 1
    answers = await asyncio.gather(*(ask(client) for _ in range(9)))
    await client.close()
    assert answers == [(200, b"hello")] * 9
    assert server.connections == 3


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (writing(*(HELLO[at : at + 1] for at in range(len(HELLO)))), b"hello"),
        (writing(CHUNKED + b"2;a=b\r\nhe\r\n", b"03\r\nllo\r\n0\r\nTrailer: x\r\n\r\n", pause=0.01), b"hello"),
        (writing(head(0)), b""),
        (writing(whole(b"x" * 3_000_000)), b"x" * 3_000_000),
        (writing(whole(b"hello", "200 OK", "Connection: close"), close=True), b"hello"),
        (writing(UNTIL_CLOSE, b"hel", b"lo", pause=0.01, close=True), b"hello"),
        (writing(b"HTTP/1.0 200 OK\r\n\r\nhello", close=True), b"hello"),
        (writing(b"HTTP/1.1 200 OK\r\n\r\nhello", close=True), b"hello"),
        (writing(UNTIL_CLOSE + b"x" * 3_000_000, close=True), b"x" * 3_000_000),
        (writing(whole(b"\x1f\x8b packed", "200 OK", "Content-Encoding: gzip")), b"\x1f\x8b packed"),
    ],
)
async def test_an_answer_may_have_any_form_that_http_allows(
    server: RawEngine, client: HttpClient, answer: Answer, body: bytes
) -> None:
    server.answers(answer)
    for _ in range(2):
        assert await ask(client) == (200, body)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints\r\nLink: </a>"])
async def test_an_interim_answer_is_not_the_answer(
    server: RawEngine, client: HttpClient, status: str, together: bool
) -> None:
    interim = f"HTTP/1.1 {status}\r\n\r\n".encode()
    bodies = [f"answer {number}".encode() for number in range(4)]
    for body in bodies:
        parts = [interim * 2 + whole(body)] if together else [interim, interim, whole(body)]
        server.answers(writing(*parts, pause=0.01))
        assert await ask(client) == (200, body)
    server.answers(HELLO)
    assert await ask(client) == (200, b"hello")


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("more", ["", "Upgrade: h2c\r\nConnection: Upgrade\r\n", "Content-Length: 5\r\n"])
async def test_a_switch_of_protocols_is_an_error_and_what_follows_is_no_answer_to_the_next_request(
    server: RawEngine, client: HttpClient, more: str, together: bool
) -> None:
    switch = f"HTTP/1.1 101 Switching Protocols\r\n{more}\r\n".encode()
    server.answers(writing(*([switch + HELLO] if together else [switch, HELLO]), pause=0.03))
    for _ in range(2):
        with contextlib.suppress(HttpError):
            assert await ask(client) == (101, b"")
    server.answers(whole(b"next"))
    assert await ask(client) == (200, b"next")
    assert server.connections == 3


@pytest.mark.parametrize("extra", [HELLO, HELLO[:1], HELLO[:20], HELLO[:-1], b"\r\nx", b"\0", CHUNKED, ODD])
@pytest.mark.parametrize("pause", [0.0, 0.02])
async def test_what_comes_after_an_answer_is_no_answer_to_the_next_request(
    server: RawEngine, client: HttpClient, extra: bytes, pause: float
) -> None:
    server.answers(writing(whole(b"own") + (extra if not pause else b""), extra if pause else b"", pause=pause), HELLO)
    try:
        assert await ask(client) == (200, b"own")
    except HttpError as error:
        assert error.reason == "not_http"  # noqa: PT017 - it may be one or the other
    await asyncio.sleep(2 * pause)
    server.answers(whole(b"next"))
    assert await ask(client) == (200, b"next")
    assert server.connections == 2


@pytest.mark.parametrize("pause", [0.0, 0.03])
async def test_a_kept_connection_that_the_server_closed_is_no_error(
    server: RawEngine, client: HttpClient, pause: float
) -> None:
    server.answers(writing(HELLO, close=True))
    for number in range(1, 4):
        assert await ask(client) == (200, b"hello")
        await asyncio.sleep(pause)
        assert len(server.requests) == number


@pytest.mark.parametrize("ending", [writing(close=True), resetting])
async def test_a_request_is_asked_again_only_where_a_kept_connection_ended_before_any_answer(
    server: RawEngine, client: HttpClient, ending: Answer
) -> None:
    server.answers(HELLO, ending, HELLO)
    assert [await ask(client) for _ in range(2)] == [(200, b"hello")] * 2
    assert len(server.requests) == 3
    # Part of an answer has come: the request has been run.
    server.answers(writing(HELLO[:9], close=True))
    assert await failure(client) == "broken_off"
    assert len(server.requests) == 4
    # A connection of its own: no other reason than the server's is left.
    server.answers(ending)
    assert await failure(client) == "broken_off"
    assert len(server.requests) == 5


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (writing(close=True), "broken_off"),
        (writing(whole(b"hello")[:-1], close=True), "broken_off"),
        (writing(CHUNKED + b"2\r\nhe\r\n", close=True), "broken_off"),
        (writing(CHUNKED + b"2\r\nhe\r\n", b"zz\r\n", pause=0.01), "not_http"),
        (writing(b"HTTP/1.1 200 OK\r\nContent-", close=True), "broken_off"),
        (writing(b"HTTP/1.1 103 Early Hints\r\n\r\n", close=True), "broken_off"),
        (writing(b"SSH-2.0-OpenSSH_9.2\r\n"), "not_http"),
        (writing(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"), "not_http"),
        (writing(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), "not_http"),
        (writing(CHUNKED[:-2] + b"Content-Length: 5\r\n\r\n" + chunk(b"hello") + chunk(b"")), "not_http"),
        (repeating(b"a: b\r\n" * 1000, before=b"HTTP/1.1 200 OK\r\n"), "not_http"),
        (repeating(b"x" * 1000, before=b"HTTP/1.1 200 OK\r\na: "), "not_http"),
        (repeating(b"x" * 1000, before=b"HTTP/1.1 200 "), "not_http"),
        (repeating(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000), "too_large"),
        (repeating(b"x" * 65_536, before=CHUNKED + b"1;"), "too_large"),
        (repeating(b"x" * 65_536, before=head(LIMIT + 1)), "too_large"),
        (repeating(chunk(b"x" * 65_536), before=CHUNKED), "too_large"),
        (repeating(chunk(b"x") * 1000, before=CHUNKED), "too_large"),
        (repeating(b"x" * 65_536, before=UNTIL_CLOSE), "too_large"),
        (repeating(b"a: b\r\n" * 1000, before=CHUNKED + b"0\r\n"), "not_http"),
    ],
)
async def test_an_answer_that_is_not_whole_or_without_end_is_an_error_and_its_connection_is_closed(
    server: RawEngine, client: HttpClient, answer: Answer, reason: str
) -> None:
    server.answers(answer)
    assert await failure(client) == reason
    await until(lambda: server.open == 0)
    server.answers(HELLO)
    assert await ask(client) == (200, b"hello")


async def test_leaving_early_closes_the_connection(server: RawEngine, client: HttpClient) -> None:
    server.answers(HELLO[:-4])
    async with client.send("GET", "/") as response:
        assert await response.read_some() == b"h"
    await until(lambda: server.open == 0)
    waiting = asyncio.create_task(ask(client))
    await until(lambda: server.open == 1)
    waiting.cancel()
    await until(lambda: server.open == 0)


async def test_a_stream_is_passed_on_as_it_comes_and_buffered_within_a_bound(
    server: RawEngine, client: HttpClient
) -> None:
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(CHUNKED)
        while True:
            writer.write(chunk(b"x" * 65_536))
            await writer.drain()
            sent += 65_536

    server.answers(endless)
    async with client.send("GET", "/") as response:
        await asyncio.sleep(0.2)
        assert sent < 64 * 1_048_576  # the sockets' buffers, and ours
        # More than may come without content has been read then: content sets that count back.
        for _ in range(40):
            assert await response.read_some()


async def test_a_server_that_does_not_listen_is_named_as_the_cause() -> None:
    client = HttpClient(f"http://127.0.0.1:{free_port()}", connect_timeout=2, connections=8)
    assert await failure(client) == "refused"
    await client.close()


@pytest.mark.parametrize("name", ["engine.invalid", "a" * 64 + ".invalid", "a..invalid"])
async def test_a_name_that_is_not_known_is_named_as_the_cause(name: str) -> None:
    client = HttpClient(f"http://{name}", connect_timeout=10, connections=8)
    assert await failure(client) == "dns"
    await client.close()


async def test_a_handshake_that_does_not_end_is_a_connection_that_is_not_made(server: RawEngine) -> None:
    client = HttpClient(server.url.replace("http:", "https:"), connect_timeout=0.2, connections=8)
    server.answers(silent)
    assert await failure(client) == "connect_timeout"
    await client.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a certificate for localhost, which it signs itself, and its key."""
    file = tmp_path_factory.mktemp("tls") / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(file), "-out", str(file.with_suffix(".crt"))),
        ],
        check=True,
        capture_output=True,
    )
    file.write_text(file.read_text() + file.with_suffix(".crt").read_text())
    return file


async def test_a_certificate_is_checked_and_the_reason_is_told(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = RawEngine()
    engine.answers(HELLO)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(engine.serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server:
        client = HttpClient(f"https://localhost:{port}", connect_timeout=5, connections=8)
        with pytest.raises(HttpError, match=r"certificate is not valid: self.signed certificate") as caught:
            await ask(client)
        assert caught.value.reason == "tls"
        await client.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_suffix(".crt")))
        client = HttpClient(f"https://localhost:{port}", connect_timeout=5, connections=8)
        for _ in range(3):
            assert await ask(client) == (200, b"hello")
        assert engine.connections == 1
        await client.close()
        client = HttpClient(f"https://127.0.0.1:{port}", connect_timeout=5, connections=8)
        with pytest.raises(HttpError, match="IP address mismatch"):
            await ask(client)
        await client.close()
