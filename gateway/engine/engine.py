"""The one client of the engine: any server that speaks OpenAI's chat completions (built for vLLM).

One pool of kept connections serves all requests. The text of an engine's error is never passed on, only its kind. A
call that is cancelled closes its connection, which ends the engine's work.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson

from gateway.engine.circuit import Circuit
from gateway.engine.completion import Completion, GrowingCompletion, read_completion
from gateway.engine.errors import (
    EngineAnswerError,
    EngineError,
    EngineRejectedError,
    EngineTimeoutError,
    EngineUnavailableError,
)
from gateway.engine.http import BrokenOffError, ConnectError, HttpClient, Response
from gateway.settings import Settings

CHAT = "/v1/chat/completions"


class Engine:
    """The engine.

    All calls take `deadline`, the time to give up by the event loop's clock in seconds, and raise `EngineError`, or
    `CircuitOpenError` while the engine is down. `request_id` is passed on for the engine's log.
    """

    def __init__(self, settings: Settings) -> None:
        """Take the address and the time-outs from the settings; nothing is opened yet."""
        self._client = HttpClient(str(settings.engine_url), connect_timeout=settings.connect_timeout)
        self._first_token_timeout = settings.first_token_timeout
        self.circuit = Circuit()
        self.last_token_at = float("-inf")

    def close(self) -> None:
        """Close the kept connections."""
        self._client.close()

    async def complete(self, body: Mapping[str, Any], *, deadline: float, request_id: str | None = None) -> Completion:
        """Run one chat completion; `body` is the request as the engine takes it."""
        self.circuit.check()
        completion = read_completion(await self._json("POST", CHAT, body, deadline, request_id))
        if completion.completion_tokens:
            self.last_token_at = time.monotonic()
        return completion

    async def complete_in_parts(
        self,
        body: Mapping[str, Any],
        on_text: Callable[[str], None],
        *,
        deadline: float,
        request_id: str | None = None,
    ) -> Completion:
        """Run one chat completion as `complete` does; `on_text` gets the answer so far whenever it has grown."""
        growing = GrowingCompletion()
        streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
        async with self.open_stream(CHAT, streamed, deadline=deadline, request_id=request_id) as events:
            async for event in events:
                if growing.add(event):
                    on_text(growing.text)
        return growing.whole()

    async def forward(
        self, path: str, body: Mapping[str, Any], *, deadline: float, request_id: str | None = None
    ) -> dict[str, Any]:
        """Run any request of the engine's OpenAI API and return its answer unchanged."""
        self.circuit.check()
        reply = await self._json("POST", path, body, deadline, request_id)
        if not isinstance(reply, dict):
            raise EngineAnswerError("the engine's reply is no object")
        if _is_broken_off(reply):
            raise EngineUnavailableError("the engine broke off the answer")
        self.last_token_at = time.monotonic()
        return reply

    @asynccontextmanager
    async def open_stream(
        self, path: str, body: Mapping[str, Any], *, deadline: float, request_id: str | None = None
    ) -> AsyncGenerator[AsyncIterator[dict[str, Any]]]:
        """Open a stream of server-sent events, and yield their documents one by one up to `[DONE]`.

        Raises:
            EngineTimeoutError: the first event or the end did not come in time.
            EngineUnavailableError: the stream ended before `[DONE]`; and what all calls raise.
        """
        self.circuit.check()
        async with self._send("POST", path, body, deadline, request_id) as response:
            self._check(response.status)
            yield self._events(response, deadline)

    async def _events(self, response: Response, deadline: float) -> AsyncIterator[dict[str, Any]]:
        until = min(deadline, asyncio.get_running_loop().time() + self._first_token_timeout)
        buffer = b""
        while True:
            # Around the reading only: the caller's own work between two events is not the engine's time.
            async with asyncio.timeout_at(until):
                part = await response.read_some()
            if not part:
                raise EngineUnavailableError("the engine broke off the answer")
            *blocks, buffer = (buffer + part).split(b"\n\n")
            for block in blocks:
                data = block.strip().removeprefix(b"data:").strip()
                if data == b"[DONE]":
                    return
                if not data or data.startswith(b":"):
                    continue
                event = _parsed(data)
                if not isinstance(event, dict) or "error" in event or _is_broken_off(event):
                    raise EngineUnavailableError("the engine broke off the answer")
                self.last_token_at = time.monotonic()
                until = deadline
                yield event

    async def produces_tokens(self, model: str, *, within: float) -> bool:
        """Return whether the engine makes a token with `model` in `within` seconds, also while the circuit is open."""
        body = {"model": model, "messages": [{"role": "user", "content": "."}], "max_tokens": 1, "temperature": 0}
        deadline = asyncio.get_running_loop().time() + within
        try:
            alive = read_completion(await self._json("POST", CHAT, body, deadline)).completion_tokens > 0
        except EngineError:
            return False
        if alive:
            self.last_token_at = time.monotonic()
        return alive

    async def models(self, *, deadline: float) -> list[dict[str, Any]]:
        """Return the models that the engine serves, as it describes them."""
        self.circuit.check()
        reply = await self._json("GET", "/v1/models", None, deadline)
        cards = reply.get("data") if isinstance(reply, dict) else None
        if not isinstance(cards, list) or not all(isinstance(card, dict) for card in cards):
            raise EngineAnswerError("the engine's list of models is no list")
        return cards

    async def model_lengths(self, *, deadline: float) -> dict[str, int]:
        """Return for each model the tokens that prompt and answer may have together, where the engine reports it."""
        cards = await self.models(deadline=deadline)
        own = {str(card.get("id")): card.get("max_model_len") for card in cards}
        # A LoRA adapter's card has no length of its own; its base has.
        parents = {str(card.get("id")): own.get(str(card.get("parent"))) for card in cards}
        lengths = {name: length if isinstance(length, int) else parents[name] for name, length in own.items()}
        return {name: length for name, length in lengths.items() if isinstance(length, int)}

    async def token_strings(self, model: str, text: str, *, deadline: float) -> list[str] | None:
        """Return the tokens of a text as the engine's tokenizer cuts it, or None where it has no such endpoint."""
        self.circuit.check()
        body = {"model": model, "prompt": text, "add_special_tokens": False, "return_token_strs": True}
        try:
            reply = await self._json("POST", "/tokenize", body, deadline)
        except EngineRejectedError:
            return None
        tokens = reply.get("token_strs") if isinstance(reply, dict) else None
        return tokens if isinstance(tokens, list) and all(isinstance(token, str) for token in tokens) else None

    async def _json(
        self, method: str, path: str, body: Mapping[str, Any] | None, deadline: float, request_id: str | None = None
    ) -> Any:
        async with self._send(method, path, body, deadline, request_id) as response:
            raw = await response.read()
            self._check(response.status)
        return _parsed(raw)

    @asynccontextmanager
    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, deadline: float, request_id: str | None
    ) -> AsyncGenerator[Response]:
        """Send a request; a failure of the connection until the context ends becomes an `EngineError`."""
        if asyncio.get_running_loop().time() >= deadline:
            raise EngineTimeoutError("the request's time was over before the engine was asked")
        try:
            async with (
                asyncio.timeout_at(deadline),
                self._client.send(method, path, None if body is None else _encoded(body), request_id) as response,
            ):
                yield response
        except TimeoutError as error:
            raise EngineTimeoutError("the engine did not answer in time") from error
        except (ConnectError, BrokenOffError) as error:
            self.circuit.failed()
            self.last_token_at = float("-inf")
            raise EngineUnavailableError("the engine cannot be reached, or broke off") from error

    def _check(self, status: int) -> None:
        """Raise the error that an HTTP status other than 200 means."""
        self.circuit.succeeded()
        if status >= 500 or status == 429:
            raise EngineUnavailableError("the engine cannot answer now")
        if status != 200:
            raise EngineRejectedError(status)


def _is_broken_off(reply: Mapping[str, Any]) -> bool:
    """Return whether the engine gave up in the middle, as it does when it shuts down."""
    choices = reply.get("choices")
    return isinstance(choices, list) and any(
        isinstance(choice, dict) and choice.get("finish_reason") == "abort" for choice in choices
    )


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:
        # orjson takes no integer above 64 bits; an OpenAI client may send one.
        return json.dumps(body).encode()


def _parsed(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise EngineAnswerError("the engine's reply is not JSON") from error
