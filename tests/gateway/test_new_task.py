"""The recipe of docs/add-a-task.md, walked with a third, tiny task: its file, data, evaluation of what serves it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.settings import Settings
from gateway.tasks import load_task
from tests.fakes.engine.scripted import FakeEngine, completion
from tests.gateway.command_line import Background, run
from training.__main__ import main as training

PARCEL = """\
name: parcel
version: 1
title: Parcels
adapter: parcel
prompt: {system: Read the message of a courier.}
fields:
  - {name: status, choices: [delivered, delayed], nullable: false}
  - {name: place}
max_tokens: 50
golden:
  - name: seed
    text: Your box was delivered to the porch of number nine.
    expected: {status: delivered, place: the porch of number nine}
"""
PLACES = ("kiosk", "depot", "locker", "neighbour", "garage", "bakery")

Train = Callable[..., int]


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Train:
    """Return what runs a command of `python -m training`."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    def command(*arguments: str | Path) -> int:
        monkeypatch.setattr("sys.argv", ["training", *map(str, arguments)])
        return training()

    return command


def example(number: int) -> dict[str, Any]:
    """Return a message and its answer."""
    place = f"{PLACES[number % len(PLACES)]} {number}"
    return {
        "text": f"Parcel for order {number}: delivered at {place}",
        "answer": {"status": "delivered", "place": place},
    }


def as_a_service(engine: FakeEngine, first: int, count: int) -> None:
    """Have the engine answer as a service that is asked for examples."""

    async def handler(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(completion(json.dumps({"examples": [example(first + n) for n in range(count)]})))

    engine.handler = handler


def as_an_adapter(engine: FakeEngine) -> None:
    """Have the engine serve an adapter that has learned the task."""
    engine.served = ("base", "medical-ie", "parcel")

    async def handler(_: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        assert body["model"] == "parcel"
        place = body["messages"][-1]["content"].rpartition("delivered at ")[2]
        return web.json_response(completion(json.dumps({"status": "delivered", "place": place})))

    engine.handler = handler


def test_a_task_goes_from_its_file_to_its_figures(
    servers: Background, train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # 1. The task file, beside those that there are.
    tasks = shutil.copytree(Settings.model_fields["tasks_dir"].default, tmp_path / "tasks")
    task = tasks / "parcel.yaml"
    task.write_text(PARCEL, encoding="utf-8")
    assert load_task(task).name == "parcel"
    # 2. Data from a service, and their check.
    engine, data = servers.fresh_engine(), tmp_path / "data"
    asked = ("generate", "--task", task, "--url", f"{engine.url}/v1", "--model", "NAME")
    as_a_service(engine, 0, 12)
    assert train(*asked, "--out", data / "train.jsonl", "--count", "12", "--requests", "4", "--tokens", "20000") == 0
    as_a_service(engine, 100, 6)
    validation = data / "validation.jsonl"
    assert train(*asked, "--out", validation, "--count", "6", "--distinct-from", data / "train.jsonl") == 0
    assert train("check-data", "--task", task, "--data", data) == 0, capsys.readouterr().out
    # 4. and 5. An adapter that was trained elsewhere is served, listed and evaluated.
    as_an_adapter(engine)
    with servers.gateway(tasks_dir=tasks) as url:
        out = tmp_path / "results"
        ended = run(
            "evaluate", str(validation), "--task", "parcel", "--url", url, "--out", str(out), "--resamples", "20"
        )
        assert ended.code == 0, ended.errors
    result = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert (result["about"]["task"], result["about"]["models"]) == ("parcel", ["parcel"])
    assert result["scores"]["exact"]["micro"]["f1"]["value"] == 1.0


def test_a_service_that_does_not_know_the_task_leaves_no_data(
    servers: Background, train: Train, tmp_path: Path
) -> None:
    (tmp_path / "parcel.yaml").write_text(
        PARCEL.replace("[delivered, delayed]", "[lost]").replace("status: delivered", "status: lost")
    )
    engine = servers.fresh_engine()
    as_a_service(engine, 0, 3)
    out = tmp_path / "train.jsonl"
    arguments = ("--task", tmp_path / "parcel.yaml", "--url", f"{engine.url}/v1", "--model", "m", "--out", out)
    assert train("generate", *arguments, "--count", "3", "--requests", "1") != 0
    assert not out.exists() or out.read_text() == ""
