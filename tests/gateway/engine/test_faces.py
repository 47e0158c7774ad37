"""What the gateway's clients are told of an engine that fails, on every face, and what its operator is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from gateway.engine import engine as engine_module
from gateway.engine import readiness
from tests.fakes.engine import documents
from tests.fakes.engine.raw import (
    CHUNKED,
    Answer,
    RawEngine,
    chunk,
    completion,
    events,
    raw_engine,
    repeating,
    whole,
    writing,
)
from tests.fakes.engine.scripted import GOLD
from tests.gateway.conftest import NOTE, Gateway, Reply, StartGateway, until

MODELS = whole(documents.models("base", ["medical-ie"], 4096))
CHAT = {"messages": [{"role": "user", "content": NOTE}]}
FACES: dict[str, tuple[str, dict[str, Any]]] = {
    "extract": ("/api/v1/extract", {"text": NOTE}),
    "batch": ("/api/v1/extract/batch", {"items": [{"text": NOTE}]}),
    "stream": ("/api/v1/extract/stream", {"text": NOTE}),
    "chat": ("/v1/chat/completions", CHAT),
    "chat stream": ("/v1/chat/completions", CHAT | {"stream": True}),
}
STOP = {"index": 0, "delta": {}, "finish_reason": "stop"}


@pytest.fixture
async def raw() -> AsyncIterator[RawEngine]:
    async with raw_engine() as raw:
        yield raw


@pytest.fixture
async def gateway(raw: RawEngine, start_gateway: StartGateway) -> Gateway:
    """Return a gateway that knows the models' lengths already, so that all that the engine is asked is the answer."""
    gateway = await start_gateway(engine_url=raw.url)
    raw.answers(MODELS, whole(completion(json.dumps(GOLD))))
    assert (await gateway.extract()).status == 200
    return gateway


async def ask(gateway: Gateway, face: str) -> tuple[int, Reply]:
    """Ask on a face and return the status, of a batch its item's, and the reply."""
    path, body = FACES[face]
    reply = await gateway.call("POST", path, json=body)
    return reply.json["results"][0]["status"] if face == "batch" else reply.status, reply


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (whole({"error": "key"}, "401 Unauthorized"), 502),
        (whole(b"", "403 Forbidden"), 502),
        (whole({"detail": "Not Found"}, "404 Not Found"), 502),
        (whole(b"<html>", "302 Found"), 502),
        (whole(b"", "500 Error"), 503),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 502),
        (repeating(b"a: b\r\n" * 1000, before=b"HTTP/1.1 200 OK\r\n"), 502),
        (repeating(chunk(b"x" * 65_536), before=CHUNKED), 502),
        (whole({"choices": [STOP | {"finish_reason": ["stop"]}]}), 502),
        (CHUNKED + chunk(events({"choices": [STOP | {"finish_reason": {}}]})) + chunk(b""), 502),
    ],
)
async def test_an_engine_that_cannot_be_used_is_no_fault_of_the_client(
    raw: RawEngine, gateway: Gateway, answer: Answer | bytes, status: int
) -> None:
    raw.answers(answer)
    for face in FACES:
        seen, reply = await ask(gateway, face)
        # Whole where a stream was asked for, or the other way round, is broken off: either is the engine's fault.
        assert seen in (status, 503 if status == 502 and face.endswith("stream") else status), face
        assert b"127.0.0.1" not in reply.body
        assert "request_id" in reply.body.decode()


USAGES = [{"prompt_tokens": -5, "completion_tokens": -1, "total_tokens": 1e308}, {"prompt_tokens": True}, [1], "x", 3]


@pytest.mark.parametrize("usage", USAGES)
async def test_a_usage_that_can_be_none_does_not_lose_an_answer(raw: RawEngine, gateway: Gateway, usage: Any) -> None:
    raw.answers(whole(completion(json.dumps(GOLD), usage=usage)))
    assert [(await ask(gateway, face))[0] for face in ("extract", "batch", "chat")] == [200, 200, 200]
    delta = {"index": 0, "delta": {"content": json.dumps(GOLD)}, "finish_reason": None}
    data = events({"choices": [delta]}, {"choices": [STOP]}, {"choices": [], "usage": usage})
    raw.answers(CHUNKED + chunk(data) + chunk(b""))
    assert [(await ask(gateway, face))[0] for face in ("stream", "chat stream")] == [200, 200]
    assert (await gateway.call("GET", "/metrics")).status == 200


OTHER_CHOICE = {"index": 1, "finish_reason": None, "delta": {"content": "x"}, "message": {"content": "x"}}


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_choice_that_was_not_asked_for_is_not_mixed_into_the_answer(
    raw: RawEngine, gateway: Gateway, is_first: bool
) -> None:
    def among(choice: dict[str, Any]) -> list[dict[str, Any]]:
        return [OTHER_CHOICE, choice] if is_first else [choice, OTHER_CHOICE]

    own = {"index": 0, "message": {"content": json.dumps(GOLD)}, "finish_reason": "stop"}
    raw.answers(whole(completion("", choices=among(own))))
    status, reply = await ask(gateway, "extract")
    assert (status, reply.json["stage"]) == (200, GOLD["stage"])
    delta = {"index": 0, "delta": {"content": json.dumps(GOLD)}, "finish_reason": None}
    raw.answers(CHUNKED + chunk(events({"choices": among(delta)}, {"choices": among(STOP)})) + chunk(b""))
    status, reply = await ask(gateway, "stream")
    assert status == 200
    assert b"event: result" in reply.body


@pytest.mark.parametrize("error", [{"error": {"message": "secret"}}, {"object": "error", "message": "secret"}])
async def test_an_error_in_the_middle_of_a_stream_is_told_and_not_quoted(
    raw: RawEngine, gateway: Gateway, error: dict[str, Any]
) -> None:
    delta = {"index": 0, "delta": {"content": "{"}, "finish_reason": None}
    raw.answers(CHUNKED + chunk(events({"choices": [delta]}, error)) + chunk(b""))
    for face in ("stream", "chat stream"):
        _, reply = await ask(gateway, face)
        assert b"broke off" in reply.body
        assert b"[DONE]" not in reply.body
        assert b"secret" not in reply.body


@pytest.mark.parametrize(
    ("between", "is_whole"),
    [
        (b"event: ping\ndata: keep-alive\n\n", True),
        (b'event: ping\ndata: {"type": "ping"}\n\n', True),
        (b"data: keep-alive\n\n", False),
        (b"event: message\ndata: keep-alive\n\n", False),
        (b'event: completion\ndata: {"choices": [\n\n', False),
    ],
)
async def test_an_event_of_another_type_is_no_part_of_the_answer(
    raw: RawEngine, gateway: Gateway, between: bytes, is_whole: bool
) -> None:
    delta = {"index": 0, "delta": {"content": json.dumps(GOLD)}, "finish_reason": None}
    first, last = (events({"choices": [choice]}).removesuffix(b"data: [DONE]\n\n") for choice in (delta, STOP))
    raw.answers(CHUNKED + chunk(first + between + last + b"data: [DONE]\n\n") + chunk(b""))
    _, reply = await ask(gateway, "stream")
    assert (b"event: result" in reply.body) == is_whole
    _, reply = await ask(gateway, "chat stream")
    assert (b"[DONE]" in reply.body, b"keep-alive" in reply.body) == (is_whole, False)


async def test_a_reply_that_cannot_be_passed_on_is_an_error(raw: RawEngine, gateway: Gateway) -> None:
    deep = json.dumps(completion("a")).replace('"created": 1700000000', '"created": ' + "[" * 300 + "]" * 300)
    raw.answers(whole(deep.encode()))
    assert (await ask(gateway, "chat"))[0] == 502
    assert (await ask(gateway, "extract"))[0] == 502  # "a" holds no fields


async def test_a_flood_ends_a_streams_extraction_soon_and_leaves_nothing(raw: RawEngine, gateway: Gateway) -> None:
    delta = {"index": 0, "delta": {"content": "x" * 100}, "finish_reason": None}
    raw.answers(repeating(chunk(events({"choices": [delta]})[:-14] * 500), before=CHUNKED))
    async with asyncio.timeout(20):
        status, reply = await ask(gateway, "stream")
    assert (status, reply.json["status"]) == (502, 502)
    await until(lambda: raw.open == 0)
    assert gateway.services.gate.running == 0


async def test_a_failure_is_in_the_log_and_the_metrics_under_the_requests_id(
    raw: RawEngine, gateway: Gateway, log: Callable[[], str]
) -> None:
    raw.answers(whole({"error": NOTE}, "401 Unauthorized"))
    ids = [(await ask(gateway, face))[1].headers["X-Request-ID"] for face in FACES]
    lines = [json.loads(line) for line in log().splitlines()]
    failures = [line for line in lines if line["message"] == "the engine failed"]
    assert [line["request_id"] for line in failures] == ids
    assert {line["cause"] for line in failures} == {"it asks for a key: name its file in GATEWAY_ENGINE_API_KEY_FILE"}
    metrics = (await gateway.call("GET", "/metrics")).body.decode()
    assert f'gateway_engine_failures_total{{reason="key_refused"}} {len(FACES)}.0' in metrics
    assert NOTE[:20] not in log()


def serial(seconds: float) -> Answer:
    """Return the answer of an engine that answers one request after the other."""
    lock = asyncio.Lock()
    answer = writing(b"", whole(completion(json.dumps(GOLD))), pause=seconds)

    async def answered(writer: asyncio.StreamWriter) -> None:
        async with lock:
            await answer(writer)

    return answered


@pytest.mark.parametrize("has_answered", [True, False])
async def test_a_busy_engine_that_answers_one_by_one_is_healthy(
    raw: RawEngine, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, has_answered: bool
) -> None:
    monkeypatch.setattr(engine_module, "_FRESH_SECONDS", 0.1)
    monkeypatch.setattr(readiness, "_PROBE_TIMEOUT", 1.5)
    if not has_answered:
        gateway.services.engine._last_token_at = float("-inf")
    raw.answers(serial(0.4))
    notes = [asyncio.create_task(gateway.extract()) for _ in range(4)]
    await until(lambda: raw.open == 4 and len(raw.requests) >= 4)
    asked = len(raw.requests)
    # A probe behind the four would take longer than it may.
    assert (await gateway.call("GET", "/health")).status == 200
    await notes[0]
    assert (await gateway.call("GET", "/health")).status == 200
    assert len(raw.requests) <= asked + (not has_answered)
    assert [(await note).status for note in notes] == [200] * 4
