"""The OpenAI endpoints: what is passed to the engine, and what comes back."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.fakes.engine.scripted import FakeEngine
from tests.gateway.access.test_keys import line
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


async def test_chat_passes_all_messages_and_openais_members_to_the_engine(gateway: Gateway, engine: FakeEngine) -> None:
    engine.answer = ANSWER
    sent = {"messages": MESSAGES, "max_tokens": 5, "seed": 7, "response_format": {"type": "json_object"}}
    reply = await gateway.call("POST", CHAT, json=sent)
    assert reply.status == 200
    assert engine.bodies[0] == {**sent, "model": "medical-ie", "cache_salt": engine.bodies[0]["cache_salt"]}
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
    for prompt in ("One two", "", [1, 2, 3]):
        reply = await gateway.call("POST", "/v1/completions", json={"prompt": prompt, "model": "base"})
        assert reply.status == 200
        asked = engine.bodies.pop()
        assert asked == {"prompt": prompt, "model": "base", "cache_salt": asked["cache_salt"]}


async def test_models_are_the_engines_without_its_paths(gateway: Gateway) -> None:
    reply = await gateway.call("GET", "/v1/models")
    assert [model["id"] for model in reply.json["data"]] == ["base", "medical-ie", "assistant-intent"]
    assert set(reply.json["data"][0]) == {"id", "object", "created", "owned_by", "parent", "max_model_len"}
    assert (await gateway.call("GET", "/v1/models/medical-ie")).json == reply.json["data"][1]


@pytest.mark.parametrize("name", ["nobody", "org/model", "medical-ie/x", "org%2Fmodel"])
async def test_a_model_that_the_engine_does_not_serve_is_not_found(gateway: Gateway, name: str) -> None:
    reply = await gateway.call("GET", f"/v1/models/{name}")
    assert reply.status == 404
    assert "/v1/models lists all" in reply.json["error"]["message"]
    assert name not in reply.json["error"]["message"]


async def test_a_models_name_may_hold_a_slash(gateway: Gateway, engine: FakeEngine) -> None:
    engine.served = ("org/model",)
    assert (await gateway.call("GET", "/v1/models/org/model")).json["id"] == "org/model"


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
        {"messages": MESSAGES, "n": 200},
        {"messages": MESSAGES, "chat_template": "{{ messages }}"},
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


@pytest.mark.parametrize(
    ("path", "options", "status", "kind"),
    [
        (CHAT, {"headers": {"Authorization": "Bearer wrong"}}, 401, "invalid_request_error"),
        (f"{CHAT}/nothing", {}, 404, "invalid_request_error"),
        (CHAT, {"method": "GET"}, 405, "invalid_request_error"),
        (CHAT, {"data": b"{"}, 422, "invalid_request_error"),
        (CHAT, {"data": b" " * 2_000}, 413, "invalid_request_error"),
        (CHAT, {"json": {"messages": MESSAGES, "model": "nobody"}}, 404, "invalid_request_error"),
        (CHAT, {"json": {"messages": MESSAGES, "top_k": 1}}, 422, "invalid_request_error"),
        (CHAT, {"drain": True}, 503, "server_error"),
        (CHAT, {"burst": 12}, 429, "rate_limit_error"),
    ],
)
async def test_every_refusal_has_the_member_that_openais_clients_read(
    start_gateway: StartGateway, tmp_path: Path, path: str, options: dict[str, Any], status: int, kind: str
) -> None:
    (tmp_path / "keys").write_text(line("ward", "right"))
    gateway = await start_gateway(
        auth="required", api_keys_file=tmp_path / "keys", rate_limit="10/hour", max_body_bytes=1_024
    )
    headers = options.pop("headers", {"Authorization": "Bearer right"})
    gateway.services.drain.refusing = options.pop("drain", False)
    for _ in range(options.pop("burst", 0)):
        await gateway.call("POST", path, headers=headers)
    reply = await gateway.call(options.pop("method", "POST"), path, headers=headers, **options)
    assert reply.status == status
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "request_id"} <= set(reply.json)
    error = reply.json["error"]
    assert (error["type"], error["code"]) == (kind, status)
    assert error["message"]
    assert set(error) == {"message", "type", "code", "param"}


async def test_the_message_of_a_refusal_names_the_member(gateway: Gateway) -> None:
    reply = await gateway.call("POST", CHAT, json={"messages": MESSAGES, "max_completion_tokens": 10**9})
    assert reply.json["error"]["param"] == "max_completion_tokens"
    assert "max_completion_tokens" in reply.json["error"]["message"]
    reply = await gateway.extract("")
    assert "error" not in reply.json


async def test_a_request_for_more_answers_than_there_are_slots_is_refused(
    start_gateway: StartGateway, engine: FakeEngine
) -> None:
    gateway = await start_gateway(max_concurrency=4, rate_limit="100/hour")
    for path, body in (
        (CHAT, {"messages": MESSAGES, "n": 5}),
        ("/v1/completions", {"prompt": ["a", "b"], "n": 3}),
        ("/v1/completions", {"prompt": "a", "n": 1, "best_of": 5}),
        ("/v1/completions", {"prompt": [[1]] * 5}),
    ):
        reply = await gateway.call("POST", path, json=body)
        assert reply.status == 422
        assert "one key may ask for 4 at once" in reply.json["detail"]
    assert engine.bodies == []
    assert (await gateway.call("POST", "/v1/completions", json={"prompt": ["a", "b"], "n": 2})).status == 200


@pytest.mark.parametrize("streamed", [False, True])
async def test_each_answer_of_a_request_takes_a_slot_while_it_runs(
    start_gateway: StartGateway, engine: FakeEngine, streamed: bool
) -> None:
    gateway = await start_gateway(max_concurrency=4)
    engine.delay = engine.token_delay = 0.2
    body = {"messages": MESSAGES, "n": 3, "stream": streamed, "model": "base"}
    running = asyncio.create_task(gateway.call("POST", CHAT, json=body))
    await until(lambda: engine.running == 1)
    assert gateway.services.gate.running == 3
    running.cancel()
    await until(lambda: gateway.services.gate.running == 0)


async def test_each_answer_counts_towards_the_rate(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(rate_limit="10/hour")
    assert (await gateway.call("POST", "/v1/completions", json={"prompt": ["a"] * 3, "n": 4})).status == 200
    assert (await gateway.call("GET", "/v1/models")).status == 429


async def test_a_client_cannot_choose_its_salt_and_no_two_keys_share_one(
    start_gateway: StartGateway, engine: FakeEngine, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(line("ward", "one") + "\n" + line("lab", "two"))
    gateway = await start_gateway(auth="required", api_keys_file=tmp_path / "keys")
    chat, text = {"messages": MESSAGES}, {"text": "Stage IV melanoma."}
    requests: list[tuple[str, Any]] = [
        (CHAT, chat),
        (CHAT, chat | {"stream": True}),
        ("/v1/completions", {"prompt": "One"}),
        ("/api/v1/extract", text),
        ("/api/v1/extract/stream", text),
        ("/api/v1/extract/batch", {"items": [text]}),
        ("/api/v1/tasks/medical_ie/extract", text),
        ("/api/convert", text),
    ]
    salts: dict[str, set[str]] = {"one": set(), "two": set()}
    for key, seen in salts.items():
        for path, body in requests:
            await gateway.call("POST", path, json=body, headers={"X-API-Key": key})
            seen.add(engine.bodies.pop()["cache_salt"])
    assert [len(seen) for seen in salts.values()] == [1, 1]
    assert salts["one"] != salts["two"]
    reply = await gateway.call("POST", CHAT, json=chat | {"cache_salt": "x"}, headers={"X-API-Key": "one"})
    assert reply.status == 422


async def test_an_engine_that_takes_no_salt_gets_none(start_gateway: StartGateway, engine: FakeEngine) -> None:
    gateway = await start_gateway(cache_salt="off")
    await gateway.call("POST", CHAT, json={"messages": MESSAGES})
    await gateway.extract()
    assert not any("cache_salt" in body for body in engine.bodies)


async def test_one_key_leaves_slots_for_the_others(
    start_gateway: StartGateway, engine: FakeEngine, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(line("ward", "one") + "\n" + line("lab", "two"))
    gateway = await start_gateway(
        auth="required", api_keys_file=tmp_path / "keys", max_concurrency=2, max_queue=4, key_share=0.5
    )
    engine.delay = 30
    chat = {"messages": MESSAGES}
    greedy = [
        asyncio.create_task(gateway.call("POST", CHAT, json=chat, headers={"X-API-Key": "one"})) for _ in range(4)
    ]
    await until(lambda: gateway.services.gate.waiting == 2)
    await until(lambda: any(task.done() for task in greedy))
    (refused,) = [task.result() for task in greedy if task.done()]
    assert refused.status == 503
    assert "share" in refused.json["detail"]
    engine.delay = 0
    assert (await gateway.call("POST", CHAT, json=chat, headers={"X-API-Key": "two"})).status == 200
    for task in greedy:
        task.cancel()
