"""No text and no key gets into the log, and the engine's address into no answer and no metric."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.observability.logs import describe
from tests.fakes.engine.scripted import FakeEngine, completion
from tests.gateway.conftest import Gateway, StartGateway

MARKER = "MARKERJaneDoe"
KEY = "key-that-must-not-show"


async def _answers(engine: FakeEngine) -> list[Any]:
    def reply(body: Any, status: int = 200) -> Any:
        async def handler(_: web.Request, __: dict[str, Any]) -> web.Response:
            return web.Response(body=body if isinstance(body, bytes) else json.dumps(body), status=status)

        return handler

    async def break_off(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(MARKER.encode())
        assert request.transport is not None
        request.transport.close()
        return response

    return [
        None,
        reply(completion(MARKER)),
        reply(completion(json.dumps({"stage": MARKER, MARKER: MARKER}))),
        reply(completion(json.dumps({"stage": {MARKER: MARKER}}))),
        reply(completion(f'{{"stage": "{MARKER}', "length")),
        reply(completion(MARKER, "abort")),
        reply({"error": {"message": f"{MARKER} at {engine.url}"}}, 400),
        reply({"error": {"message": f"{MARKER} at {engine.url}"}}, 500),
        reply(MARKER.encode()),
        reply({MARKER: MARKER}),
        break_off,
    ]


async def test_no_text_and_no_key_gets_into_the_log(
    start_gateway: StartGateway,
    engine: FakeEngine,
    tmp_path: Path,
    log: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "keys").write_text("ward:" + hashlib.sha256(KEY.encode()).hexdigest())
    gateway = await start_gateway(
        auth="required", api_keys_file=tmp_path / "keys", max_text_chars=500, request_timeout=5.0, log_level="DEBUG"
    )
    headers = {"X-API-Key": KEY}
    texts: list[dict[str, Any]] = [
        {"text": f"{MARKER} has stage IV cancer."},
        {"text": f"{MARKER} " * 200},
        {"text": MARKER, "model": MARKER},
        {"text": MARKER, "grounding": MARKER},
        {"text": [MARKER]},
    ]
    messages = [{"role": "user", "content": MARKER}]
    requests = [("/api/v1/extract", body) for body in texts]
    requests += [
        (path, texts[0]) for path in ("/api/v1/extract/stream", "/api/v1/tasks/medical_ie/extract", "/api/convert")
    ]
    requests += [
        ("/api/v1/extract/batch", {"items": [{"id": MARKER, "text": MARKER}, {"text": MARKER * 100}]}),
        ("/v1/chat/completions", {"messages": messages}),
        ("/v1/chat/completions", {"messages": messages, "stream": True, "model": MARKER}),
        ("/v1/completions", {"prompt": MARKER, MARKER: MARKER}),
        (f"/api/v1/tasks/{MARKER}/extract", {"text": MARKER}),
        (f"/api/v1/{MARKER}?q={MARKER}", {"text": MARKER}),
    ]
    seen = set()
    for handler in await _answers(engine):
        engine.handler = handler
        for target, body in requests:
            reply = await gateway.call("POST", target, json=body, headers=headers)
            seen.add(reply.status)
            if reply.status != 200:
                assert MARKER.encode() not in reply.body
                assert engine.url.encode() not in reply.body
    await gateway.call("POST", "/api/v1/extract", json=texts[0], headers={"X-API-Key": KEY + MARKER})
    await gateway.call("POST", "/api/v1/extract", data=MARKER, headers=headers | {"X-Request-ID": MARKER + " "})
    engine.handler = None
    engine.break_off_at = 20
    for path in ("/api/v1/extract/stream", "/v1/chat/completions"):
        await gateway.call("POST", path, json=texts[0] | {"messages": messages, "stream": True}, headers=headers)
    gateway.services.engine.circuit.succeeded()  # so many broken answers have opened it
    monkeypatch.setattr("gateway.extraction.extractor.decode", _explode)
    engine.handler = None
    assert (await gateway.call("POST", "/api/v1/extract", json=texts[0], headers=headers)).status == 500
    await engine.stop()
    await gateway.call("POST", "/api/v1/extract", json=texts[0], headers=headers)
    assert seen == {200, 404, 413, 422, 502, 503}
    metrics = (await gateway.call("GET", "/metrics")).body.decode()
    assert engine.url.removeprefix("http://") not in metrics
    written = log() + metrics
    assert '"request"' in written
    assert "RuntimeError" in written  # the failure itself is logged
    for secret in (MARKER, KEY):
        assert secret not in written


def _explode(*_: object) -> None:
    text = f"{MARKER} in a message"
    raise RuntimeError(text)


def test_a_librarys_log_line_says_where_but_not_what(log: Callable[[], str]) -> None:
    try:
        _explode()
    except RuntimeError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved %s", MARKER)
    logging.getLogger("aiohttp.client").warning(MARKER)
    lines = [json.loads(line) for line in log().splitlines()]
    assert MARKER not in log()
    assert lines[0]["error"] == "RuntimeError"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("uvicorn/server.py", True),
        ("uvicorn/lifespan/on.py", True),
        ("uvicorn/protocols/http/httptools_impl.py", False),
        ("uvicorn/protocols/http/h11_impl.py", False),
        ("uvicorn/protocols/websockets/websockets_sansio_impl.py", False),
        ("uvicorn/middleware/message_logger.py", False),
    ],
)
def test_of_uvicorns_lines_those_about_the_process_are_shown(log: Callable[[], str], path: str, shown: bool) -> None:
    record = logging.LogRecord("uvicorn.error", logging.WARNING, path, 7, "on %s", ("port 8080",), None)
    logging.getLogger("uvicorn.error").handle(record)
    (line,) = [json.loads(line) for line in log().splitlines()]
    assert ("8080" in line["message"]) is shown
    assert (line.get("at") is None) is shown


async def test_no_malformed_request_and_no_handshake_gets_into_the_log(
    gateway: Gateway, log: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio.get_running_loop(), "slow_callback_duration", 0.0)
    asyncio.get_running_loop().set_debug(True)
    port = int(gateway.url.rpartition(":")[2])
    for request in _malformed():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        writer.write_eof()
        assert MARKER.encode() not in await asyncio.wait_for(reader.read(), 20)
        writer.close()
    asyncio.get_running_loop().set_debug(False)
    written = log()
    assert '"status":400' in written
    assert MARKER not in written
    assert "127.0.0.1" not in written.replace(gateway.url, "")
    assert '"level":"ERROR"' not in written


def _malformed() -> list[bytes]:
    """Return requests that are no requests, or too much, or for another protocol, with the marker in each part."""
    marker = MARKER.encode()
    host = b"Host: x\r\n"
    handshake = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AA==\r\n"
    post = b"POST /api/v1/extract HTTP/1.1\r\n" + host
    return [
        marker,
        marker + b" / HTTP/1.1\r\n\r\n",
        b"GET /" + marker + b"\r\n\r\n",
        b"GET /" + marker + b" HTTP/1.1\r\n\r\n",
        b"GET /" + marker + b" HTTP/9.9\r\n" + host + b"\r\n",
        b"GET /" + marker + b"\xff HTTP/1.1\r\n" + host + b"\r\n",
        b"GET http://" + marker + b"[ HTTP/1.1\r\n" + host + b"\r\n",
        b"GET /" + marker * 1000 + b" HTTP/1.1\r\n" + host + b"\r\n",
        b"CONNECT " + marker + b":80 HTTP/1.1\r\n" + host + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: " + marker + b"/x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + host + marker + b" : x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + host + (b"a: " + marker + b"\r\n") * 1000 + b"\r\n",
        b"GET /" + marker + b"?" + marker + b" HTTP/1.1\r\n" + host + handshake + b"Origin: " + marker + b"\r\n\r\n",
        b"GET /api/"
        + marker
        + b" HTTP/1.1\r\n"
        + host
        + handshake
        + b"Sec-WebSocket-Protocol: "
        + marker
        + b"\r\n\r\n",
        b"GET /" + marker + b" HTTP/1.1\r\n" + host + b"Connection: Upgrade\r\nUpgrade: " + marker + b"\r\n\r\n",
        post + b"Transfer-Encoding: " + marker + b"\r\n\r\n",
        post + b"Transfer-Encoding: chunked\r\n\r\n" + marker,
        post + b"Transfer-Encoding: chunked\r\n\r\n1;" + marker + b"\r\nx\r\n0\r\n" + marker + b": x\r\n\r\n",
        post + b"Content-Length: 5\r\n\r\nabcde" + marker,
        post + b"Content-Encoding: " + marker + b"\r\nContent-Length: 0\r\n\r\n",
        post + b"Content-Length: 999\r\n\r\n" + marker,
    ]


def test_an_exception_is_described_without_its_message() -> None:
    with pytest.raises(RuntimeError) as caught:
        _explode()
    description = json.dumps(describe(caught.value))
    assert "RuntimeError" in description
    assert MARKER not in description
