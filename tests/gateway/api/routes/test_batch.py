"""POST /api/v1/extract/batch, as JSON and as lines."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from gateway.api.http.problems import ProblemError
from gateway.api.routes.batch import BatchReader
from tests.fakes.engine.scripted import GOLD, FakeEngine, completion
from tests.gateway.conftest import NOTE, Gateway, StartGateway, until

PATH = "/api/v1/extract/batch"


def echo(engine: FakeEngine) -> None:
    """Answer with the text's last word as the stage; `bad` gets nonsense, and `slow` comes late."""

    async def answer(_: web.Request, body: dict[str, Any]) -> web.Response:
        word = body["messages"][1]["content"].split()[-1]
        if word == "slow":
            await asyncio.sleep(0.3)
        return web.json_response(completion("nonsense" if word == "bad" else json.dumps(GOLD | {"stage": word})))

    engine.handler = answer


def items(*texts: str) -> dict[str, Any]:
    return {"items": [{"id": f"note-{number}", "text": text} for number, text in enumerate(texts)]}


async def test_results_come_in_order_each_with_its_own_status(gateway: Gateway, engine: FakeEngine) -> None:
    echo(engine)
    reply = await gateway.call("POST", PATH, json=items("slow", "bad", "III"))
    assert reply.status == 200
    results = reply.json["results"]
    assert [(result["index"], result["id"], result["status"]) for result in results] == [
        (0, "note-0", 200),
        (1, "note-1", 502),
        (2, "note-2", 200),
    ]
    assert results[0]["result"]["stage"] == "slow"
    assert "error" not in results[0]
    assert results[1]["error"]["title"] == "The engine's answer could not be used"
    assert "result" not in results[1]
    assert results[2]["result"]["evidence"]["stage"] is not None


async def test_ndjson_lines_come_as_each_text_is_done(gateway: Gateway, engine: FakeEngine) -> None:
    echo(engine)
    headers = {"Accept": "application/x-ndjson"}
    reply = await gateway.call("POST", PATH, json=items("slow", "bad", "III"), headers=headers)
    assert reply.headers["Content-Type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in reply.body.splitlines()]
    assert sorted(line["index"] for line in lines) == [0, 1, 2]
    assert lines[-1]["index"] == 0


async def test_a_batch_items_id_may_be_missing_or_a_number(gateway: Gateway) -> None:
    reply = await gateway.call("POST", PATH, json={"items": [{"text": NOTE}, {"id": 7, "text": NOTE}]})
    assert [result["id"] for result in reply.json["results"]] == [None, 7]


async def test_a_batchs_choices_hold_for_all_its_texts(gateway: Gateway, engine: FakeEngine) -> None:
    await gateway.call("POST", PATH, json={**items(NOTE, NOTE), "temperature": 0.5, "grounding": "off"})
    assert [body["temperature"] for body in engine.bodies] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"items": []}, 422),
        ({}, 422),
        ({"items": {}}, 422),
        ({"items": [{"text": "x"}], "temperature": 9}, 422),
        (items(*["x"] * 101), 413),
    ],
)
async def test_an_invalid_batch_is_one_error(gateway: Gateway, body: Any, status: int) -> None:
    assert (await gateway.call("POST", PATH, json=body)).status == status


async def test_a_text_that_is_too_long_fails_alone(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(max_text_chars=300)
    reply = await gateway.call("POST", PATH, json=items("x" * 301, NOTE))
    assert [result["status"] for result in reply.json["results"]] == [413, 200]


async def test_a_batch_leaves_room_for_others_and_a_dead_engine_fails_each(
    gateway: Gateway, engine: FakeEngine
) -> None:
    engine.delay = 0.02
    await gateway.call("POST", PATH, json=items(*[NOTE] * 40))
    assert engine.most_running == 8
    await engine.stop()
    reply = await gateway.call("POST", PATH, json=items(NOTE, NOTE))
    assert [result["status"] for result in reply.json["results"]] == [503, 503]


async def test_each_text_counts_towards_the_rate(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(rate_limit="10/hour")
    assert (await gateway.call("POST", PATH, json=items(*[NOTE] * 12))).status == 200
    reply = await gateway.extract()
    assert reply.status == 429
    assert int(reply.headers["Retry-After"]) > 1000  # 12 were taken of 10: three more are to come back


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
async def test_a_client_that_goes_away_ends_the_work(gateway: Gateway, engine: FakeEngine, accept: str) -> None:
    engine.delay = 30
    waiting = asyncio.create_task(gateway.call("POST", PATH, json=items(*[NOTE] * 20), headers={"Accept": accept}))
    await until(lambda: engine.running == 8)
    waiting.cancel()
    await until(lambda: engine.running == 0)
    assert len(engine.bodies) == 8


GOOD = '{"id": "good", "text": "Stage IV melanoma."}'
# Each with the id that comes back.
NOT_VALID = [
    ('{"id": "bad", "text": ""}', "bad"),
    ('{"id": "bad", "text": " \\n\\u00a0"}', "bad"),
    ('{"id": "bad", "text": null}', "bad"),
    ('{"id": "bad", "text": 7}', "bad"),
    ('{"id": "bad", "text": ["a"]}', "bad"),
    ('{"id": "bad"}', "bad"),
    ('{"id": 7, "text": {}}', 7),
    ('{"id": "bad", "text": "MARKER melanoma \\ud83d"}', "bad"),
    ('{"id": "bad", "text": "\\ude00 MARKER"}', "bad"),
    ('{"id": "MARKER \\ud83d", "text": "melanoma"}', None),
    ('{"id": {"MARKER": 1}, "text": "melanoma"}', None),
    ('{"id": 1e400, "text": "melanoma"}', None),
    ("null", None),
    ("NaN", None),
    ('"MARKER"', None),
    ("[]", None),
]


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
async def test_items_that_are_not_valid_fail_alone(gateway: Gateway, engine: FakeEngine, accept: str) -> None:
    listed = ", ".join([GOOD, *(item for item, _ in NOT_VALID), GOOD])
    reply = await gateway.call("POST", PATH, data=f'{{"items": [{listed}]}}'.encode(), headers={"Accept": accept})
    assert reply.status == 200
    lines = reply.json["results"] if reply.json else [json.loads(line) for line in reply.body.splitlines()]
    first, *bad, last = sorted(lines, key=lambda result: int(result["index"]))
    assert first["status"] == last["status"] == 200
    assert [result["id"] for result in bad] == [name for _, name in NOT_VALID]
    for result in bad:
        assert result["status"] == result["error"]["status"] == 422
        assert result["error"]["errors"][0]["loc"][:2] == ["items", result["index"]]
    assert b"MARKER" not in reply.body
    assert len(engine.bodies) == 2


@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00", "\\ud83d\\ud83d", "\\udfff\\ud800"])
async def test_half_an_emoji_in_one_item_leaves_whole_ones_in_the_others(
    gateway: Gateway, engine: FakeEngine, half: str
) -> None:
    body = f'{{"items": [{{"text": "x{half}"}}, {{"text": "whole \\ud83d\\ude00"}}]}}'.encode()
    reply = await gateway.call("POST", PATH, data=body)
    assert [result["status"] for result in reply.json["results"]] == [422, 200]
    assert engine.bodies[0]["messages"][1]["content"].endswith("whole \N{GRINNING FACE}")


@pytest.mark.parametrize(
    "body",
    [
        b'{"items": [{"text": "melanoma"}',
        b'{"items": [{"text": "\\ud83d"}',
        b'{"items": "\\ud83d"}',
        b'["\\ud83d"]',
        b'{"items": [{"text": "melanoma \\ud83d"}], "model": "\\ud83d"}',
        b'{"items": [{"text": "melanoma"}], "temperature": NaN}',
        b'{"items": [{"text": "melanoma \\ud83d"}], "temperature": NaN}',
        b"[" * 100_000,
        b'{"items": [{"text": "\xff melanoma"}]}',
        b"\xff\xfe",
        b"",
    ],
)
def test_a_batch_that_is_malformed_as_a_whole_is_one_error(body: bytes) -> None:
    with pytest.raises((ValidationError, ProblemError)):
        BatchReader(100).validate_json(body)


@pytest.mark.parametrize("item", ["0", '{"text": "x"}', '"\\ud83d"'])
def test_a_batch_has_as_many_items_as_the_setting_allows(item: str) -> None:
    reader = BatchReader(3)
    assert len(reader.validate_json(f'{{"items": [{",".join([item] * 3)}]}}'.encode()).items) == 3
    with pytest.raises(ProblemError, match="3 items") as caught:
        reader.validate_json(f'{{"items": [{",".join([item] * 4)}]}}'.encode())
    assert caught.value.status == 413
