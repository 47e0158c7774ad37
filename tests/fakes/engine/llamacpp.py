"""The scripted fake in the shape of llama.cpp's server, as build b11549 of it answered when it was asked.

It serves one model under one name and answers for every other; it gives probabilities where alternatives are asked for;
a length stands in the model's `meta`; tokens come as pieces, of whole characters as text and of others as bytes.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.fakes.engine.scripted import FakeEngine

NAME = "medical-ie"


class FakeLlamaCpp(FakeEngine):
    """What it answers, and what it was asked."""

    def refusal(self, body: dict[str, Any]) -> web.Response | None:
        """Return None but for a grammar that cannot be read: any model's name will do."""
        if not str(body.get("grammar", "%llguidance")).startswith("%llguidance"):
            error = {"code": 400, "message": "Failed to initialize samplers", "type": "invalid_request_error"}
            return web.json_response({"error": error}, status=400)
        return None

    def whole(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return an answer in one piece."""
        reply = super().whole(body) | {"model": NAME, "system_fingerprint": "b0-unknown", "timings": {"cache_n": 0}}
        reply["choices"] = [_choice(choice, body) for choice in reply["choices"]]
        return reply

    def chunks(self, tokens: list[dict[str, Any]], body: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the events of a stream: who speaks, with no content, comes first."""
        first = {"index": 0, "delta": {"role": "assistant", "content": None}, "finish_reason": None}
        events = [{"object": "chat.completion.chunk", "choices": [first]}, *super().chunks(tokens, body)]
        return [event | {"choices": [_choice(choice, body) for choice in event["choices"]]} for event in events]

    async def models(self, _: web.Request) -> web.Response:
        """Answer GET /v1/models."""
        card = {
            "id": NAME,
            "aliases": [NAME],
            "object": "model",
            "owned_by": "llamacpp",
            "meta": {"n_ctx": self.max_model_len, "n_ctx_train": 2048, "n_vocab": 2021},
        }
        return web.json_response({"models": [{"name": NAME, "model": NAME}], "object": "list", "data": [card]})

    async def tokenize(self, request: web.Request) -> web.Response:
        """Answer POST /tokenize: four bytes a token. A body of vLLM's has no `content` and gets no tokens."""
        body = await request.json()
        raw = str(body.get("content", "")).encode()
        pieces = [raw[at : at + 4] for at in range(0, len(raw), 4)]
        if not body.get("with_pieces"):
            return web.json_response({"tokens": list(range(len(pieces)))})
        return web.json_response({"tokens": [{"id": 1, "piece": _piece(piece)} for piece in pieces]})


def _choice(choice: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """Return a choice without the probabilities that no alternative was asked for."""
    if body.get("top_logprobs"):
        return choice
    return {name: value for name, value in choice.items() if name != "logprobs"}


def _piece(raw: bytes) -> str | list[int]:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return list(raw)
