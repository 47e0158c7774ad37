"""A fake of the engine: an OpenAI-compatible HTTP server on a free loopback port whose answers a test chooses."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.engine import documents

GOLD = {
    "cancer_type": "lung adenocarcinoma",
    "stage": "IV",
    "gene_mutation": "EGFR L858R",
    "biomarker": "PD-L1 40%",
    "treatment": "osimertinib",
    "response": "partial response",
    "metastasis_site": None,
}
MODELS = ("base", "medical-ie", "assistant-intent")

Handler = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


def completion(text: str | None, finish_reason: str | None = "stop", **changes: Any) -> dict[str, Any]:
    """Return a chat completion with log probabilities; `changes` replace parts of the document."""
    counts = documents.usage(100, len(text or "") // 4 + 1)
    reply = documents.completion(text, documents.tokens_of(text or ""), counts, finish_reason=finish_reason)
    return reply | changes


async def _send(response: web.StreamResponse, event: dict[str, Any]) -> None:
    await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")


@dataclass
class FakeEngine:
    """What it answers, and what it was asked."""

    url: str = ""
    answer: str = field(default_factory=lambda: json.dumps(GOLD))
    answers: dict[str, str] = field(default_factory=dict)
    finish_reason: str | None = "stop"
    delay: float = 0.0
    token_delay: float = 0.0
    break_off_at: int | None = None
    max_model_len: int = 4096
    served: tuple[str, ...] = MODELS
    handler: Handler | None = None
    replies: list[Handler] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    probes: int = 0
    running: int = 0
    most_running: int = 0
    cancelled: int = 0
    _runner: web.AppRunner | None = None
    _port: int = 0

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Answer POST /v1/chat/completions."""
        body = await request.json()
        if body.get("max_tokens") == 1:
            self.probes += 1
        else:
            self.bodies.append(body)
            self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            if self.replies and body.get("max_tokens") != 1:
                return await self.replies.pop(0)(request, body)
            if self.handler is not None:
                return await self.handler(request, body)
            if self.delay:
                await asyncio.sleep(self.delay)
            if (refusal := self.refusal(body)) is not None:
                return refusal
            if body.get("stream"):
                return await self.stream(request, body)
            return web.json_response(self.whole(body))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    def refusal(self, body: dict[str, Any]) -> web.Response | None:
        """Return the answer to a request that is refused."""
        if body["model"] in self.served:
            return None
        return web.json_response({"error": {"message": f"no model at {self.url}"}}, status=404)

    def whole(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return an answer in one piece."""
        return completion(self.answers.get(body["model"], self.answer), self.finish_reason)

    async def stream(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        """Answer in tokens of four characters, as server-sent events."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        tokens = documents.tokens_of(self.answers.get(body["model"], self.answer))
        chunks = self.chunks(tokens, body)
        for number, chunk in enumerate(chunks):
            if number < len(tokens):
                if number == self.break_off_at:
                    assert request.transport is not None
                    request.transport.close()
                    return response
                await asyncio.sleep(self.token_delay)
            await _send(response, chunk)
        await response.write(b"data: [DONE]\n\n")
        return response

    def chunks(self, tokens: list[dict[str, Any]], body: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the events of a stream."""
        return documents.chunks(tokens, body, documents.usage(100, len(tokens)), self.finish_reason)

    async def models(self, _: web.Request) -> web.Response:
        """Answer GET /v1/models."""
        return web.json_response(documents.models(self.served[0], self.served[1:], self.max_model_len))

    async def tokenize(self, request: web.Request) -> web.Response:
        """Answer POST /tokenize: four bytes a token, written as byte-level tokenizers do."""
        body = await request.json()
        text = body["prompt"].encode().decode("latin-1")
        tokens = [text[at : at + 4] for at in range(0, len(text), 4)]
        return web.json_response({"count": len(tokens), "max_model_len": self.max_model_len, "token_strs": tokens})

    async def health(self, _: web.Request) -> web.Response:
        """Answer GET /health, which says only that the server runs."""
        return web.Response()

    async def start(self) -> None:
        """Listen, on the same port as before where there was one."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_post("/v1/completions", self.chat)
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/tokenize", self.tokenize)
        app.router.add_get("/health", self.health)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Go away, as a dead engine does."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


@asynccontextmanager
async def fake_engine(kind: type[FakeEngine] = FakeEngine) -> AsyncIterator[FakeEngine]:
    """Run a fake."""
    engine = kind()
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()
