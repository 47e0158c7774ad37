"""`python -m gateway extract`: one text or a file of them, against a gateway before a fake engine."""

import gzip
import json
import os
import signal
import stat
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.fakes.engine.scripted import GOLD, FakeEngine
from tests.gateway.access.test_keys import line
from tests.gateway.command_line import Background, run
from tests.gateway.conftest import NOTE


@pytest.fixture
def engine(servers: Background) -> FakeEngine:
    """Return the engine as it was at its start."""
    return servers.fresh_engine()


def test_extract_takes_an_argument_a_file_or_standard_input(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text(NOTE)
    for arguments, text in ((["extract", NOTE], ""), (["extract", "--file", str(path)], ""), (["extract", "-"], NOTE)):
        code, output, _ = run(*arguments, "--url", url, text=text)
        assert code == 0
        assert json.loads(output)["stage"] == "IV"
    assert len({body["messages"][1]["content"] for body in engine.bodies}) == 1


def test_the_key_comes_from_a_file_or_the_environment(servers: Background, engine: FakeEngine, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(line("ward", "right"))
    (tmp_path / "key").write_text("\ufeff right \r\n", "utf-8")
    with servers.gateway(auth="required", api_keys_file=tmp_path / "keys") as url:
        call = ["extract", NOTE, "--url", url]
        assert run(*call, GATEWAY_API_KEY="right").code == 0
        assert run(*call, GATEWAY_API_KEY=" right\n").code == 0
        assert run(*call, "--key-file", str(tmp_path / "key")).code == 0
        assert run(*call, GATEWAY_API_KEY_FILE=str(tmp_path / "key")).code == 0
        code, _, errors = run(*call)
    assert code == 1
    assert errors.startswith("401: send a key")


def test_times_are_resolved_against_a_moment_and_a_zone(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    engine.answers["assistant-intent"] = '{"intent": "list_events", "datetime": "tomorrow"}'
    call = ("--task", "assistant_intent", "--url", url, "--resolve-times")
    code, output, _ = run("extract", "What is on tomorrow?", *call, "2026-11-28T09:00:00Z", "Asia/Tokyo")
    assert (code, json.loads(output)["resolved"]) == (0, {"datetime": "2026-11-29"})
    code, _, errors = run("extract", "What is on tomorrow?", *call, "2026-11-28T09:00:00Z", "Asia/Edo")
    assert (code, errors.startswith("422: ")) == (1, True)
    write(tmp_path / "in.jsonl", [{"text": "What is on tomorrow?"}])
    many = ("extract", "--jsonl", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out.jsonl"), *call)
    assert run(*many, "2026-11-28T09:00:00Z", "Asia/Tokyo").code == 0
    code, _, errors = run(*many, "2026-11-28T16:00:00Z", "Asia/Tokyo")
    assert (code, "--resolve-times was" in errors) == (2, True)


def test_an_unreachable_gateway_is_reported(unused_tcp_port: int) -> None:
    code, _, errors = run("extract", "x", "--retries", "0", "--url", f"http://127.0.0.1:{unused_tcp_port}")
    assert code == 1
    assert "cannot be reached" in errors


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_extracting_a_file_of_texts_is_resumable(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    notes, results = tmp_path / "notes.jsonl", tmp_path / "results.jsonl"
    write(notes, [{"id": f"n{number}", "input": f"{NOTE} {number}"} for number in range(12)])
    call = ["extract", "--jsonl", str(notes), "--output", str(results), "--text-field", "input", "--url", url]
    engine.answer = "nonsense"
    code, _, errors = run(*call, "--jobs", "3")
    assert code == 1
    assert "12 failed" in errors
    engine.answer = json.dumps(GOLD)
    code, _, errors = run(*call, "--jobs", "3")
    assert code == 0
    assert "12 extracted" in errors
    assert "12/12" in errors  # the progress bar
    found = rows(results)
    assert sorted(row["index"] for row in found) == list(range(12))
    assert {row["status"] for row in found} == {200}
    # An interrupted run: the last line is cut, and one text has changed since.
    lines = results.read_text().splitlines(keepends=True)
    results.write_text("".join(lines[:-1]) + lines[-1][:40])
    changed = [
        {"id": f"n{number}", "input": f"{NOTE} {number if number != found[0]['index'] else 'new'}"}
        for number in range(12)
    ]
    write(notes, changed)
    asked = len(engine.bodies)
    code, _, errors = run(*call)
    assert code == 0
    assert "2 extracted, 10 were done before" in errors
    assert len(engine.bodies) == asked + 2
    assert sorted(row["index"] for row in rows(results)) == list(range(12))


def test_a_line_separator_in_a_text_ends_no_line(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    notes, results = tmp_path / "notes.jsonl", tmp_path / "results.jsonl"
    notes.write_text(json.dumps({"text": f"{NOTE}\u2028\x85"}, ensure_ascii=False) + "\n", "utf-8")
    engine.answer = json.dumps(GOLD | {"stage": "IV\u2028A"})
    call = ["extract", "--jsonl", str(notes), "--output", str(results), "--url", url]
    for message in ("1 extracted", "0 extracted, 1 were done before"):
        code, _, errors = run(*call)
        assert code == 0, errors
        assert message in errors


def test_a_busy_gateway_is_waited_for(
    servers: Background, engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.client.client._MOST_PAUSE", 0.02)
    engine.delay = 0.02
    notes, results = tmp_path / "notes.jsonl", tmp_path / "results.jsonl"
    write(notes, [{"text": NOTE}] * 6)
    arguments = ["--jsonl", str(notes), "--output", str(results), "--jobs", "4", "--retries", "500"]
    with servers.gateway(max_concurrency=1, max_queue=1) as url:
        code, _, errors = run("extract", *arguments, "--url", url)
    assert code == 0, errors
    assert "6 extracted" in errors


@pytest.mark.parametrize("by", ["--file", "-"])
@pytest.mark.parametrize("start", ["", "\ufeff"], ids=["plain", "with a byte order mark"])
def test_offsets_are_those_of_the_file_whatever_its_line_ends(by: str, start: str, url: str, tmp_path: Path) -> None:
    text = "Line one\r\nLine two\rLine three\n\r\nStage IV lung adenocarcinoma 😀\r\n"
    path = tmp_path / "note.txt"
    path.write_bytes((start + text).encode())
    source = ["--file", str(path)] if by == "--file" else ["-"]
    code, output, errors = run("extract", *source, "--url", url, text=path.read_bytes())
    assert code == 0, errors
    [span] = json.loads(output)["evidence"]["cancer_type"]
    assert text[span["start"] : span["end"]] == span["text"] == "lung adenocarcinoma"


def test_what_is_not_utf_8_is_refused_with_its_place_and_nothing_is_asked(
    url: str, engine: FakeEngine, tmp_path: Path
) -> None:
    raw = "melanoma, caf\xe9".encode("latin-1")
    (tmp_path / "note").write_bytes(raw)
    problem = "is not UTF-8: byte 0xe9 at offset 13; convert it to UTF-8\n"
    assert run("extract", "--file", str(tmp_path / "note"), "--url", url) == (2, "", f"{tmp_path}/note {problem}")
    assert run("extract", "-", "--url", url, text=raw) == (2, "", f"standard input {problem}")
    assert run("extract", os.fsdecode(raw), "--url", url) == (2, "", f"the argument text {problem}")
    code, _, errors = run("extract", "x", "--model", "b\udce9", "--url", url)
    assert (code, errors) == (2, "the argument model is not UTF-8: byte 0xe9 at offset 1; convert it to UTF-8\n")
    assert not engine.bodies


@pytest.mark.parametrize("key", ["secret\nsecond", "sec\tret", "secrét"])
def test_a_key_that_fits_in_no_header_is_refused_without_showing_it(key: str, url: str) -> None:
    code, output, errors = run("extract", "x", "--url", url, GATEWAY_API_KEY=key)
    assert (code, output) == (2, "")
    assert errors.startswith("GATEWAY_API_KEY: character ")
    assert "sec" not in errors


BAD = {
    b'{"text": "melanoma note 3\\ud83d", "id": "half"}': "half of a character (a lone surrogate) at position 15",
    b'{"text": 3}': "has no text in 'text'; --text-field names another member",
    b'{"text": " "}': "the text in 'text' is blank",
    b"not JSON": "is not JSON: Expecting value, column 1",
    b"[]": "is not a JSON object",
    b'{"text": "caf\xe9"}': "is not UTF-8: byte 0xe9 at offset 13",
    b'{"text": "' + b"x" * 100_001 + b'"}': "413: ",
    b'{"text": "melanoma", "id": 1e999}': "has a number that is too large",
}


def test_a_bad_line_is_its_own_failure(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    notes, results = tmp_path / "notes.jsonl", tmp_path / "results.jsonl"
    good = [json.dumps({"text": NOTE, "id": "x\ud83d"}).encode(), json.dumps({"text": f"{NOTE} 2"}).encode()]
    notes.write_bytes(b"\n".join([good[0], *BAD, good[1]]) + b"\n")
    code, output, errors = run("extract", "--jsonl", str(notes), "--output", str(results), "--url", url)
    assert (code, output) == (1, "")
    found = {row["index"]: row for row in rows(results)}
    assert sorted(found) == list(range(len(BAD) + 2))
    assert [found[at]["status"] for at in (0, len(BAD) + 1)] == [200, 200]
    assert found[0]["id"] == "x\ud83d"
    for at, reason in enumerate(BAD.values(), start=1):
        assert reason in found[at]["error"]
        assert found[at]["status"] in (413, 422)
    assert "line 2: the text has half of a character" in errors
    assert f"... and 3 more, each with its reason in {results}" in errors
    assert "2 extracted, 8 failed and will fail again as they are: see the reasons" in errors
    assert "melanoma" not in errors
    assert len(engine.bodies) == 2


@pytest.mark.slow
def test_the_same_command_is_advised_only_where_it_may_help(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    notes = tmp_path / "notes.jsonl"
    write(notes, [{"text": NOTE}, {"text": ""}, {"text": f"{NOTE} 2"}])
    engine.answer = "nonsense"
    call = ["extract", "--jsonl", str(notes), "--output", str(tmp_path / "results.jsonl"), "--url", url]
    code, _, errors = run(*call)
    assert code == 1
    assert (
        "0 extracted, 3 failed: run the same command again to try 2 of them again; "
        "the other 1 will fail again as they are: see the reasons"
    ) in errors
    engine.answer = json.dumps(GOLD)
    assert "2 extracted, 1 failed and will fail again as they are" in run(*call).errors
    assert "0 extracted, 2 were done before, 1 failed and will" in run(*call).errors


@pytest.mark.parametrize("name", ["notes.jsonl", "./notes.jsonl", "soft", "hard"])
def test_an_output_that_is_the_input_is_refused(
    name: str, url: str, engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("notes.jsonl"), [{"text": NOTE}])
    Path("soft").symlink_to("notes.jsonl")
    Path("hard").hardlink_to("notes.jsonl")
    code, _, errors = run("extract", "--jsonl", "notes.jsonl", "--output", name, "--url", url)
    assert code == 2
    assert "notes.jsonl, which the command reads; give the results another file" in errors
    assert rows(tmp_path / "notes.jsonl") == [{"text": NOTE}]
    assert not engine.bodies


def test_an_output_that_is_the_key_or_another_file_is_refused(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    notes, labels, key = tmp_path / "notes.jsonl", tmp_path / "labels.csv", tmp_path / "key"
    write(notes, [{"text": NOTE}])
    labels.write_text("id,label\n1,yes\n")
    key.write_text("secret\n")
    call = ["extract", "--jsonl", str(notes), "--url", url, "--key-file", str(key)]
    code, _, errors = run(*call, "--output", str(labels))
    assert code == 2
    assert "is not a file of results (line 1 is not JSON" in errors
    assert run(*call, "--output", str(key)).code == 2
    assert (labels.read_text(), key.read_text()) == ("id,label\n1,yes\n", "secret\n")
    assert not engine.bodies


def test_results_go_to_standard_output(url: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes.jsonl"
    write(notes, [{"text": NOTE}, {"text": f"{NOTE} 2"}])
    code, output, errors = run("extract", "--jsonl", str(notes), "--output", "-", "--url", url)
    assert code == 0, errors
    assert sorted(json.loads(row)["index"] for row in output.splitlines()) == [0, 1]
    assert "2 extracted" in errors
    # a shell's redirection of it into a file can be gone on with
    (tmp_path / "results").write_text(output)
    again = run("extract", "--jsonl", str(notes), "--output", str(tmp_path / "results"), "--url", url)
    assert "0 extracted, 2 were done before" in again.errors


def test_lines_come_from_standard_input(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    rows = "".join(json.dumps({"text": f"{NOTE} {number}"}) + "\n" for number in range(2))
    results = tmp_path / "results.jsonl"
    call = ["extract", "--jsonl", "-", "--output", str(results), "--url", url]
    assert "2 extracted" in run(*call, text=rows).errors
    assert "1 extracted, 2 were done before" in run(*call, text=rows + json.dumps({"text": NOTE})).errors
    ended = run(*call, text=gzip.compress(rows.encode()))
    assert (ended.code, ended.errors.partition(":")[0]) == (2, "standard input is compressed by gzip")
    assert json.loads(run("extract", "--file", "-", "--url", url, text=NOTE).output)["stage"] == "IV"
    with results.open("rb") as own:
        command = [sys.executable, "-m", "gateway", *call]
        ended_too = subprocess.run(command, stdin=own, capture_output=True, text=True, check=False)
    assert (ended_too.returncode, "which the command reads" in ended_too.stderr) == (2, True)
    assert len(engine.bodies) == 4


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_killed_run_keeps_what_is_done_and_a_second_one_is_refused(
    number: signal.Signals, url: str, engine: FakeEngine, tmp_path: Path
) -> None:
    notes, results = tmp_path / "notes.jsonl", tmp_path / "results.jsonl"
    write(notes, [{"text": f"{NOTE} {number}"} for number in range(40)])
    call = ["extract", "--jsonl", str(notes), "--output", str(results), "--jobs", "1", "--url", url]
    # The first run is still at work when the second one was refused, on a slow machine too.
    engine.delay = 0.6
    command = [sys.executable, "-m", "gateway", *call]
    # As a terminal has it: what runs under nohup, as these tests may, ignores SIGHUP and has its children do so.
    default = partial(signal.signal, number, signal.SIG_DFL)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, preexec_fn=default) as process:
        while not (results.exists() and results.read_bytes().count(b"\n") > 2):
            time.sleep(0.05)
        second = run(*call)
        process.send_signal(number)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert (second.code, "another run is writing to it" in second.errors) == (2, True)
    done = results.read_bytes().count(b"\n")
    engine.delay = 0
    assert f"{40 - done} extracted, {done} were done before" in run(*call).errors


@pytest.mark.slow
def test_results_are_private_and_a_resumed_run_keeps_their_mode(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    notes, results = tmp_path / "notes.jsonl", tmp_path / "results.jsonl"
    write(notes, [{"text": NOTE}])
    call = ["extract", "--jsonl", str(notes), "--output", str(results), "--url", url]
    engine.answer = "nonsense"
    assert run(*call).code == 1
    assert stat.S_IMODE(results.stat().st_mode) == 0o600
    results.chmod(0o640)
    engine.answer = json.dumps(GOLD)
    assert run(*call).code == 0
    assert stat.S_IMODE(results.stat().st_mode) == 0o640


def test_other_options_are_refused_with_what_differs(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    notes, results = tmp_path / "notes.jsonl", tmp_path / "results.jsonl"
    write(notes, [{"text": NOTE}])
    call = ["extract", "--jsonl", str(notes), "--output", str(results), "--url", url]
    assert run(*call, "--max-tokens", "500").code == 0
    before = results.read_bytes()
    code, _, errors = run(*call, "--task", "assistant_intent", "--grounding", "strict", "--max-tokens", "500")
    assert code == 2
    assert errors == (
        f"--output {results} holds results of other options: --task was not given and is assistant_intent; "
        "--grounding was not given and is strict; give another --output, or the options of then to go on with it\n"
    )
    assert results.read_bytes() == before
    assert len(engine.bodies) == 1


def test_ctrl_c_keeps_what_is_done(url: str, engine: FakeEngine, tmp_path: Path) -> None:
    async def interrupt(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        os.kill(os.getpid(), signal.SIGINT)
        return web.json_response({}, status=502)

    notes, results = tmp_path / "notes.jsonl", tmp_path / "results.jsonl"
    write(notes, [{"text": f"{NOTE} {number}"} for number in range(4)])
    call = ["extract", "--jsonl", str(notes), "--output", str(results), "--url", url]
    assert run(*call).code == 0
    results.write_text("".join(results.read_text().splitlines(keepends=True)[:2]))
    engine.handler = interrupt
    code, _, errors = run(*call, "--jobs", "1")  # so that there is one signal
    assert code == 130
    assert "interrupted; what is done is kept: run the same command again to go on" in errors
    engine.handler = None
    assert "2 extracted, 2 were done before" in run(*call).errors


def test_a_full_disk_is_a_sentence(url: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes.jsonl"
    write(notes, [{"text": NOTE}])
    code, _, errors = run("extract", "--jsonl", str(notes), "--output", "/dev/full", "--url", url)
    assert code == 1
    assert errors.endswith("--output /dev/full: cannot be written: No space left on device\n")


@pytest.mark.slow
@pytest.mark.parametrize("closed", [{1}, {2}, {0, 1, 2}])
def test_a_closed_standard_stream_is_no_traceback_and_gets_no_file(closed: set[int], url: str, tmp_path: Path) -> None:
    notes, results = tmp_path / "notes.jsonl", tmp_path / "results.jsonl"
    write(notes, [{"text": NOTE}])

    def ends(*arguments: str) -> tuple[int, bytes]:
        redirections = " ".join(f"{number}>&-" for number in closed)
        shell = ["sh", "-c", f'"$@" {redirections}', "sh", sys.executable, "-m", "gateway", "extract", "--url", url]
        done = subprocess.run([*shell, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        return done.returncode, done.stderr

    code, errors = ends("--jsonl", str(notes), "--output", str(results))
    assert (code, b"Traceback" in errors) == (0, False)
    assert [row["status"] for row in rows(results)] == [200]
    code, errors = ends(NOTE)
    assert code == (1 if 1 in closed else 0)
    if 2 not in closed:
        assert errors == b"standard output cannot be written: Bad file descriptor\n"
