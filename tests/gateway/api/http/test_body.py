"""The bounds on what a client may send."""

from tests.gateway.conftest import StartGateway
from tests.gateway.fake_engine import FakeEngine


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
