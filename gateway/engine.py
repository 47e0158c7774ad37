"""The one client of the engine, any server that speaks OpenAI's chat completions (built for vLLM).

One session with kept connections serves all requests. What the engine says in an error stays here: only its kind
goes on.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
import orjson

from gateway.circuit import Circuit
from gateway.settings import Settings

_JSON = {"Content-Type": "application/json"}


class EngineError(Exception):
    """The engine gave no answer that can be used."""


class EngineUnavailableError(EngineError):
    """The engine cannot be reached, refuses for now, or broke off. Trying again may help."""


class EngineTimeoutError(EngineError):
    """The engine did not answer in the request's time."""


class EngineRejectedError(EngineError):
    """The engine refused the request; `status` is its HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the engine refused the request with status {status}")
        self.status = status


class EngineAnswerError(EngineError):
    """The engine's reply is not of the form that it should have."""


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer of the engine. `tokens` holds each token's bytes and natural-log probability, or is None."""

    text: str
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    tokens: list[tuple[bytes, float]] | None


class Engine:
    """Calls the engine. Use it as an async context manager: the session lives as long as the context."""

    def __init__(self, settings: Settings) -> None:
        """Take address and time-outs from the settings; nothing is opened yet."""
        self._base = settings.engine_base
        self._connect_timeout = settings.connect_timeout
        self._session: aiohttp.ClientSession | None = None
        self.circuit = Circuit()
        self.last_token_at = float("-inf")

    async def __aenter__(self) -> Self:
        """Open the session."""
        # How much runs at once is admission's to bound, so the pool has no limit of its own.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ttl_dns_cache=10)
        self._session = aiohttp.ClientSession(
            connector=connector, auto_decompress=True, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def complete(self, body: Mapping[str, Any], *, deadline: float, request_id: str | None = None) -> Completion:
        """Run one chat completion.

        Args:
            body: the request as the engine takes it.
            deadline: when to give up, by the event loop's clock, in seconds.
            request_id: passed on to the engine, for its log.

        Raises:
            EngineError: one of its kinds. CircuitOpenError: the engine was down a moment ago.
            A cancelled call closes its connection, and so ends the engine's work.
        """
        self.circuit.check()
        raw = await self._post("/v1/chat/completions", orjson.dumps(body), deadline=deadline, request_id=request_id)
        completion = _completion(raw)
        if completion.completion_tokens:
            self.last_token_at = time.monotonic()
        return completion

    async def produces_tokens(self, model: str, *, within: float) -> bool:
        """Whether the engine makes a token with `model` in `within` seconds."""
        body = {"model": model, "messages": [{"role": "user", "content": "."}], "max_tokens": 1, "temperature": 0}
        deadline = asyncio.get_running_loop().time() + within
        try:
            raw = await self._post("/v1/chat/completions", orjson.dumps(body), deadline=deadline)
            alive = _completion(raw).completion_tokens > 0
        except EngineError:
            return False
        if alive:
            self.last_token_at = time.monotonic()
        return alive

    async def max_model_len(self, model: str, *, deadline: float) -> int | None:
        """The tokens that prompt and answer may have together, or None where the engine does not say.

        Raises:
            EngineError: one of its kinds.
        """
        reply = _json(await self._request("GET", "/v1/models", None, deadline=deadline))
        cards = reply.get("data") if isinstance(reply, dict) else None
        lengths = [
            card["max_model_len"]
            for card in (cards if isinstance(cards, list) else [])
            if isinstance(card, dict)
            and isinstance(card.get("max_model_len"), int)
            # A LoRA adapter's card has no length of its own; its base has.
            and card.get("id") in (model, _parent_of(cards, model))
        ]
        return min(lengths) if lengths else None

    async def token_strings(self, model: str, text: str, *, deadline: float) -> list[str] | None:
        """The tokens of a text as the engine's tokenizer cuts it, or None where the engine cannot say.

        Raises:
            EngineError: one of its kinds, except that the engine has no such call.
        """
        body = {"model": model, "prompt": text, "add_special_tokens": False, "return_token_strs": True}
        try:
            reply = _json(await self._post("/tokenize", orjson.dumps(body), deadline=deadline))
        except EngineRejectedError:
            return None
        tokens = reply.get("token_strs") if isinstance(reply, dict) else None
        return tokens if isinstance(tokens, list) and all(isinstance(token, str) for token in tokens) else None

    async def _post(self, path: str, body: bytes, *, deadline: float, request_id: str | None = None) -> bytes:
        return await self._request("POST", path, body, deadline=deadline, request_id=request_id)

    async def _request(
        self, method: str, path: str, body: bytes | None, *, deadline: float, request_id: str | None = None
    ) -> bytes:
        if self._session is None:
            raise RuntimeError("the engine's session is not open")
        remaining = deadline - asyncio.get_running_loop().time()
        if remaining <= 0:
            raise EngineTimeoutError("the request's time was over before the engine was asked")
        headers = _JSON if request_id is None else {**_JSON, "X-Request-Id": request_id}
        timeout = aiohttp.ClientTimeout(total=remaining, sock_connect=self._connect_timeout)
        try:
            async with self._session.request(
                method, self._base + path, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                raw = await response.read()
        except aiohttp.ConnectionTimeoutError as error:
            self._lost()
            raise EngineUnavailableError("the engine cannot be reached") from error
        except TimeoutError as error:
            raise EngineTimeoutError("the engine did not answer in time") from error
        except aiohttp.ClientConnectionError as error:
            self._lost()
            raise EngineUnavailableError("the engine cannot be reached") from error
        except aiohttp.ClientError as error:
            raise EngineUnavailableError("the engine's reply broke off") from error
        self.circuit.succeeded()
        if response.status == 200:
            return raw
        if response.status >= 500 or response.status == 429:
            raise EngineUnavailableError("the engine cannot answer now")
        raise EngineRejectedError(response.status)

    def _lost(self) -> None:
        self.circuit.failed()
        self.last_token_at = float("-inf")


def _parent_of(cards: Any, model: str) -> str | None:
    for card in cards if isinstance(cards, list) else []:
        if isinstance(card, dict) and card.get("id") == model:
            parent = card.get("parent")
            return parent if isinstance(parent, str) else None
    return None


def _json(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise EngineAnswerError("the engine's reply is not JSON") from error


def _completion(raw: bytes) -> Completion:
    reply = _json(raw)
    try:
        choice = reply["choices"][0]
        text = choice["message"]["content"]
        usage = reply["usage"]
        completion = Completion(
            text="" if text is None else text,
            finish_reason=choice.get("finish_reason"),
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            completion_tokens=int(usage.get("completion_tokens") or 0),
            total_tokens=int(usage["total_tokens"]),
            tokens=_tokens(choice.get("logprobs")),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise EngineAnswerError("the engine's reply lacks what a completion has") from error
    if not isinstance(completion.text, str):
        raise EngineAnswerError("the engine's reply holds no text")
    return completion


def _tokens(logprobs: Any) -> list[tuple[bytes, float]] | None:
    if not isinstance(logprobs, dict) or not isinstance(logprobs.get("content"), list):
        return None
    return [
        (bytes(entry["bytes"]) if entry.get("bytes") is not None else entry["token"].encode(), float(entry["logprob"]))
        for entry in logprobs["content"]
    ]
