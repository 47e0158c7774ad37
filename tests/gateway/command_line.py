"""Commands in the test's own process and thread, against gateways that run in another one.

A process takes a second to start; a call of `main` takes none. Only what is about processes starts one.
"""

import asyncio
import io
import os
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import fields
from typing import Any, NamedTuple
from unittest import mock

from gateway.cli.main import main
from gateway.settings import Settings
from tests.fakes.engine.scripted import FakeEngine, fake_engine
from tests.gateway.conftest import running


class Ended(NamedTuple):
    """How a command ended: its exit code and what it wrote."""

    code: int
    output: str
    errors: str


def run(*arguments: str, text: str | bytes = b"", **environment: str) -> Ended:
    """Run a command with this standard input and no GATEWAY_ variable but those given."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    given = io.BytesIO(text.encode() if isinstance(text, str) else text)
    written = io.BytesIO()
    output = io.TextIOWrapper(written, "utf-8", write_through=True)
    errors = io.StringIO()
    with (
        mock.patch.dict(os.environ, plain | environment, clear=True),
        mock.patch("sys.stdin", io.TextIOWrapper(given, "utf-8")),
        redirect_stdout(output),
        redirect_stderr(errors),
    ):
        try:
            code = main(arguments)
        except SystemExit as ended:  # argparse's way to refuse
            code = int(ended.code or 0)
    return Ended(code, written.getvalue().decode(), errors.getvalue())


class Background:
    """A fake engine, and gateways before it, on an event loop in a thread of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep the loop, which runs already."""
        self._loop = loop
        self.engine = FakeEngine()

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def fresh_engine(self) -> FakeEngine:
        """Return the engine as if it had just been started."""
        new = FakeEngine()
        for field in fields(new):
            if field.name not in ("url", "_runner", "_port"):
                setattr(self.engine, field.name, getattr(new, field.name))
        return self.engine

    @contextmanager
    def gateway(self, **settings: Any) -> Iterator[str]:
        """Run a gateway, without keys unless they are asked for, and yield its address."""
        stack = AsyncExitStack()
        chosen = Settings(**({"engine_url": self.engine.url, "auth": "off"} | settings))
        gateway = self.wait(stack.enter_async_context(running(chosen)))
        try:
            yield gateway.url
        finally:
            self.wait(stack.aclose())


@contextmanager
def background() -> Iterator[Background]:
    """Run a fake engine in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers, stack = Background(loop), AsyncExitStack()
    try:
        servers.engine = servers.wait(stack.enter_async_context(fake_engine()))
        yield servers
    finally:
        servers.wait(stack.aclose())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
