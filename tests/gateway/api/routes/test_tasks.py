"""The tasks' endpoints: the list, extraction with any task, and the assistant's former path."""

import json
from pathlib import Path

import pytest

from gateway.app import create_app
from gateway.services import DefaultTaskError
from gateway.settings import Settings
from tests.fakes.engine.scripted import GOLD, FakeEngine
from tests.gateway.conftest import NOTE, Gateway, StartGateway

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
