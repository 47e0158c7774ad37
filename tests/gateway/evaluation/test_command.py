"""`python -m gateway evaluate` and `compare`, against a gateway before a fake engine."""

import contextlib
import errno
import gzip
import io
import json
import os
import signal
import stat
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.cli.main import _EVALUATION_PACKAGES, main
from gateway.evaluation.scores import columns
from tests.fakes.engine.scripted import GOLD, FakeEngine, completion
from tests.gateway.access.test_keys import line
from tests.gateway.command_line import Background, run
from tests.gateway.conftest import NOTE

FIELDS = list(GOLD)


@pytest.fixture
def engine(servers: Background) -> FakeEngine:
    """Return the engine as it was at its start."""
    return servers.fresh_engine()


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


def test_a_gateway_is_evaluated(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    """Three of four notes are answered as expected; in the last one the stage is wrong and a null invented."""
    data = dataset(tmp_path / "notes.jsonl", {}, {}, {}, {"stage": "III", "response": None})
    out = tmp_path / "results" / "first"
    with_password = url.replace("//", "//user:password@")
    code, output, errors = run(
        "evaluate", data, "--url", with_password, "--out", str(out), "--concurrency", "2", "--resamples", "50"
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
    assert result["about"]["url"] == url
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


def test_options_limit_no_texts_and_model(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    data = dataset(tmp_path / "notes.jsonl", *[{"stage": "III"}] * 3)
    arguments = ["--limit", "1", "--no-texts", "--model", "base", "--resamples", "5", "--out", str(tmp_path)]
    code, _, errors = run("evaluate", data, "--url", url, *arguments)
    assert code == 0, errors
    assert [body["model"] for body in engine.bodies] == ["base"]
    page = (tmp_path / "evaluation.html").read_text("utf-8")
    assert "stage: wrong" in page
    assert "Molecular testing" not in page
    assert document(tmp_path)["about"]["model"] == "base"


def test_a_data_set_comes_from_standard_input(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    rows = Path(dataset(tmp_path / "notes.jsonl", {}, {})).read_bytes()
    call = ["evaluate", "-", "--url", url, "--resamples", "5"]
    assert run(*call, text=rows).code == 0
    assert len(engine.bodies) == 2
    ended = run(*call, text=gzip.compress(rows))
    assert (ended.code, ended.errors.partition(":")[0]) == (2, "standard input is compressed by gzip")


def test_an_answer_that_cannot_be_used_is_counted(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    async def cut(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(completion('{"cancer_type": "lu', "length"))

    data = dataset(tmp_path / "notes.jsonl", {}, {})
    engine.replies = [cut]
    out = tmp_path / "out"
    code, output, errors = run(
        "evaluate", data, "--url", url, "--concurrency", "1", "--out", str(out), "--resamples", "5"
    )
    assert code == 0, errors
    assert "valid: 1 of 2 answers: unusable 1" in output
    assert document(out)["scores"]["exact"]["micro"]["false_negative"] == 6


def test_a_note_that_cannot_be_sent_or_answered_is_reported_and_counted(
    url: str, engine: FakeEngine, tmp_path: Path
) -> None:
    async def cut(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(completion('{"cancer_type": "lu', "length"))

    data, out = tmp_path / "notes.jsonl", tmp_path / "out"
    texts = [NOTE, f"{NOTE} \ud83d", "x" * 100_001, f"{NOTE} 2"]
    data.write_text("".join(json.dumps({"text": text, "expected": GOLD}) + "\n" for text in texts), "utf-8-sig")
    engine.replies = [cut]
    arguments = ["--url", url, "--concurrency", "1", "--out", str(out), "--resamples", "5"]
    code, output, errors = run("evaluate", str(data), *arguments)
    assert code == 0, errors
    assert "valid: 1 of 4 answers" in output
    assert document(out)["validity"]["errors"] == {"refused": 1, "too_long_text": 1, "unusable": 1}
    assert (
        "3 of 4 note(s) without a usable answer, counted as invalid: "
        "line 1 (unusable), line 2 (refused), line 3 (too_long_text)\n"
    ) in errors


@pytest.mark.parametrize("name", ["evaluation.json", "evaluation.html"])
def test_a_link_that_leads_nowhere_is_reported_before_anything_is_asked(
    name: str, url: str, engine: FakeEngine, tmp_path: Path
) -> None:
    data, out = dataset(tmp_path / "notes.jsonl", {}), tmp_path / "out"
    out.mkdir()
    (out / name).symlink_to(tmp_path / "none" / "file")
    code, _, errors = run("evaluate", data, "--url", url, "--out", str(out))
    assert code == 2
    assert f"{out / name} leads to {tmp_path / 'none'}, which cannot be written to" in errors
    assert not engine.bodies


@pytest.mark.parametrize("name", ["evaluation.json", "evaluation.html"])
@pytest.mark.parametrize("kind", ["another file", "the data set", "a link to the data set", "a folder"])
def test_only_an_evaluation_is_replaced(kind: str, name: str, url: str, engine: FakeEngine, tmp_path: Path) -> None:
    path, data = tmp_path / name, tmp_path / ("notes.jsonl" if kind != "the data set" else name)
    dataset(data, {})
    if kind == "another file":
        path.write_text('{"format": "mine"}')
    elif kind == "a link to the data set":
        path.symlink_to(data)
    elif kind == "a folder":
        path.mkdir()
    before = None if path.is_dir() else path.read_bytes()
    code, _, errors = run("evaluate", str(data), "--url", url, "--out", str(tmp_path))
    assert code == 2
    assert f"{path} is " in errors
    assert "; give another folder" in errors
    assert before is None or path.read_bytes() == before
    assert not engine.bodies


def test_an_earlier_evaluation_is_replaced_and_keeps_its_modes(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    data, out = dataset(tmp_path / "notes.jsonl", {"stage": "III"}), tmp_path / "out"
    call = ["evaluate", data, "--url", url, "--out", str(out), "--resamples", "5"]
    assert run(*call, "--no-texts").code == 0
    page, figures = out / "evaluation.html", out / "evaluation.json"
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    page.chmod(0o644)
    figures.chmod(0o600)
    code, _, errors = run(*call)
    assert code == 0
    assert "Molecular testing" in page.read_text("utf-8")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (page, figures)] == [0o644, 0o600]
    assert "other users can read it: chmod 600 takes that from them" in errors


def test_a_result_is_there_also_where_nobody_takes_the_table(url: str, tmp_path: Path) -> None:
    class Closed(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    data, out = dataset(tmp_path / "notes.jsonl", {}), tmp_path / "out"
    with contextlib.redirect_stdout(Closed()):
        assert main(["evaluate", data, "--url", url, "--out", str(out), "--resamples", "5"]) == 1
    assert document(out)["validity"]["valid"] == 1


def test_the_output_of_extract_is_scored_and_that_of_other_notes_refused(
    url: str, engine: FakeEngine, tmp_path: Path
) -> None:
    data, results = dataset(tmp_path / "notes.jsonl", {}, {}), tmp_path / "results.jsonl"
    extract = ["extract", "--jsonl", data, "--text-field", "input", "--output", str(results), "--url", url]
    assert run(*extract).code == 0
    evaluate = ["evaluate", data, "--answers", str(results), "--resamples", "5"]
    code, output, errors = run(*evaluate)
    assert code == 0, errors
    assert "valid: 2 of 2 answers" in output
    lines = (tmp_path / "notes.jsonl").read_text("utf-8").splitlines()
    (tmp_path / "notes.jsonl").write_text("\n".join(reversed(lines)), "utf-8")
    code, _, errors = run(*evaluate)
    assert code == 2
    assert f"{results}:1: is the answer to another text than that of example" in errors
    assert f"{results}:2: is the answer to another text than that of example" in errors


def test_a_limited_rate_is_waited_for(
    servers: Background, engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.client.client._MOST_PAUSE", 0.05)
    data = dataset(tmp_path / "notes.jsonl", *[{}] * 12)
    with servers.gateway(rate_limit="10/second") as url:
        code, output, errors = run("evaluate", data, "--url", url, "--resamples", "5", "--retries", "100")
    assert code == 0, errors
    assert "valid: 12 of 12 answers" in output
    assert len(engine.bodies) == 12


def test_a_dead_gateway_is_one_line(unused_tcp_port: int, tmp_path: Path) -> None:
    data, out = dataset(tmp_path / "notes.jsonl", {}), tmp_path / "out"
    url = f"http://127.0.0.1:{unused_tcp_port}"
    code, output, errors = run("evaluate", data, "--url", url, "--out", str(out))
    assert code == 1
    assert errors.splitlines() == [
        f"{url} cannot be reached: ClientConnectorError; is the gateway running, and is --url right?",
        "nothing was written",
    ]
    assert not output
    assert not out.exists()


def test_an_engine_that_goes_away_ends_the_run(servers: Background, engine: FakeEngine, tmp_path: Path) -> None:
    async def gone(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"message": "x"}}, status=503)

    engine.handler = gone
    data, out = dataset(tmp_path / "notes.jsonl", *[{}] * 3), tmp_path / "out"
    with servers.gateway() as url:  # of its own, as its circuit opens
        code, output, errors = run("evaluate", data, "--url", url, "--out", str(out), "--retries", "0")
    assert code == 1
    assert "503: " in errors
    assert "nothing was written" in errors
    assert not output
    assert not out.exists()


def test_the_key_is_needed_and_never_an_argument(servers: Background, engine: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(line("ward", "right"))
    (tmp_path / "key").write_text("right\n")
    data = dataset(tmp_path / "notes.jsonl", {})
    with servers.gateway(auth="required", api_keys_file=tmp_path / "keys") as url:
        call = ["evaluate", data, "--url", url, "--resamples", "5"]
        code, _, errors = run(*call)
        assert code == 1
        assert "give the key in GATEWAY_API_KEY or with --key-file" in errors
        assert run(*call, GATEWAY_API_KEY="right").code == 0
        assert run(*call, "--key-file", str(tmp_path / "key")).code == 0


def test_another_task_of_the_gateway_can_be_named(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    expected = {"intent": "get_weather", "location": "Delhi", "datetime": "now"}
    row = {"text": "What's the weather like in Delhi right now?", "expected": expected}
    (tmp_path / "notes.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    engine.answers["assistant-intent"] = json.dumps(expected)
    call = ["evaluate", str(tmp_path / "notes.jsonl"), "--url", url, "--resamples", "5"]
    code, output, errors = run(*call, "--task", "assistant_intent")
    assert code == 0, errors
    assert "right in all fields: exact 1" in output
    code, _, errors = run(*call, "--task", "nothing")
    assert code == 1
    assert "the gateway has no task nothing; it has assistant_intent, medical_ie" in errors


def test_a_bad_data_set_stops_everything_before_anything_is_asked(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    data = tmp_path / "notes.jsonl"
    data.write_text('{"input": "x", "output": {}}\nnonsense\n', "utf-8")
    code, output, errors = run("evaluate", str(data), "--url", url, "--out", str(tmp_path / "out"))
    assert code == 2
    assert f"{data}:1: the expected answer lacks cancer_type" in errors
    assert f"{data}:2: is not JSON" in errors
    assert not output
    assert not engine.bodies
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_reported_before_anything_is_asked(
    url: str, engine: FakeEngine, tmp_path: Path
) -> None:
    data = dataset(tmp_path / "notes.jsonl", {})
    code, _, errors = run("evaluate", data, "--url", url, "--out", f"{data}/below")
    assert code == 2
    assert "is no folder that can be written to" in errors
    assert not engine.bodies


def test_answers_from_a_file_and_a_comparison(tmp_path: Path) -> None:
    data = dataset(tmp_path / "notes.jsonl", *[{}] * 30)
    for name, given in (("good", GOLD), ("bad", GOLD | {"stage": None})):
        answers = tmp_path / f"{name}.jsonl"
        answers.write_text(30 * (json.dumps({"raw_output": json.dumps(given)}) + "\n"), "utf-8")
        code, _, errors = run(
            "evaluate", data, "--answers", str(answers), "--out", str(tmp_path / name), "--resamples", "5"
        )
        assert code == 0, errors
    good, bad = (str(tmp_path / name / "evaluation.json") for name in ("good", "bad"))
    compare = ["compare", good, bad, "--resamples", "500"]
    code, output, _ = run(*compare)
    assert code == 0
    assert "B against A: worse" in output
    code, table, _ = run(*compare, "--fail-if-worse")
    assert (code, table) == (3, output)
    code, verdict, _ = run(*compare, "--fail-if-worse", "--json")
    assert (code, json.loads(verdict)["worse"]) == (3, True)
    assert run("compare", bad, good, "--fail-if-worse", "--resamples", "500").code == 0
    code, output, _ = run(*compare, "--json", "--rule", "items")
    result = json.loads(output)
    assert (result["verdict"], result["worse"], result["notes"], result["rule"]) == ("worse", True, 30, "items")
    stage = next(one for one in result["differences"] if one["measure"] == "items/stage/f1")
    assert stage | {"p": None} == {
        "measure": "items/stage/f1", "first": 1.0, "second": 0.0, "difference": -1.0, "low": -1.0, "high": -1.0,
        "p": None, "real": True,
    }  # fmt: skip


def test_runs_that_cannot_be_compared_are_refused_with_the_reason(tmp_path: Path) -> None:
    for name, count in (("one", 1), ("two", 2)):
        data = dataset(tmp_path / f"{name}.jsonl", *[{}] * count)
        (tmp_path / "answers").write_text(count * (json.dumps({"answer": GOLD}) + "\n"), "utf-8")
        folder = str(tmp_path / name)
        call = ["evaluate", data, "--answers", str(tmp_path / "answers"), "--out", folder, "--resamples", "5"]
        assert run(*call).code == 0
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
            code, output, errors = run("compare", one, path, *options)
            assert (code, output) == (2, "")
            assert problem in errors


def test_ctrl_c_writes_nothing_and_says_so(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    async def interrupt(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        os.kill(os.getpid(), signal.SIGINT)
        return web.json_response({}, status=502)

    engine.handler = interrupt
    data, out = dataset(tmp_path / "notes.jsonl", {}), tmp_path / "out"
    code, output, errors = run("evaluate", data, "--url", url, "--out", str(out))
    assert code == 130
    assert "interrupted: nothing was written" in errors
    assert not output
    assert not out.exists()


@pytest.mark.parametrize("missing", _EVALUATION_PACKAGES)
@pytest.mark.parametrize("command", [["evaluate", "notes.jsonl"], ["compare", "a.json", "b.json"]])
def test_without_the_extra_the_commands_say_what_to_install(
    command: list[str], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    code, output, errors = run(*command)
    assert (code, output) == (2, "")
    assert f"need {missing}: install the extra with `poetry install --extras evaluation`" in errors
    assert f"pip install {' '.join(_EVALUATION_PACKAGES)}" in errors


def test_the_gateways_image_says_that_it_has_no_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gateway.evaluation", None)
    code, _, errors = run("compare", "a.json", "b.json")
    assert code == 2
    assert "the gateway's image has no evaluation: run evaluate and compare from a checkout" in errors


def test_the_extra_has_what_the_commands_ask_for() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[3] / "pyproject.toml").read_text("utf-8"))["project"]
    extra = {requirement.split()[0] for requirement in project["optional-dependencies"]["evaluation"]}
    assert extra == set(_EVALUATION_PACKAGES)


@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_help_lists_the_exit_codes(command: str) -> None:
    code, output, _ = run(command, "--help")
    assert code == 0
    assert "Exit codes" in output
