"""The OpenAI endpoints: what is passed to the engine, and what comes back."""

import json
from typing import Any

import pytest
from aiohttp import web

from tests.fakes.engine.scripted import FakeEngine
from tests.gateway.conftest import Gateway, StartGateway, until

CHAT = "/v1/chat/completions"
MESSAGES = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "One"},
    {"role": "assistant", "content": "1"},
    {"role": "user", "content": "Two"},
]
ANSWER = "two  words, \n and spaces "


def data(body: bytes) -> list[Any]:
    """Return the data of a stream's events."""
    blocks = [block.removeprefix("data: ") for block in body.decode().split("\n\n") if block]
    return [block if block == "[DONE]" else json.loads(block) for block in blocks]


async def test_chat_passes_all_messages_and_unlisted_members_to_the_engine(
    gateway: Gateway, engine: FakeEngine
) -> None:
    engine.answer = ANSWER
    sent = {"messages": MESSAGES, "max_tokens": 5, "seed": 7, "response_format": {"type": "json_object"}}
    reply = await gateway.call("POST", CHAT, json=sent)
    assert reply.status == 200
    assert engine.bodies[0] == {**sent, "model": "medical-ie"}
    assert reply.json["choices"][0]["message"]["content"] == ANSWER
    assert reply.json["usage"]["total_tokens"] > 100


async def test_a_stream_keeps_every_space_and_ends_with_done(gateway: Gateway, engine: FakeEngine) -> None:
    engine.answer = ANSWER
    reply = await gateway.call("POST", CHAT, json={"messages": MESSAGES, "stream": True})
    assert reply.headers["Content-Type"] == "text/event-stream"
    seen = data(reply.body)
    assert seen[-1] == "[DONE]"
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in seen[:-1]) == ANSWER
    assert not any("usage" in event for event in seen[:-1])


async def test_a_stream_reports_usage_when_asked_for(gateway: Gateway) -> None:
    sent = {"messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}
    seen = data((await gateway.call("POST", CHAT, json=sent)).body)
    assert seen[-2]["usage"]["prompt_tokens"] == 100


async def test_plain_completions_are_passed_to_the_engine(gateway: Gateway, engine: FakeEngine) -> None:
    reply = await gateway.call("POST", "/v1/completions", json={"prompt": "One two", "model": "base"})
    assert reply.status == 200
    assert engine.bodies[0] == {"prompt": "One two", "model": "base"}


async def test_models_are_the_engines_without_its_paths(gateway: Gateway) -> None:
    reply = await gateway.call("GET", "/v1/models")
    assert [model["id"] for model in reply.json["data"]] == ["base", "medical-ie", "assistant-intent"]
    assert set(reply.json["data"][0]) == {"id", "object", "created", "owned_by", "parent", "max_model_len"}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("engines", "ours"), [(400, 422), (404, 404), (422, 422), (500, 503), (503, 503)])
async def test_a_refusal_has_a_status_before_anything_is_sent(
    gateway: Gateway, engine: FakeEngine, engines: int, ours: int, streamed: bool
) -> None:
    async def refuse(_: web.Request, __: dict[str, Any]) -> web.Response:
        return web.json_response({"error": {"message": f"MARKER at {engine.url}"}}, status=engines)

    engine.handler = refuse
    reply = await gateway.call("POST", CHAT, json={"messages": MESSAGES, "stream": streamed})
    assert reply.status == ours
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert b"MARKER" not in reply.body


async def test_a_stream_that_breaks_off_says_so_and_is_not_done(gateway: Gateway, engine: FakeEngine) -> None:
    engine.break_off_at = 3
    seen = data((await gateway.call("POST", CHAT, json={"messages": MESSAGES, "stream": True})).body)
    assert seen[-1]["error"]["code"] == 503
    assert "[DONE]" not in seen


async def test_an_aborted_answer_is_no_answer(gateway: Gateway, engine: FakeEngine) -> None:
    engine.finish_reason = "abort"
    assert (await gateway.call("POST", CHAT, json={"messages": MESSAGES})).status == 503
    seen = data((await gateway.call("POST", CHAT, json={"messages": MESSAGES, "stream": True})).body)
    assert seen[-1]["error"]["code"] == 503


async def test_a_client_that_goes_away_ends_the_stream_at_the_engine(gateway: Gateway, engine: FakeEngine) -> None:
    engine.token_delay = 0.05
    response = await gateway.session.post(gateway.url + CHAT, json={"messages": MESSAGES, "stream": True})
    await response.content.readuntil(b"\n\n")
    response.close()
    await until(lambda: engine.running == 0)
    assert gateway.services.gate.running == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"messages": "x"},
        {"messages": [{"content": "x"}]},
        {"messages": MESSAGES, "temperature": 9},
        {"messages": MESSAGES, "n": 100},
    ],
)
async def test_an_invalid_completion_request_does_not_reach_the_engine(
    gateway: Gateway, engine: FakeEngine, body: Any
) -> None:
    assert (await gateway.call("POST", CHAT, json=body)).status == 422
    assert engine.bodies == []


async def test_long_messages_and_a_dead_engine_are_refused(start_gateway: StartGateway, engine: FakeEngine) -> None:
    gateway = await start_gateway(max_text_chars=10)
    long = [{"role": "user", "content": [{"type": "text", "text": "x" * 11}]}]
    assert (await gateway.call("POST", CHAT, json={"messages": long})).status == 413
    assert (await gateway.call("POST", "/v1/completions", json={"prompt": ["x" * 6, "y" * 6]})).status == 413
    await engine.stop()
    for path, body in ((CHAT, {"messages": [{"role": "user", "content": "x"}]}), ("/v1/completions", {"prompt": "x"})):
        assert (await gateway.call("POST", path, json=body)).status == 503
    assert (await gateway.call("GET", "/v1/models")).status == 503
