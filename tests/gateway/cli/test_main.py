"""The command line as a whole: its arguments, its standard output, and serve as a process, with its drain."""

import argparse
import asyncio
import contextlib
import errno
import io
import os
import re
import signal
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator
from functools import partial
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.cli.main import _EVALUATION_PACKAGES, _parser, main
from gateway.observability.logs import configure_logging
from tests.fakes.engine.scripted import FakeEngine, completion
from tests.gateway.command_line import Background, run
from tests.gateway.conftest import NOTE, free_port


@pytest.fixture
def engine(servers: Background) -> FakeEngine:
    """Return the engine as it was at its start."""
    return servers.fresh_engine()


async def start(*arguments: str, **environment: str) -> Process:
    """Start `python -m gateway` with these arguments and no GATEWAY_ variable but those given."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=plain | environment
    )


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
def test_a_wrong_command_line_exits_with_code_2_and_a_reason(arguments: list[str], message: str) -> None:
    code, _, errors = run(*arguments)
    assert code == 2
    assert message in errors


class Broken(io.StringIO):
    """A standard output that fails."""

    def __init__(self, error: OSError) -> None:
        """Keep what it fails by."""
        super().__init__()
        self.error = error

    def flush(self) -> None:
        """Fail."""
        raise self.error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left"), "standard output cannot be written: No space left\n"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), ""),  # as when `head` has seen enough
    ],
)
def test_a_standard_output_that_fails_is_no_traceback_and_shows_no_key(
    error: OSError, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.redirect_stdout(Broken(error)):
        assert main(["keys", "create", "ward"]) == 1
    assert capsys.readouterr().err == message


async def test_serve_drains_at_sigterm_without_the_evaluation_loaded(servers: Background, engine: FakeEngine) -> None:
    """The one test of a real process; its standard error lists each module that it imports."""
    port = free_port()
    process = await start(
        "serve",
        GATEWAY_AUTH="off",
        GATEWAY_PORT=str(port),
        GATEWAY_ENGINE_URL=engine.url,
        GATEWAY_DRAIN_TIMEOUT="30",
        PYTHONPROFILEIMPORTTIME="1",
    )
    reading = asyncio.create_task(process.communicate())
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:
        async with asyncio.timeout(60):
            while True:
                try:
                    async with session.get(url + "/live") as response:
                        assert response.status == 200
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)

        async def extract() -> int:
            async with session.post(url + "/api/v1/extract", json={"text": NOTE}) as response:
                await response.read()
                return response.status

        release = threading.Event()

        async def held(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
            await asyncio.to_thread(release.wait, 60)
            return web.json_response(completion(engine.answer))

        assert await extract() == 200
        engine.handler = held
        running = asyncio.create_task(extract())
        async with asyncio.timeout(60):
            while len(engine.bodies) < 2:  # noqa: ASYNC110 - what is watched has no event
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            while (await health(session, url)) == 200:  # noqa: ASYNC110 - what is watched has no event
                await asyncio.sleep(0.01)
        assert await extract() == 503
        release.set()
        assert await running == 200
    _, errors = await asyncio.wait_for(reading, 60)
    assert process.returncode == 0
    assert '"drained"' in errors.decode()
    loaded = re.findall(r"^import time:.*\| +(\S+)$", errors.decode(), re.MULTILINE)
    assert "gateway.app" in loaded
    extra = ("gateway.evaluation", *_EVALUATION_PACKAGES)
    assert not [name for name in loaded if name in extra or name.startswith(tuple(f"{each}." for each in extra))]


async def health(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url + "/health") as response:
        return response.status


def test_a_taken_port_is_an_error(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    configure = partial(configure_logging, stream=log)
    monkeypatch.setattr("gateway.observability.logs.configure_logging", configure)
    monkeypatch.setattr("gc.freeze", lambda: None)  # this process goes on
    code, _, _ = run("serve", GATEWAY_AUTH="off", GATEWAY_PORT=url.rpartition(":")[2])
    assert code == 1
    assert "address already in use" in log.getvalue()


@pytest.mark.parametrize(
    "command", [[], ["serve"], ["extract"], ["evaluate"], ["compare"], ["keys"], ["keys", "create"]], ids=" ".join
)
def test_every_command_has_help(command: list[str]) -> None:
    code, output, _ = run(*command, "--help")
    assert code == 0
    assert "usage: python -m gateway" in output


def test_every_argument_has_help() -> None:
    def without_help(parser: argparse.ArgumentParser) -> Iterator[str]:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for command in action.choices.values():
                    yield from without_help(command)
            elif not action.help:
                yield f"{parser.prog} {action.dest}"

    assert list(without_help(_parser())) == []
