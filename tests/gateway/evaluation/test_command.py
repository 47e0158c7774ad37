"""`python -m gateway evaluate` and `compare`, against a gateway before a fake engine."""

import asyncio
import contextlib
import json
import signal
import stat
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.cli.main import _EVALUATION_PACKAGES
from gateway.evaluation.scores import columns
from tests.fakes.engine.scripted import GOLD, FakeEngine, completion
from tests.gateway.access.test_keys import line
from tests.gateway.cli.test_main import run, start
from tests.gateway.conftest import NOTE, Gateway, StartGateway

FIELDS = list(GOLD)


def dataset(path: Path, *expected: dict[str, Any]) -> str:
    """Write a data set of one note after another with these differences from the fake engine's answer."""
    rows = [
        {"instruction": "Extract.", "input": f"{NOTE} ({number})", "output": GOLD | change}
        for number, change in enumerate(expected)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def document(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "evaluation.json").read_text("utf-8"))
    return content


async def test_a_gateway_is_evaluated(gateway: Gateway, engine: FakeEngine, tmp_path: Path) -> None:
    """Three of four notes are answered as expected; in the last one the stage is wrong and a null invented."""
    data = dataset(tmp_path / "notes.jsonl", {}, {}, {}, {"stage": "III", "response": None})
    out = tmp_path / "results" / "first"
    url = gateway.url.replace("//", "//user:password@")
    code, output, errors = await run(
        "evaluate", data, "--url", url, "--out", str(out), "--concurrency", "2", "--resamples", "50"
    )
    assert code == 0, errors
    # 6 values in each answer: 22 right of 24; expected 23, of which 22 were given
    assert [row.split()[1:3] for row in output.splitlines() if row.startswith("micro ")] == [["0.917", "0.957"]]
    assert "4/4" in errors  # the progress bar
    result = document(out)
    assert result["scores"]["exact"]["micro"] | {"precision": 0, "recall": 0, "f1": 0} == {
        "precision": 0, "recall": 0, "f1": 0, "right": 22, "false_positive": 2, "false_negative": 1,
    }  # fmt: skip
    assert result["about"]["task"] == "medical_ie"
    assert result["about"]["url"] == gateway.url
    assert result["about"]["models"] == ["medical-ie"]
    assert result["latency_seconds"]["answers"] == 4
    assert result["calibration"]["values"] == 24
    assert result["invention"]["all"]["rate"]["value"] == 0.0
    assert len({body["messages"][1]["content"] for body in engine.bodies}) == 4
    assert NOTE not in (out / "evaluation.json").read_text("utf-8")
    # the page holds the note, so only its owner may read it
    page = out / "evaluation.html"
    assert "Molecular testing" in page.read_text("utf-8")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert "holds notes and values" in errors
    assert sorted(path.name for path in out.iterdir()) == ["evaluation.html", "evaluation.json"]


async def test_options_limit_no_texts_and_model(gateway: Gateway, engine: FakeEngine, tmp_path: Path) -> None:
    data = dataset(tmp_path / "notes.jsonl", *[{"stage": "III"}] * 3)
    arguments = ["--limit", "1", "--no-texts", "--model", "base", "--resamples", "5", "--out", str(tmp_path)]
    code, _, errors = await run("evaluate", data, "--url", gateway.url, *arguments)
    assert code == 0, errors
    assert [body["model"] for body in engine.bodies] == ["base"]
    page = (tmp_path / "evaluation.html").read_text("utf-8")
    assert "stage: wrong" in page
    assert "Molecular testing" not in page
    assert document(tmp_path)["about"]["model"] == "base"


async def test_an_answer_that_cannot_be_used_is_counted(gateway: Gateway, engine: FakeEngine, tmp_path: Path) -> None:
    async def cut(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(completion('{"cancer_type": "lu', "length"))

    data = dataset(tmp_path / "notes.jsonl", {}, {})
    engine.replies = [cut]
    out = tmp_path / "out"
    code, output, errors = await run(
        "evaluate", data, "--url", gateway.url, "--concurrency", "1", "--out", str(out), "--resamples", "5"
    )
    assert code == 0, errors
    assert "valid: 1 of 2 answers: unusable 1" in output
    assert document(out)["scores"]["exact"]["micro"]["false_negative"] == 6


async def test_a_limited_rate_is_waited_for(start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = await start_gateway(rate_limit="2/second")
    data = dataset(tmp_path / "notes.jsonl", *[{}] * 3)
    code, output, errors = await run("evaluate", data, "--url", gateway.url, "--resamples", "5")
    assert code == 0, errors
    assert "valid: 3 of 3 answers" in output


async def test_a_dead_gateway_is_one_line(unused_tcp_port: int, tmp_path: Path) -> None:
    data, out = dataset(tmp_path / "notes.jsonl", {}), tmp_path / "out"
    url = f"http://127.0.0.1:{unused_tcp_port}"
    code, output, errors = await run("evaluate", data, "--url", url, "--out", str(out))
    assert code == 1
    assert errors.splitlines() == [
        f"{url} cannot be reached: ClientConnectorError; is the gateway running, and is --url right?",
        "nothing was written",
    ]
    assert not output
    assert not out.exists()


async def test_an_engine_that_goes_away_ends_the_run(gateway: Gateway, engine: FakeEngine, tmp_path: Path) -> None:
    async def gone(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"message": "x"}}, status=503)

    engine.handler = gone
    data, out = dataset(tmp_path / "notes.jsonl", *[{}] * 3), tmp_path / "out"
    code, output, errors = await run("evaluate", data, "--url", gateway.url, "--out", str(out), "--retries", "0")
    assert code == 1
    assert "503: " in errors
    assert "nothing was written" in errors
    assert not output
    assert not out.exists()


async def test_the_key_is_needed_and_never_an_argument(start_gateway: StartGateway, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(line("ward", "right"))
    (tmp_path / "key").write_text("right\n")
    gateway = await start_gateway(auth="required", api_keys_file=tmp_path / "keys")
    data = dataset(tmp_path / "notes.jsonl", {})
    call = ["evaluate", data, "--url", gateway.url, "--resamples", "5"]
    code, _, errors = await run(*call)
    assert code == 1
    assert "give the key in GATEWAY_API_KEY or with --key-file" in errors
    assert (await run(*call, GATEWAY_API_KEY="right"))[0] == 0
    assert (await run(*call, "--key-file", str(tmp_path / "key")))[0] == 0


async def test_another_task_of_the_gateway_can_be_named(gateway: Gateway, engine: FakeEngine, tmp_path: Path) -> None:
    expected = {"intent": "get_weather", "location": "Delhi", "datetime": "now"}
    row = {"text": "What's the weather like in Delhi right now?", "expected": expected}
    (tmp_path / "notes.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    engine.answers["assistant-intent"] = json.dumps(expected)
    call = ["evaluate", str(tmp_path / "notes.jsonl"), "--url", gateway.url, "--resamples", "5"]
    code, output, errors = await run(*call, "--task", "assistant_intent")
    assert code == 0, errors
    assert "right in all fields: exact 1" in output
    code, _, errors = await run(*call, "--task", "nothing")
    assert code == 1
    assert "the gateway has no task nothing; it has assistant_intent, medical_ie" in errors


async def test_a_bad_data_set_stops_everything_before_anything_is_asked(
    gateway: Gateway, engine: FakeEngine, tmp_path: Path
) -> None:
    data = tmp_path / "notes.jsonl"
    data.write_text('{"input": "x", "output": {}}\nnonsense\n', "utf-8")
    code, output, errors = await run("evaluate", str(data), "--url", gateway.url, "--out", str(tmp_path / "out"))
    assert code == 2
    assert f"{data}:1: the expected answer lacks cancer_type" in errors
    assert f"{data}:2: is not JSON" in errors
    assert not output
    assert not engine.bodies
    assert not (tmp_path / "out").exists()


async def test_a_folder_that_cannot_be_written_is_reported_before_anything_is_asked(
    gateway: Gateway, engine: FakeEngine, tmp_path: Path
) -> None:
    data = dataset(tmp_path / "notes.jsonl", {})
    code, _, errors = await run("evaluate", data, "--url", gateway.url, "--out", f"{data}/below")
    assert code == 2
    assert "is no folder that can be written to" in errors
    assert not engine.bodies


async def test_answers_from_a_file_and_a_comparison(tmp_path: Path) -> None:
    data = dataset(tmp_path / "notes.jsonl", *[{}] * 30)
    for name, given in (("good", GOLD), ("bad", GOLD | {"stage": None})):
        answers = tmp_path / f"{name}.jsonl"
        answers.write_text(30 * (json.dumps({"raw_output": json.dumps(given)}) + "\n"), "utf-8")
        code, _, errors = await run(
            "evaluate", data, "--answers", str(answers), "--out", str(tmp_path / name), "--resamples", "5"
        )
        assert code == 0, errors
    good, bad = (str(tmp_path / name / "evaluation.json") for name in ("good", "bad"))
    compare = ["compare", good, bad, "--resamples", "500"]
    code, output, _ = await run(*compare)
    assert code == 0
    assert "B against A: worse" in output
    code, table, _ = await run(*compare, "--fail-if-worse")
    assert (code, table) == (3, output)
    code, verdict, _ = await run(*compare, "--fail-if-worse", "--json")
    assert (code, json.loads(verdict)["worse"]) == (3, True)
    assert (await run("compare", bad, good, "--fail-if-worse", "--resamples", "500"))[0] == 0
    code, output, _ = await run(*compare, "--json", "--rule", "items")
    result = json.loads(output)
    assert (result["verdict"], result["worse"], result["notes"], result["rule"]) == ("worse", True, 30, "items")
    stage = next(one for one in result["differences"] if one["measure"] == "items/stage/f1")
    assert stage | {"p": None} == {
        "measure": "items/stage/f1", "first": 1.0, "second": 0.0, "difference": -1.0, "low": -1.0, "high": -1.0,
        "p": None, "real": True,
    }  # fmt: skip


async def test_runs_that_cannot_be_compared_are_refused_with_the_reason(tmp_path: Path) -> None:
    for name, count in (("one", 1), ("two", 2)):
        data = dataset(tmp_path / f"{name}.jsonl", *[{}] * count)
        (tmp_path / "answers").write_text(count * (json.dumps({"answer": GOLD}) + "\n"), "utf-8")
        folder = str(tmp_path / name)
        call = ["evaluate", data, "--answers", str(tmp_path / "answers"), "--out", folder, "--resamples", "5"]
        assert (await run(*call))[0] == 0
    one, two = (str(tmp_path / name / "evaluation.json") for name in ("one", "two"))
    other_fields = json.loads(Path(one).read_text("utf-8"))
    other_fields["dataset"]["fields"] = ["stage"]
    other_fields["notes"] = {"columns": list(columns(["stage"])), "rows": [[0] * len(columns(["stage"]))]}
    (tmp_path / "fields.json").write_text(json.dumps(other_fields), "utf-8")
    for path, problem in (
        (two, "not over the same notes"),
        (str(tmp_path / "fields.json"), "the runs have other fields"),
        (str(tmp_path / "one.jsonl"), "is no evaluation"),
        (str(tmp_path / "missing.json"), "cannot be read: No such file"),
    ):
        for options in ([], ["--fail-if-worse"], ["--json"]):
            code, output, errors = await run("compare", one, path, *options)
            assert (code, output) == (2, "")
            assert problem in errors


async def test_ctrl_c_writes_nothing_and_says_so(gateway: Gateway, engine: FakeEngine, tmp_path: Path) -> None:
    engine.delay = 30
    data, out = dataset(tmp_path / "notes.jsonl", *[{}] * 3), tmp_path / "out"
    process = await start("evaluate", data, "--url", gateway.url, "--out", str(out))
    try:
        async with asyncio.timeout(20):
            while not engine.bodies:  # noqa: ASYNC110 - what is watched has no event
                await asyncio.sleep(0.02)
        process.send_signal(signal.SIGINT)
        output, errors = await asyncio.wait_for(process.communicate(), 20)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert process.returncode == 130
    assert b"interrupted: nothing was written" in errors
    assert b"Traceback" not in errors
    assert not output
    assert not out.exists()


async def test_serving_does_not_load_the_evaluation() -> None:
    code = (
        "import sys, contextlib, io\n"
        "from gateway.cli.main import main\n"
        "import gateway.app, gateway.server.run\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): main(['serve', '--help'])\n"
        "print(*sys.modules)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    loaded = output.decode().split()
    assert "gateway.app" in loaded
    extra = {"gateway.evaluation", *_EVALUATION_PACKAGES}
    assert not [name for name in loaded if name in extra or name.startswith(tuple(f"{name}." for name in extra))]


@pytest.mark.parametrize("missing", _EVALUATION_PACKAGES)
@pytest.mark.parametrize("command", [["evaluate", "notes.jsonl"], ["compare", "a.json", "b.json"]])
async def test_without_the_extra_the_commands_say_what_to_install(
    command: list[str], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    code, output, errors = await run(*command)
    assert (code, output) == (2, "")
    assert f"need {missing}: install the extra with `poetry install --extras evaluation`" in errors
    assert f"pip install {' '.join(_EVALUATION_PACKAGES)}" in errors


async def test_the_gateways_image_says_that_it_has_no_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gateway.evaluation", None)
    code, _, errors = await run("compare", "a.json", "b.json")
    assert code == 2
    assert "the gateway's image has no evaluation: run evaluate and compare from a checkout" in errors


def test_the_extra_has_what_the_commands_ask_for() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[3] / "pyproject.toml").read_text("utf-8"))["project"]
    extra = {requirement.split()[0] for requirement in project["optional-dependencies"]["evaluation"]}
    assert extra == set(_EVALUATION_PACKAGES)


@pytest.mark.parametrize("command", ["evaluate", "compare"])
async def test_help_lists_the_exit_codes(command: str) -> None:
    code, output, _ = await run(command, "--help")
    assert code == 0
    assert "Exit codes" in output
