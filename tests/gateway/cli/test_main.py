"""The command line: extract against a gateway, and serve, as a process, with its drain."""

import asyncio
import contextlib
import io
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
import pytest

from gateway.cli.main import main
from tests.fakes.engine.scripted import GOLD, FakeEngine
from tests.gateway.access.test_keys import line
from tests.gateway.conftest import NOTE, Gateway, StartGateway, free_port


async def start(*arguments: str, **environment: str) -> Process:
    """`python -m gateway` with these arguments and no GATEWAY_ variable but those given."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=plain | environment
    )


async def run(*arguments: str, text: str = "", **environment: str) -> tuple[int, str, str]:
    """Return the exit code and what was written; in a thread, which starts faster than a process."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    output, errors = io.StringIO(), io.StringIO()

    def call() -> int:
        with (
            mock.patch.dict(os.environ, plain | environment, clear=True),
            mock.patch("sys.stdin", io.StringIO(text)),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
        ):
            try:
                return main(arguments)
            except SystemExit as ended:  # argparse's way to refuse
                return int(ended.code or 0)

    code = await asyncio.wait_for(asyncio.to_thread(call), 30)
    return code, output.getvalue(), errors.getvalue()


async def test_extract_takes_an_argument_a_file_or_standard_input(
    gateway: Gateway, engine: FakeEngine, tmp_path: Path
) -> None:
    path = tmp_path / "note.txt"
    path.write_text(NOTE)
    for arguments, text in ((["extract", NOTE], ""), (["extract", "--file", str(path)], ""), (["extract", "-"], NOTE)):
        code, output, _ = await run(*arguments, "--url", gateway.url, text=text)
        assert code == 0
        assert json.loads(output)["stage"] == "IV"
    assert len({body["messages"][1]["content"] for body in engine.bodies}) == 1


async def test_the_key_comes_from_a_file_or_the_environment(start_gateway: StartGateway, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(line("ward", "right"))
    (tmp_path / "key").write_text("right\n")
    gateway = await start_gateway(auth="required", api_keys_file=tmp_path / "keys")
    assert (await run("extract", NOTE, GATEWAY_URL=gateway.url, GATEWAY_API_KEY="right"))[0] == 0
    assert (await run("extract", NOTE, "--key-file", str(tmp_path / "key"), GATEWAY_URL=gateway.url))[0] == 0
    code, _, errors = await run("extract", NOTE, GATEWAY_URL=gateway.url)
    assert code == 1
    assert errors.startswith("401: send a key")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["extract"], "one of the arguments TEXT --file --jsonl is required"),
        (["extract", "--jsonl", "a.jsonl"], "--jsonl and --output go together"),
        (["extract", "--file", "/nowhere"], "No such file"),
        (["extract", "--jsonl", "/nowhere", "--output", "/tmp/x"], "/nowhere: cannot be read: No such file"),
        (["extract", "x", "--jobs", "0"], "must be 1 or more"),
        (["nothing"], "invalid choice"),
    ],
)
async def test_a_wrong_command_line_exits_with_code_2_and_a_reason(arguments: list[str], message: str) -> None:
    code, _, errors = await run(*arguments)
    assert code == 2
    assert message in errors


async def test_an_unreachable_gateway_is_reported(unused_tcp_port: int) -> None:
    code, _, errors = await run("extract", "x", "--retries", "0", "--url", f"http://127.0.0.1:{unused_tcp_port}")
    assert code == 1
    assert "cannot be reached" in errors


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_extracting_a_file_of_texts_is_resumable(gateway: Gateway, engine: FakeEngine, tmp_path: Path) -> None:
    notes, results = tmp_path / "notes.jsonl", tmp_path / "results.jsonl"
    write(notes, [{"id": f"n{number}", "input": f"{NOTE} {number}"} for number in range(12)])
    call = ["extract", "--jsonl", str(notes), "--output", str(results), "--text-field", "input", "--url", gateway.url]
    engine.answer = "nonsense"
    code, _, errors = await run(*call, "--jobs", "3")
    assert code == 1
    assert "12 failed" in errors
    engine.answer = json.dumps(GOLD)
    code, _, errors = await run(*call, "--jobs", "3")
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
    code, _, errors = await run(*call)
    assert code == 0
    assert "2 extracted, 10 were done before" in errors
    assert len(engine.bodies) == asked + 2
    assert sorted(row["index"] for row in rows(results)) == list(range(12))


async def test_a_line_separator_in_a_text_ends_no_line(gateway: Gateway, engine: FakeEngine, tmp_path: Path) -> None:
    notes, results = tmp_path / "notes.jsonl", tmp_path / "results.jsonl"
    notes.write_text(json.dumps({"text": f"{NOTE}\u2028\x85"}, ensure_ascii=False) + "\n", "utf-8")
    engine.answer = json.dumps(GOLD | {"stage": "IV\u2028A"})
    call = ["extract", "--jsonl", str(notes), "--output", str(results), "--url", gateway.url]
    for message in ("1 extracted", "0 extracted, 1 were done before"):
        code, _, errors = await run(*call)
        assert code == 0, errors
        assert message in errors


async def test_a_busy_gateway_is_waited_for(start_gateway: StartGateway, engine: FakeEngine, tmp_path: Path) -> None:
    gateway = await start_gateway(max_concurrency=1, max_queue=1)
    engine.delay = 0.05
    notes, results = tmp_path / "notes.jsonl", tmp_path / "results.jsonl"
    write(notes, [{"text": NOTE}] * 6)
    arguments = ["--jsonl", str(notes), "--output", str(results), "--jobs", "4", "--url", gateway.url]
    code, _, errors = await run("extract", *arguments)
    assert code == 0, errors


async def test_serve_drains_at_sigterm(engine: FakeEngine) -> None:
    port = free_port()
    process = await start(
        "serve", GATEWAY_AUTH="off", GATEWAY_PORT=str(port), GATEWAY_ENGINE_URL=engine.url, GATEWAY_DRAIN_TIMEOUT="5"
    )
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:
        async with asyncio.timeout(20):
            while True:
                try:
                    async with session.get(url + "/live") as response:
                        assert response.status == 200
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.1)

        async def extract() -> int:
            async with session.post(url + "/api/v1/extract", json={"text": NOTE}) as response:
                await response.read()
                return response.status

        assert await extract() == 200
        engine.delay = 1.0
        running = asyncio.create_task(extract())
        await asyncio.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        assert await extract() == 503
        async with session.get(url + "/health") as response:
            assert response.status == 503
        assert await running == 200
    _, errors = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 0
    assert '"drained"' in errors.decode()


async def test_a_taken_port_is_an_error(gateway: Gateway) -> None:
    process = await start("serve", GATEWAY_AUTH="off", GATEWAY_PORT=gateway.url.rpartition(":")[2])
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert b"address already in use" in errors


async def test_the_module_runs_and_every_command_has_help() -> None:
    process = await start("--help")
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0
    assert b"python -m gateway" in output
    for command in (["serve"], ["extract"], ["keys"], ["keys", "create"]):
        code, output_text, _ = await run(*command, "--help")
        assert code == 0
        assert "usage:" in output_text
