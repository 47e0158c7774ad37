"""A fake engine, and gateways before it, in a thread of their own: Playwright has the test's."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import fields
from typing import Any

import uvicorn
from aiohttp import web

from gateway.app import create_app
from gateway.server.run import configuration
from gateway.settings import Settings
from tests.fakes.engine.scripted import FakeEngine, completion, fake_engine
from tests.fakes.engine.stand_in import extract


class Servers:
    """The engine, whose answers are of what it reads in the note, and gateways before it."""

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
        self.engine.handler = self.by_words
        return self.engine

    async def by_words(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        """Answer with the values that occur in the note; any note about the weather with that intent."""
        text = str(body["messages"][-1]["content"])
        answer = json.dumps(extract(text))
        if body["model"] == "assistant-intent":
            answer = '{"intent": "get_weather", "location": "Bergen", "datetime": null}'
        if body.get("stream"):
            self.engine.answers[body["model"]] = answer
            return await self.engine.stream(request, body)
        await asyncio.sleep(self.engine.delay)
        return web.json_response(completion(answer, self.engine.finish_reason))

    def hold(self) -> Callable[[bool], None]:
        """Let the engine answer no extraction while its gate is shut; return what opens and shuts it."""
        gate = asyncio.Event()

        async def wait(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            if body.get("max_tokens") != 1:
                await gate.wait()
            return await self.by_words(request, body)

        def move(is_open: bool) -> None:
            self._loop.call_soon_threadsafe(gate.set if is_open else gate.clear)

        self.engine.handler = wait
        return move

    @contextmanager
    def gateway(self, **settings: Any) -> Iterator[str]:
        """Run a gateway, without keys unless they are asked for, and yield its address."""
        stack = AsyncExitStack()
        chosen: dict[str, Any] = {"engine_url": self.engine.url, "auth": "off", "port": 0}
        url = self.wait(stack.enter_async_context(_serving(Settings(**(chosen | settings)))))
        try:
            yield url
        finally:
            self.wait(stack.aclose())


@asynccontextmanager
async def _serving(settings: Settings) -> AsyncIterator[str]:
    config = configuration(create_app(settings), settings)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        await server.shutdown()


@contextmanager
def servers() -> Iterator[Servers]:
    """Run a fake engine in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    running, stack = Servers(loop), AsyncExitStack()
    try:
        running.engine = running.wait(stack.enter_async_context(fake_engine()))
        running.fresh_engine()
        yield running
    finally:
        running.wait(stack.aclose())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
