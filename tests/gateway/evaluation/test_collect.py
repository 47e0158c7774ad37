"""Asking for the answers: what is counted, what ends the run, and what is measured."""

import asyncio
import io
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.client import client as client_module
from gateway.client.client import Client, ClientError, TooLateError
from gateway.evaluation.answers import Answer
from gateway.evaluation.collect import CollectError, collect, find_task
from gateway.evaluation.schema import Schema
from tests.gateway.evaluation.cases import DATASET, JSON_SCHEMA

SCHEMA = Schema(JSON_SCHEMA)
GOOD = {"fields": {"site": "liver", "stage": None}, "model": "m"}


class FakeClient(Client):
    """A client without a gateway; `replies` has what each text gets, or the error that it ends in."""

    def __init__(self, replies: dict[str, dict[str, Any] | ClientError]) -> None:
        """Keep the replies by text."""
        super().__init__("http://fake", None, timeout=1, retries=0)
        self.replies = replies
        self.listed: Any = {"default": "by_hand", "tasks": [{"name": "by_hand", "json_schema": JSON_SCHEMA}]}
        self.running = self.most_running = 0

    async def tasks(self) -> Any:
        """Return the tasks."""
        if isinstance(self.listed, ClientError):
            raise self.listed
        return self.listed

    async def extract_timed(
        self, text: str, *, task: str | None = None, **choices: Any
    ) -> tuple[dict[str, Any], float]:
        """Return the reply; the texts that are asked later are answered first."""
        assert task == "by_hand"
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            for _ in range(10 - len(text) // 4):
                await asyncio.sleep(0)
            reply = self.replies.get(text, GOOD)
            if isinstance(reply, ClientError):
                raise reply
            return reply, 0.5
        finally:
            self.running -= 1


async def collected(client: FakeClient, concurrency: int = 2) -> list[Answer]:
    return await collect(
        client, "by_hand", SCHEMA, DATASET.examples, concurrency=concurrency, progress=io.StringIO(), model=None
    )


async def test_answers_come_in_the_data_sets_order_and_errors_are_counted() -> None:
    texts = [example.text for example in DATASET.examples]
    client = FakeClient(
        {
            texts[0]: GOOD | {"fields": {"site": "lung", "stage": "IV"}},
            texts[1]: ClientError(502, "502: cut"),
            texts[2]: TooLateError(0, "no answer"),
        }
    )
    right = Answer({"site": "liver", "stage": None}, seconds=0.5, model="m")
    first = Answer({"site": "lung", "stage": "IV"}, seconds=0.5, model="m")
    expected = [first, Answer(error="unusable"), Answer(error="no_response"), right]
    assert await collected(client) == expected
    assert client.most_running == 2
    assert await collected(client, concurrency=9) == expected
    assert client.most_running == 4


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (0, "is the gateway running"),
        (401, "give the key in GATEWAY_API_KEY"),
        (404, "no model"),
        (429, "lower --concurrency"),
        (503, "wait until GET /health says healthy"),
    ],
)
async def test_an_error_that_does_not_concern_a_note_ends_the_run(status: int, problem: str) -> None:
    client = FakeClient({DATASET.examples[0].text: ClientError(status, "no model")})
    with pytest.raises(CollectError, match=problem):
        await collected(client)
    assert client.running == 0
    client.listed = ClientError(status, "no model")
    with pytest.raises(CollectError, match=problem):
        await find_task(client, None)


async def test_the_task_is_the_gateways_default_or_the_named_one() -> None:
    client = FakeClient({})
    for name in (None, "by_hand"):
        task, schema = await find_task(client, name)
        assert (task, schema.fields) == ("by_hand", ("site", "stage"))
    with pytest.raises(CollectError, match="the gateway has no task other; it has by_hand"):
        await find_task(client, "other")


@pytest.mark.parametrize("listed", [{}, {"default": "x", "tasks": [1]}, {"default": "x", "tasks": [{"name": "x"}]}])
async def test_another_server_than_a_gateway_is_reported(listed: Any) -> None:
    client = FakeClient({})
    client.listed = listed
    with pytest.raises(CollectError, match="no gateway of this version"):
        await find_task(client, None)


async def test_the_time_of_an_answer_is_that_of_the_last_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused at 0 s with "Retry-After: 7", asked again at 10 s, answered at 11.5 s."""
    pauses: list[float] = []
    clock: Iterator[float] = iter([0.0, 10.0, 11.5])
    replies: Iterator[ClientError | None] = iter([client_module._LaterError(503, "busy", 7.0), None])

    async def call(*_: Any) -> dict[str, Any]:
        if (reply := next(replies)) is not None:
            raise reply
        return GOOD

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    client = Client("http://fake", None, timeout=1, retries=1)
    monkeypatch.setattr(client, "_call", call)
    monkeypatch.setattr("gateway.client.client.time.perf_counter", lambda: next(clock))
    monkeypatch.setattr("gateway.client.client.asyncio.sleep", sleep)
    assert await client.extract_timed("x") == (GOOD, 1.5)
    assert pauses == [7.0]
