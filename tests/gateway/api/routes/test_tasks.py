"""The tasks' endpoints: the list, extraction with any task, and the assistant's former path."""

import json
from pathlib import Path

import pytest

from gateway.app import create_app
from gateway.services import DefaultTaskError
from gateway.settings import Settings
from tests.fakes.engine.scripted import GOLD, FakeEngine
from tests.gateway.conftest import NOTE, Gateway, StartGateway

SAID = {"now": "2026-11-28T09:00:00", "timezone": "Europe/Berlin"}
INTENT = {"intent": "get_weather", "location": "Bergen", "datetime": None}


async def test_the_tasks_are_listed_with_their_schemas(gateway: Gateway) -> None:
    reply = await gateway.call("GET", "/api/v1/tasks")
    assert reply.status == 200
    assert reply.json["default"] == "medical_ie"
    by_name = {task["name"]: task for task in reply.json["tasks"]}
    assert set(by_name) == {"medical_ie", "assistant_intent"}
    assert by_name["medical_ie"]["json_schema"]["required"] == list(GOLD)
    assert len(by_name["assistant_intent"]["json_schema"]["oneOf"]) == 7
    assert (await gateway.call("GET", "/api/v1/tasks/medical_ie")).json == by_name["medical_ie"]


async def test_a_task_says_whether_its_adapter_is_served(gateway: Gateway, engine: FakeEngine) -> None:
    async def served() -> dict[str, bool | None]:
        tasks = (await gateway.call("GET", "/api/v1/tasks")).json["tasks"]
        return {task["name"]: task["served"] for task in tasks}

    assert await served() == {"medical_ie": True, "assistant_intent": True}
    engine.served = ("base", "medical-ie")
    assert await served() == {"medical_ie": True, "assistant_intent": False}
    assert (await gateway.call("GET", "/api/v1/tasks/assistant_intent")).json["served"] is False
    # A further task without its adapter is no reason to take the gateway for broken: the default one decides.
    assert (await gateway.call("GET", "/health")).status == 200
    assert (await gateway.call("POST", "/api/convert", json={"text": "x"})).status == 503
    await engine.stop()
    assert await served() == {"medical_ie": None, "assistant_intent": None}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/v1/tasks/nobody"), ("POST", "/api/v1/tasks/nobody/extract")]
)
async def test_an_unknown_task_is_a_404(gateway: Gateway, method: str, path: str) -> None:
    assert (await gateway.call(method, path, json={"text": "x"})).status == 404


async def test_extraction_with_a_task_has_its_fields_in_an_object(gateway: Gateway, engine: FakeEngine) -> None:
    reply = await gateway.call("POST", "/api/v1/tasks/medical_ie/extract", json={"text": NOTE})
    assert reply.json["fields"] == GOLD
    flat = (await gateway.extract()).json
    del flat["request_id"], reply.json["request_id"], reply.json["fields"]
    assert reply.json == {name: value for name, value in flat.items() if name not in GOLD}
    engine.answer = json.dumps({"intent": "add_task", "task": "buy milk", "schedule": None})
    reply = await gateway.call("POST", "/api/v1/tasks/assistant_intent/extract", json={"text": "please buy milk"})
    assert reply.json["fields"] == {"intent": "add_task", "task": "buy milk", "schedule": None}
    assert reply.json["task"] == "assistant_intent"
    assert engine.bodies[-1]["model"] == "assistant-intent"


async def test_convert_keeps_its_old_form(gateway: Gateway, engine: FakeEngine) -> None:
    engine.answer = json.dumps(INTENT)
    reply = await gateway.call("POST", "/api/convert", json={"text": "Weather in Bergen?"})
    assert reply.status == 200
    assert reply.json == {"success": True, "structured_data": INTENT, "raw_output": engine.answer}


@pytest.mark.parametrize(
    ("words", "resolved", "code"),
    [
        ("tomorrow at 9 am", "2026-11-29T09:00:00+01:00", None),
        ("tomorrow", "2026-11-29", None),
        ("tomorrow at 9", "2026-11-29T09:00:00+01:00", "time_by_24_hours"),
        ("every Monday", None, "time_recurs"),
        (None, None, None),
    ],
)
async def test_times_are_kept_as_said_and_resolved_beside(
    gateway: Gateway, engine: FakeEngine, words: str | None, resolved: str | None, code: str | None
) -> None:
    fields = {"intent": "set_reminder", "task": "buy oat milk", "schedule": words}
    engine.answer = json.dumps(fields)
    body = {"text": "Remind me to buy oat milk.", "resolve_times": SAID, "grounding": "off"}
    warnings = [] if code is None else [(code, "schedule")]
    for path, member in (("/api/v1/tasks/assistant_intent/extract", "fields"), ("/api/convert", "structured_data")):
        reply = await gateway.call("POST", path, json=body)
        assert reply.json[member] == fields
        assert reply.json["resolved"] == {"schedule": resolved}
        assert [(warning["code"], warning["field"]) for warning in reply.json["warnings"]] == warnings


async def test_times_are_not_resolved_unless_that_is_asked_for(gateway: Gateway, engine: FakeEngine) -> None:
    engine.answer = json.dumps({"intent": "set_reminder", "task": "buy oat milk", "schedule": "tomorrow"})
    reply = await gateway.call("POST", "/api/v1/tasks/assistant_intent/extract", json={"text": "x"})
    assert "resolved" not in reply.json
    by_name = {task["name"]: task["times"] for task in (await gateway.call("GET", "/api/v1/tasks")).json["tasks"]}
    assert by_name == {"assistant_intent": ["schedule", "datetime"], "medical_ie": []}


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ({"timezone": "Europe/Atlantis"}, "such as Europe/Berlin or UTC"),
        ({"timezone": "europe/berlin"}, "such as Europe/Berlin or UTC"),
        ({"timezone": "localtime"}, "such as Europe/Berlin or UTC"),
        ({"timezone": "../../etc/passwd"}, "such as Europe/Berlin or UTC"),
        ({"timezone": None}, "valid string"),
        ({"now": "2026-11-31T09:00:00"}, "such as 2026-11-28T09:00:00+01:00"),
        ({"now": "2026-11-28"}, "such as 2026-11-28T09:00:00+01:00"),
        ({"now": "20261128T090000"}, "such as 2026-11-28T09:00:00+01:00"),
        ({"now": 1795856400}, "valid string"),
        ({"now": "0001-01-01T00:00:00"}, "outside the years 1 to 9999"),
        ({"now": "9999-12-31T23:00:00Z"}, "outside the years 1 to 9999"),
        ({"now": "2026-10-25T02:30:00"}, "this time twice; give it with its offset"),
        ({"now": "2026-03-29T02:30:00"}, "this time never; give it with its offset"),
    ],
)
async def test_a_moment_that_cannot_be_used_is_a_422_that_says_what_to_give(
    gateway: Gateway, said: dict[str, object], advice: str
) -> None:
    for path in ("/api/v1/tasks/assistant_intent/extract", "/api/convert", "/api/v1/extract"):
        reply = await gateway.call("POST", path, json={"text": "x", "resolve_times": SAID | said})
        assert reply.status == 422, path
        assert advice in reply.json["errors"][0]["msg"]
        assert reply.json["errors"][0]["loc"][0] == "resolve_times"


async def test_batches_and_streams_resolve_times_too(
    start_gateway: StartGateway, engine: FakeEngine, tmp_path: Path
) -> None:
    (tmp_path / "visits.yaml").write_text(
        "name: visits\nversion: 1\ntitle: Visits\nadapter: base\nprompt: {system: S}\n"
        "fields: [{name: visit, is_time: true}]\nmax_tokens: 20\n"
    )
    gateway = await start_gateway(tasks_dir=tmp_path, default_task="visits")
    engine.answer = '{"visit": "in two weeks"}'
    body = {"items": [{"text": "Come again in two weeks."}], "resolve_times": SAID}
    reply = await gateway.call("POST", "/api/v1/extract/batch", json=body)
    assert reply.json["results"][0]["result"]["resolved"] == {"visit": "2026-12-12"}
    body = {"text": "Come again in two weeks.", "resolve_times": SAID}
    reply = await gateway.call("POST", "/api/v1/extract/stream", json=body)
    result = json.loads(reply.body.split(b"event: result\ndata: ")[1].splitlines()[0])
    assert (result["visit"], result["resolved"]) == ("in two weeks", {"visit": "2026-12-12"})


async def test_convert_never_calls_a_failure_a_success(gateway: Gateway, engine: FakeEngine) -> None:
    engine.answer = "I do not know"
    assert (await gateway.call("POST", "/api/convert", json={"text": "x"})).status == 502
    await engine.stop()
    assert (await gateway.call("POST", "/api/convert", json={"text": "x"})).status == 503


async def test_a_new_task_is_a_file(start_gateway: StartGateway, engine: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "colours.yaml").write_text(
        "name: colours\nversion: 1\ntitle: Colours\nadapter: base\nprompt: {system: Say the colour.}\n"
        "fields: [{name: colour}]\nmax_tokens: 20\n"
    )
    gateway = await start_gateway(tasks_dir=tmp_path, default_task="colours")
    engine.answer = '{"colour": "green"}'
    reply = await gateway.extract("The door is green.")
    assert reply.json["colour"] == "green"
    assert reply.json["evidence"]["colour"][0]["start"] == 12
    assert (await gateway.call("POST", "/api/convert", json={"text": "x"})).status == 404


async def test_an_adapter_that_is_not_loaded_is_a_503(start_gateway: StartGateway, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "name: a\nversion: 1\ntitle: A\nadapter: missing\nprompt: {system: S}\nfields: [{name: b}]\nmax_tokens: 20\n"
    )
    gateway = await start_gateway(tasks_dir=tmp_path, default_task="a")
    reply = await gateway.extract("x")
    assert reply.status == 503
    assert "adapter" in reply.json["detail"]


def test_a_task_whose_fields_would_clash_cannot_be_the_default() -> None:
    with pytest.raises(DefaultTaskError, match=r"cannot be the default.*: task;"):
        create_app(Settings(auth="off", default_task="assistant_intent"))
