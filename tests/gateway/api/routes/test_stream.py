"""POST /api/v1/extract/stream: fields as they are complete, then the result."""

import asyncio
import json
from typing import Any

from aiohttp import web

from gateway.api.routes.stream import _Latest
from tests.fakes.engine.scripted import GOLD, FakeEngine
from tests.gateway.conftest import NOTE, Gateway, Reply, StartGateway, until

PATH = "/api/v1/extract/stream"


def events(reply: Reply) -> list[tuple[str, Any]]:
    """Return the events of a stream: names and data."""
    blocks = reply.body.decode().strip().split("\n\n")
    return [
        (block.partition("\n")[0].removeprefix("event: "), json.loads(block.partition("\n")[2].removeprefix("data: ")))
        for block in blocks
    ]


async def stream(gateway: Gateway, text: str = NOTE, **more: Any) -> Reply:
    return await gateway.call("POST", PATH, json={"text": text, **more})


async def test_fields_come_in_order_and_then_the_result(gateway: Gateway, engine: FakeEngine) -> None:
    reply = await stream(gateway)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/event-stream"
    seen = events(reply)
    assert [name for name, _ in seen] == ["field"] * 7 + ["result"]
    assert {data["field"]: data["value"] for _, data in seen[:-1]} == GOLD
    result = seen[-1][1]
    plain = (await gateway.extract()).json
    assert result.pop("tokens_used") == 100 + -(-len(engine.answer) // 4)
    for document in (result, plain):
        document.pop("request_id")
    plain.pop("tokens_used")
    assert result == plain


async def test_a_field_is_there_before_the_answer_is_whole(gateway: Gateway, engine: FakeEngine) -> None:
    engine.token_delay = 0.02
    async with gateway.session.post(gateway.url + PATH, json={"text": NOTE}) as response:
        first = await response.content.readuntil(b"\n\n")
        assert b"lung adenocarcinoma" in first
        assert engine.running == 1
        await response.read()


async def test_an_error_before_the_first_event_has_its_own_status(gateway: Gateway, engine: FakeEngine) -> None:
    engine.answer = "nonsense"
    assert (await stream(gateway)).status == 502
    await engine.stop()
    reply = await stream(gateway)
    assert reply.status == 503
    assert int(reply.headers["Retry-After"]) >= 1
    assert (await stream(gateway, "")).status == 422


async def test_an_error_after_the_first_event_is_an_event_and_no_result(gateway: Gateway, engine: FakeEngine) -> None:
    engine.finish_reason = "length"
    seen = events(await stream(gateway))
    assert [name for name, _ in seen] == ["field"] * 7 + ["error"]
    assert seen[-1][1]["status"] == 502
    assert "max_tokens" in seen[-1][1]["detail"]


async def test_a_stream_that_breaks_off_is_asked_for_once_more(gateway: Gateway, engine: FakeEngine) -> None:
    engine.break_off_at = 20

    async def heal(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        reply = await engine.stream(request, body)
        engine.break_off_at = None
        return reply

    engine.replies = [heal]
    seen = events(await stream(gateway))
    assert seen[-1][0] == "result"
    engine.break_off_at = 20
    seen = events(await stream(gateway))
    assert seen[-1][0] == "error"
    assert seen[-1][1]["status"] == 503


async def test_the_first_token_has_its_own_timeout(start_gateway: StartGateway, engine: FakeEngine) -> None:
    gateway = await start_gateway(first_token_timeout=0.2)
    engine.token_delay = 1
    assert (await stream(gateway)).status == 504


async def test_a_client_that_goes_away_ends_the_stream_at_the_engine(gateway: Gateway, engine: FakeEngine) -> None:
    engine.token_delay = 0.05
    response = await gateway.session.post(gateway.url + PATH, json={"text": NOTE})
    await response.content.readuntil(b"\n\n")
    response.close()
    await until(lambda: engine.running == 0)
    assert engine.cancelled == 1
    assert gateway.services.gate.running == 0


async def test_a_client_that_goes_away_before_the_first_event_ends_the_work(
    gateway: Gateway, engine: FakeEngine
) -> None:
    engine.delay = 30
    waiting = asyncio.create_task(stream(gateway))
    await until(lambda: engine.running == 1)
    waiting.cancel()
    await until(lambda: engine.running == 0)


async def test_a_long_text_sends_its_fields_at_the_end(gateway: Gateway, engine: FakeEngine) -> None:
    engine.max_model_len = 700
    seen = events(await stream(gateway, (NOTE + " ") * 20))
    assert [name for name, _ in seen] == ["field"] * 7 + ["result"]
    assert len(seen[-1][1]["chunks"]) > 1


async def test_of_texts_that_nobody_has_looked_at_the_last_is_kept() -> None:
    latest = _Latest()
    seen = []
    for number in range(1000):
        latest.put(str(number))
    async for text in latest:
        seen.append(text)
        if len(seen) == 1:
            latest.put("more")
            latest.put("most")
            latest.end()
    assert seen == ["999", "most"]
