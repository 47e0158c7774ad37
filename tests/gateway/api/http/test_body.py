"""The bounds on what a client may send."""

import pytest

from tests.fakes.engine.scripted import FakeEngine
from tests.gateway.conftest import Gateway, StartGateway


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
