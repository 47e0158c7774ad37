"""The engine's answers on the level of bytes: which are answers, and what is told, logged and counted of the others."""

import asyncio
import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.engine import engine as engine_module
from gateway.engine.circuit import CircuitOpenError
from gateway.engine.engine import CHAT, Engine
from gateway.engine.errors import EngineError
from gateway.settings import Settings
from tests.fakes.engine import documents
from tests.fakes.engine.raw import (
    CHUNKED,
    UNTIL_CLOSE,
    Answer,
    RawEngine,
    chunk,
    completion,
    events,
    raw_engine,
    repeating,
    silent,
    whole,
    writing,
)
from tests.gateway.conftest import free_port

MARKER = "MARKERJaneDoe"
BODY = {"model": "m", "messages": [{"role": "user", "content": MARKER}]}
STOP = {"index": 0, "delta": {}, "finish_reason": "stop"}
KEY = "engine-key-that-must-not-show"


@pytest.fixture
async def raw() -> AsyncIterator[RawEngine]:
    async with raw_engine() as raw:
        yield raw


class Client:
    """An engine's client, and what it counted."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.failures: Counter[str] = Counter()
        chosen = Settings(**{"engine_url": url, "auth": "off", **settings})
        self.engine = Engine(chosen, lambda reason: self.failures.update([reason]))

    async def call(self, face: str, seconds: float = 20.0) -> str:
        """Ask on a face and return the text of the answer."""
        deadline = asyncio.get_running_loop().time() + seconds
        match face:
            case "complete":
                return (await self.engine.complete(BODY, deadline=deadline, request_id="id-1")).text
            case "parts":
                return (
                    await self.engine.complete_in_parts(BODY, lambda _: None, deadline=deadline, request_id="id-1")
                ).text
            case "forward":
                reply = await self.engine.forward(CHAT, BODY, deadline=deadline, request_id="id-1")
                return str(reply["choices"][0]["message"]["content"])
            case _:
                text = ""
                async with self.engine.open_stream(CHAT, BODY, deadline=deadline, request_id="id-1") as stream:
                    async for event in stream:
                        text += "".join(choice["delta"].get("content") or "" for choice in event["choices"] or [])
                return text

    async def failure(self, face: str, seconds: float = 20.0) -> tuple[int, str]:
        """Ask on a face and return status and reason of the error."""
        with pytest.raises(EngineError) as caught:
            await self.call(face, seconds)
        assert MARKER not in str(caught.value) + caught.value.cause
        assert self.failures == {caught.value.reason: 1}
        self.failures.clear()
        return caught.value.status, caught.value.reason


WHOLE, STREAMED = ("complete", "forward"), ("parts", "stream")
FACES = (*WHOLE, *STREAMED)


@pytest.fixture
async def client(raw: RawEngine) -> AsyncIterator[Client]:
    client = Client(raw.url)
    yield client
    await client.engine.close()


def delta(content: str, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": None} | more]}


def streaming(body: bytes) -> bytes:
    return CHUNKED + chunk(body) + chunk(b"")


AB = events(delta("a"), delta("b"), {"choices": [STOP]})


@pytest.mark.parametrize("face", STREAMED)
@pytest.mark.parametrize(
    "answer",
    [
        writing(streaming(AB)),
        writing(streaming(AB.replace(b"\n", b"\r\n"))),
        writing(streaming(AB.replace(b"\n", b"\r"))),
        writing(
            streaming(b"\xef\xbb\xbf: hb\n" + AB.replace(b"data:", b": hb\nevent: message\nid: 1\nretry: 5\ndata:"))
        ),
        writing(streaming(AB.replace(b'"choices": [{', b'"error": null, "choices":\ndata: [{'))),
        writing(streaming(AB.removesuffix(b"\n\n"))),
        writing(streaming(AB.removesuffix(b"\n"))),
        writing(streaming(AB.removesuffix(b"data: [DONE]\n\n"))),
        writing(UNTIL_CLOSE + AB.removesuffix(b"data: [DONE]\n\n"), close=True),
        writing(UNTIL_CLOSE + AB, close=True),
        writing(CHUNKED + chunk(AB)),  # it does not end, but the answer has
        writing(CHUNKED, *(chunk(AB[at : at + 1]) for at in range(len(AB))), chunk(b"")),
        writing(streaming(events({"choices": []}, delta(""), delta("ab"), {"choices": [STOP]}, {"choices": None}))),
    ],
)
async def test_a_stream_may_have_any_form_that_the_standard_or_practice_allows(
    raw: RawEngine, client: Client, answer: Answer, face: str
) -> None:
    raw.answers(answer)
    for _ in range(2):
        assert await client.call(face) == "ab"
    assert not client.failures


@pytest.mark.parametrize("face", STREAMED)
@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (writing(streaming(events(delta("a")).removesuffix(b"data: [DONE]\n\n"))), (503, "broken_off")),
        (writing(UNTIL_CLOSE + events(delta("a"))[:-20], close=True), (503, "broken_off")),
        (writing(CHUNKED + chunk(events(delta("a"))[:-20]), close=True), (503, "broken_off")),
        (writing(streaming(AB[:-20])), (503, "broken_off")),
        (writing(CHUNKED + chunk(b"")), (503, "broken_off")),
        (
            writing(streaming(events(delta("a", index=1), {"choices": [STOP]}).removesuffix(b"data: [DONE]\n\n"))),
            (503, "broken_off"),
        ),
        (writing(streaming(events(delta("a"), {"error": {"message": MARKER}}))), (503, "broken_off")),
        (writing(streaming(b"event: error\ndata: " + MARKER.encode() + b"\n\n")), (503, "broken_off")),
        (writing(streaming(events({"choices": [STOP | {"finish_reason": "abort"}]}))), (503, "aborted")),
        (writing(streaming(events(MARKER))), (502, "not_json")),
        (writing(streaming(events([MARKER]))), (502, "bad_reply")),
        (writing(streaming(events({"choices": MARKER}))), (502, "bad_reply")),
        (writing(streaming(events({"choices": [STOP | {"finish_reason": ["stop"]}]}))), (502, "bad_reply")),
        (writing(streaming(events('{"choices":[],"x":' + "[" * 300 + "]" * 300 + "}"))), (502, "bad_reply")),
        (writing(streaming(events("\\ud800 \\xff"))), (502, "not_json")),
        (writing(whole(completion("a"))), (503, "broken_off")),
        (repeating(chunk(b"data: " + b"x" * 65_536), before=CHUNKED), (502, "too_large")),
        (repeating(chunk(b"x" * 65_536), before=CHUNKED + chunk(b"data: ")), (502, "too_large")),
        (repeating(chunk(b"data: {}\n" * 1000), before=CHUNKED), (502, "too_large")),
    ],
)
async def test_a_stream_that_is_not_whole_is_an_error(
    raw: RawEngine, client: Client, answer: Answer, failure: tuple[int, str], face: str
) -> None:
    raw.answers(answer)
    assert await client.failure(face) == failure


@pytest.mark.parametrize(
    "part",
    [
        events(delta("x" * 1000)).removesuffix(b"data: [DONE]\n\n") * 50,
        events({"choices": [], "padding": "x" * 60_000}).removesuffix(b"data: [DONE]\n\n"),
        events(delta("", logprobs={"content": documents.tokens_of("x" * 4000)})).removesuffix(b"data: [DONE]\n\n"),
        (b": " + b"x" * 10_000 + b"\n") * 6,
    ],
)
async def test_a_stream_without_end_is_refused_where_its_text_is_kept(
    raw: RawEngine, client: Client, part: bytes
) -> None:
    raw.answers(repeating(chunk(part), before=CHUNKED))
    assert await client.failure("parts") == (502, "too_large")


@pytest.mark.parametrize(("growths", "is_answer"), [(10, True), (11, True), (100, False)])
async def test_an_answer_grows_no_more_often_than_it_may_have_tokens(
    raw: RawEngine, client: Client, growths: int, is_answer: bool
) -> None:
    raw.answers(streaming(events(*[delta("a")] * growths, {"choices": [STOP]})))
    deadline = asyncio.get_running_loop().time() + 20
    asked = client.engine.complete_in_parts(BODY | {"max_tokens": 10}, lambda _: None, deadline=deadline)
    if is_answer:
        assert (await asked).text == "a" * growths
    else:
        with pytest.raises(EngineError, match="too long"):
            await asked


@pytest.mark.parametrize("face", WHOLE)
@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (writing(whole(b"<html>" + MARKER.encode())), (502, "not_json")),
        (writing(whole(b"\xff")), (502, "not_json")),
        (writing(whole(b"[" * 100_000)), (502, "not_json")),
        (writing(whole(b"[]")), (502, "bad_reply")),
        (writing(whole({"hello": MARKER})), (502, "bad_reply")),
        (writing(whole({"choices": []})), (502, "bad_reply")),
        (writing(whole({"choices": [MARKER]})), (502, "bad_reply")),
        (writing(whole(completion("a", choices=[STOP | {"finish_reason": ["stop"]}]))), (502, "bad_reply")),
        (writing(whole({"error": {"message": MARKER}})), (503, "broken_off")),
        (repeating(b"x" * 65_536, before=CHUNKED), (502, "not_http")),
        (repeating(chunk(b"[" * 65_536), before=CHUNKED), (502, "too_large")),
        (writing(b"SSH-2.0-OpenSSH_9.2\r\n"), (502, "not_http")),
        (writing(whole(completion("a"))[:-3], close=True), (503, "broken_off")),
        (writing(whole(b"", "500 Error")), (503, "failing")),
        (writing(whole(b"", "429 Too Many Requests")), (503, "failing")),
    ],
)
async def test_a_reply_that_is_no_completion_is_an_error(
    raw: RawEngine, client: Client, answer: Answer, failure: tuple[int, str], face: str
) -> None:
    raw.answers(answer)
    assert await client.failure(face) == failure


NOT_FOUND = {"error": {"message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404}}


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        ("400 Bad Request", {"error": {"message": MARKER}}, (502, "rejected")),
        ("422 Unprocessable", {}, (502, "rejected")),
        ("404 Not Found", NOT_FOUND, (502, "no_such_model")),
        ("404 Not Found", {"object": "error", "message": "The model `m` does not exist."}, (502, "no_such_model")),
        ("404 Not Found", {"error": "model 'm' not found"}, (502, "no_such_model")),
        ("404 Not Found", {"detail": "Not Found"}, (502, "no_such_path")),
        ("404 Not Found", {"error": {"message": "File Not Found", "code": 404}}, (502, "no_such_path")),
        ("404 Not Found", b"<html>", (502, "no_such_path")),
        ("401 Unauthorized", {"error": "Unauthorized"}, (502, "key_refused")),
        ("403 Forbidden", b"", (502, "key_refused")),
        ("302 Found", b"", (502, "unexpected_status")),
        ("101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c", b"", (502, "unexpected_status")),
        ("204 No Content", b"", (502, "unexpected_status")),
        ("405 Method Not Allowed", b"", (502, "unexpected_status")),
    ],
)
async def test_a_refusal_says_whose_fault_it_is(
    raw: RawEngine, client: Client, status: str, body: Any, failure: tuple[int, str], face: str
) -> None:
    raw.answers(whole(body, status))
    assert await client.failure(face) == failure
    assert not client.engine.circuit.is_tripped


NULL = [{"token": "a", "logprob": None, "bytes": [97]}, {"token": "b", "logprob": -0.5, "bytes": [98]}]


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        (documents.tokens_of("ab", chars=1), [(b"a", -0.1), (b"b", -0.1)]),
        (NULL, [(b"a", math.nan), (b"b", -0.5)]),
        ([{"token": "ab", "logprob": -1, "bytes": None}], [(b"ab", -1.0)]),
        ([{"token": "ab", "logprob": "x"}], [(b"ab", math.nan)]),
        ([{"token": "ab", "logprob": -1, "bytes": 400_000_000}], [(b"ab", -1.0)]),
        ([{"token": "ab", "logprob": -1, "bytes": "ab"}], [(b"ab", -1.0)]),
        ([{"token": "ab", "logprob": -1, "bytes": [97, 256]}], None),
        ([{"token": "ab", "logprob": -1, "bytes": [97, -1]}], None),
        ([{"token": "ab", "logprob": -1, "bytes": [97, "b"]}], None),
        ([{"token": 3, "logprob": -1}], None),
        ([None], None),
        ("ab", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("face", ["complete", "parts"])
async def test_broken_probabilities_do_not_lose_an_answer(
    raw: RawEngine, client: Client, content: Any, tokens: list[tuple[bytes, float]] | None, face: str
) -> None:
    choice = {"index": 0, "finish_reason": "stop", "logprobs": {"content": content}}
    if face == "complete":
        raw.answers(whole(completion("ab", choices=[choice | {"message": {"content": "ab"}}])))
        answer = await client.engine.complete(BODY, deadline=asyncio.get_running_loop().time() + 20)
    else:
        raw.answers(streaming(events({"choices": [choice | {"delta": {"content": "ab"}}]})))
        answer = await client.engine.complete_in_parts(
            BODY, lambda _: None, deadline=asyncio.get_running_loop().time() + 20
        )
    assert repr(answer.tokens) == repr(tokens)  # as NaN is not equal to itself


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}, (3, 2, 5)),
        ({"prompt_tokens": 3.0, "completion_tokens": None}, (3, 0, 0)),
        ({"prompt_tokens": -3, "completion_tokens": True, "total_tokens": 1e308}, (0, 0, 0)),
        ({"prompt_tokens": 2.5, "completion_tokens": "2", "total_tokens": [5]}, (0, 0, 0)),
        ({"prompt_tokens": 10**30, "total_tokens": 10**18}, (0, 0, 0)),
        ([5], (0, 0, 0)),
        ("5", (0, 0, 0)),
        (None, (0, 0, 0)),
    ],
)
@pytest.mark.parametrize("face", ["complete", "parts"])
async def test_a_count_that_can_be_none_is_left_out(
    raw: RawEngine, client: Client, usage: Any, counts: tuple[int, int, int], face: str
) -> None:
    deadline = asyncio.get_running_loop().time() + 20
    if face == "complete":
        raw.answers(whole(completion("a", usage=usage)))
        answer = await client.engine.complete(BODY, deadline=deadline)
    else:
        raw.answers(streaming(events(delta("a"), {"choices": [STOP]}, {"choices": [], "usage": usage})))
        answer = await client.engine.complete_in_parts(BODY, lambda _: None, deadline=deadline)
    assert (answer.prompt_tokens, answer.completion_tokens, answer.total_tokens) == counts


async def test_a_reply_without_usage_is_an_answer(raw: RawEngine, client: Client) -> None:
    reply = completion("a")
    del reply["usage"]
    raw.answers(whole(reply))
    assert [await client.call(face) for face in WHOLE] == ["a", "a"]
    assert client.engine.makes_tokens()


@pytest.mark.parametrize(
    "length", [0, -5, True, 4096.5, "4096", 10**30, None, [4096]], ids=lambda value: type(value).__name__
)
async def test_a_length_of_a_model_that_can_be_none_is_left_out(raw: RawEngine, client: Client, length: Any) -> None:
    cards = [{"id": "base", "max_model_len": 4096}, {"id": "odd", "max_model_len": length}]
    raw.answers(whole({"data": cards}))
    lengths = await client.engine.model_lengths(deadline=asyncio.get_running_loop().time() + 20)
    assert lengths == {"base": 4096}


@pytest.mark.parametrize("status", ["404 Not Found", "405 Method Not Allowed", "400 Bad Request"])
async def test_an_engine_without_a_tokenizer_is_no_failure(raw: RawEngine, client: Client, status: str) -> None:
    raw.answers(whole({"detail": "Not Found"}, status))
    deadline = asyncio.get_running_loop().time() + 20
    assert await client.engine.token_sizes("m", "text", deadline=deadline) is None
    assert not client.failures


async def test_the_first_tokens_time_runs_from_the_request_on(raw: RawEngine) -> None:
    client = Client(raw.url, first_token_timeout=0.15)
    role = events({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
    for answer in (
        silent,
        writing(CHUNKED),
        writing(CHUNKED + chunk(b": ping\n\n")),
        writing(CHUNKED + chunk(role.removesuffix(b"data: [DONE]\n\n"))),
    ):
        raw.answers(answer)
        for face in STREAMED:
            assert await client.failure(face) == (504, "first_token_timeout")
    # After the first token the request's own time holds, as for answers in one piece from the beginning.
    first, _, rest = AB.partition(b"\n\n")
    raw.answers(writing(CHUNKED + chunk(first + b"\n\n"), b"", chunk(rest) + chunk(b""), pause=0.2))
    assert await client.call("stream") == "ab"
    raw.answers(writing(b"", whole(completion("a")), pause=0.2))
    assert await client.call("complete") == "a"
    raw.answers(silent)
    assert await client.failure("complete", 0.1) == (504, "timeout")
    assert await client.failure("stream", 0.1) == (504, "timeout")
    await client.engine.close()


def lines(written: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.splitlines()]


async def test_a_failure_is_logged_once_with_its_cause(raw: RawEngine, client: Client, log: Callable[[], str]) -> None:
    raw.answers(whole({"error": {"message": MARKER}}, "401 Unauthorized"))
    await client.failure("complete")
    (line,) = lines(log())
    del line["time"]
    assert line == {
        "level": "WARNING",
        "message": "the engine failed",
        "engine": raw.url,
        "path": CHAT,
        "reason": "key_refused",
        "cause": "it asks for a key: name its file in GATEWAY_ENGINE_API_KEY_FILE",
        "engine_status": 401,
        "request_id": "id-1",
    }


async def test_while_the_engine_is_down_each_cause_is_logged_once(
    raw: RawEngine, monkeypatch: pytest.MonkeyPatch, log: Callable[[], str]
) -> None:
    client = Client(f"http://127.0.0.1:{free_port()}/base")
    monkeypatch.setattr(client.engine.circuit, "_pause", 0.0)
    for _ in range(8):
        await client.failure("complete")
    seen = [(line["message"], line["cause"]) for line in lines(log())]
    refused = "nothing listens at the port"
    down = "the engine is down; requests fail at once until it answers"
    assert seen == [("the engine failed", refused)] * 4 + [(down, refused)]
    assert client.engine.circuit.is_tripped
    client.engine.circuit.succeeded()
    await client.engine.close()
    assert log().count(f"{client.engine._failures._address}/") == 0
    assert MARKER not in log()


async def test_an_engine_that_answers_again_is_logged(raw: RawEngine, client: Client, log: Callable[[], str]) -> None:
    raw.answers(*[writing(close=True)] * 6, whole(completion("a")))
    for _ in range(5):
        await client.failure("complete")
    with pytest.raises(CircuitOpenError):
        await client.call("complete")
    assert not client.failures
    assert await client.engine.produces_tokens("m", within=5) is False
    assert await client.engine.produces_tokens("m", within=5) is True
    assert await client.call("complete") == "a"
    assert [line["message"] for line in lines(log())][-2:] == [
        "the engine is down; requests fail at once until it answers",
        "the engine answers again",
    ]


async def test_the_engines_key_is_sent_and_read_again_and_never_logged(
    raw: RawEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: Callable[[], str]
) -> None:
    monkeypatch.setattr("gateway.files.watching._CHECK_SECONDS", 0.0)
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    client = Client(raw.url, engine_api_key_file=file)
    raw.answers(whole(completion("a")))
    for content, sent in ((None, KEY), (f"  {KEY}-2\r\n", f"{KEY}-2"), ("", f"{KEY}-2"), ("two words", f"{KEY}-2")):
        if content is not None:
            file.write_text(content)
        await client.call("complete")
        assert f"\r\nAuthorization: Bearer {sent}\r\n".encode() in raw.requests[-1]
    raw.answers(whole(b"", "403 Forbidden"))
    await client.failure("complete")
    await client.engine.close()
    assert "it refuses the key in GATEWAY_ENGINE_API_KEY_FILE" in log()
    assert "the previous key stays" in log()
    assert KEY not in log()


async def test_a_busy_engine_is_not_probed(raw: RawEngine, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "_FRESH_SECONDS", 0.0)
    monkeypatch.setattr(engine_module, "_LEAST_PATIENCE", 0.0)
    raw.answers(writing(b"", whole(completion("a")), pause=0.3))
    assert not client.engine.makes_tokens()
    await client.call("complete")
    assert not client.engine.makes_tokens()  # nothing runs, and the token's time is over
    second = asyncio.create_task(client.call("complete"))
    await asyncio.sleep(0.05)
    assert client.engine.makes_tokens()
    await second
    raw.answers(silent)
    hanging = asyncio.create_task(client.call("complete"))
    await asyncio.sleep(0.05)
    assert client.engine.makes_tokens()
    async with asyncio.timeout(10):  # after twice as long as it took before
        while client.engine.makes_tokens():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.02)
    hanging.cancel()
