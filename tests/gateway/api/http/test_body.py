"""The bounds on what a client may send."""

import json

import pytest

from tests.fakes.engine.scripted import FakeEngine
from tests.gateway.conftest import NOTE, Gateway, StartGateway


async def test_a_text_or_body_over_its_limit_is_a_413(start_gateway: StartGateway, engine: FakeEngine) -> None:
    gateway = await start_gateway(max_text_chars=300, max_body_bytes=2000)
    assert (await gateway.extract("x" * 300)).status == 200
    assert (await gateway.extract("x" * 301)).status == 413
    assert (await gateway.extract("x" * 3000)).status == 413

    async def endless() -> object:
        for _ in range(100):
            yield b" " * 100

    reply = await gateway.call("POST", "/api/v1/extract", data=endless(), headers={"Content-Type": "application/json"})
    assert reply.status == 413
    assert len(engine.bodies) == 1


@pytest.mark.parametrize(
    ("coding", "status"), [("gzip", 415), ("br, gzip", 415), ("x-unknown", 415), ("identity", 200), ("", 200)]
)
async def test_a_compressed_body_is_refused_as_such(gateway: Gateway, coding: str, status: int) -> None:
    headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
    reply = await gateway.call("POST", "/api/v1/extract", data=b'{"text": "x"}', headers=headers)
    assert reply.status == status
    if status == 415:
        assert reply.headers["Accept-Encoding"] == "identity"
        assert reply.json["title"] == "Coding not supported"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/extract", {"text": NOTE}),
        ("/api/v1/extract/batch", {"items": [{"text": NOTE}]}),
        ("/api/v1/extract/stream", {"text": NOTE}),
        ("/api/v1/tasks/medical_ie/extract", {"text": NOTE}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": NOTE}]}),
        ("/v1/completions", {"prompt": NOTE}),
    ],
)
async def test_a_byte_order_mark_before_the_body_is_ignored(gateway: Gateway, path: str, body: object) -> None:
    headers = {"Content-Type": "application/json"}
    raw = json.dumps(body).encode()
    for mark, status in ((b"\xef\xbb\xbf", 200), (b"\xef\xbb\xbf" * 2, 422), (b"\xef\xbb", 422)):
        assert (await gateway.call("POST", path, data=mark + raw, headers=headers)).status == status
    assert (await gateway.call("POST", path, data=b"\xef\xbb\xbf", headers=headers)).status == 422
