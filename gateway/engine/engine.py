"""The one client of the engine: any server that speaks OpenAI's chat completions, with the dialect of its kind.

One pool of kept connections serves all requests. The text of an engine's error is never passed on, only its kind. A
call that is cancelled closes its connection, which ends the engine's work. The engine is not trusted with memory: what
it may send has limits.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import orjson

from gateway.engine.circuit import Circuit, CircuitOpenError
from gateway.engine.completion import (
    Completion,
    Endings,
    GrowingCompletion,
    choices_of,
    has_token,
    is_broken_off,
    read_completion,
)
from gateway.engine.dialect import dialect_of
from gateway.engine.errors import (
    EngineAnswerError,
    EngineError,
    EngineRejectedError,
    EngineSetupError,
    EngineTimeoutError,
    EngineUnavailableError,
)
from gateway.engine.failures import FailureLog
from gateway.engine.http import HttpClient, HttpError, Response
from gateway.engine.key import EngineKey
from gateway.engine.outage import Outage
from gateway.engine.sse import DONE, EventParser, EventTooLongError
from gateway.settings import Settings

CHAT = "/v1/chat/completions"
_MODELS = "/v1/models"
_TOKENIZE = "/tokenize"
_MOST_REPLY = 4 * 1_048_576
_MOST_EVENT = 1_048_576
_MOST_REFUSAL = 65_536
# Of a stream that is read here and not passed on: the longest answer with its probabilities has a quarter of it.
_MOST_STREAM = 16 * 1_048_576
# A tokenizer's reply to one byte of text: a token's escaped text and its number.
_TOKENIZED_BYTE = 32
# After so many that came together other requests get their turn.
_EVENTS_AT_ONCE = 64
# Connections beside those that the gate lets through: tokenizing, lists of models, probes.
_MORE_CONNECTIONS = 32
# Statuses that are about one request; of the others, those below 500 are about how the gateway is set up.
_ABOUT_THE_REQUEST = frozenset({400, 413, 422})
_FOR_NOW = frozenset({408, 425, 429})
_MOST_DEPTH = 200
# The types of events that are meant for every reader, and of errors.
_OWN_EVENTS = frozenset({b"", b"message", b"error"})
_FRESH_SECONDS = 2.0
# For how long the names in the list of models are believed; a name that is not in it has the list read again sooner.
_NAMES_SECONDS, _MISSING_NAME_SECONDS = 60.0, 1.0
# With an engine that works: at least what a probe would get, at most so that one that hangs is noticed.
_LEAST_PATIENCE, _MOST_PATIENCE = 5.0, 30.0
_MOST_TOKENS_OF_A_MODEL = 10**9


class Engine:
    """The engine.

    All calls take `deadline`, the time to give up by the event loop's clock in seconds, and raise `EngineError`, or
    `CircuitOpenError` while the engine is down. One that cannot be reached is waited for, as long as the settings say.
    `request_id` is passed on for the engine's log.

    Attributes:
        dialect: what is particular to the kind of engine.
    """

    def __init__(self, settings: Settings, count_failure: Callable[[str], None] = lambda _: None) -> None:
        """Take the address and the time-outs from the settings; nothing is opened yet.

        Args:
            settings: the operator's choices.
            count_failure: called with the reason of each failure.

        Raises:
            SettingsError: the file of the engine's key cannot be used.
        """
        address = str(settings.engine_url).rstrip("/")
        key = None if settings.engine_api_key_file is None else EngineKey(settings.engine_api_key_file)
        self._client = HttpClient(
            address,
            connect_timeout=settings.connect_timeout,
            connections=settings.max_concurrency + _MORE_CONNECTIONS,
            key=(lambda: None) if key is None else key.current,
        )
        self._has_key = key is not None
        self.dialect = dialect_of(settings.engine_kind)
        self._names: frozenset[str] = frozenset()
        self._names_read_at = float("-inf")
        self._first_token_timeout = settings.first_token_timeout
        self.circuit = Circuit()
        self.outage = Outage(settings.engine_patience)
        self._failures = FailureLog(address, self.circuit, count_failure)
        self._running = 0
        self._busy_since = 0.0
        self._last_token_at = float("-inf")
        self._longest_pause = 0.0

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def makes_tokens(self) -> bool:
        """Return whether the engine made a token in the last seconds, or is at work and not silent for too long.

        While it works, twice the longest of its latest pauses between two tokens is no reason for doubt.
        """
        now = time.monotonic()
        if now - self._last_token_at < _FRESH_SECONDS:
            return True
        patience = min(_MOST_PATIENCE, max(_LEAST_PATIENCE, 2 * self._longest_pause))
        is_proven = self._running > 0 and self._last_token_at > float("-inf")
        return is_proven and now - max(self._last_token_at, self._busy_since) < patience

    async def complete(self, body: Mapping[str, Any], *, deadline: float, request_id: str | None = None) -> Completion:
        """Run one chat completion; `body` is the request as the engine takes it."""
        with self._reported(CHAT, request_id):
            return await self._sent(lambda: self._complete(body, deadline, request_id), deadline)

    async def _sent[T](self, send: Callable[[], Awaitable[T]], deadline: float) -> T:
        """Send a request, and again as long as the engine is waited for (`Outage.hold`)."""
        while True:
            try:
                self.circuit.check()
                return await send()
            except (EngineError, CircuitOpenError) as error:
                if not await self.outage.hold(error, deadline):
                    raise

    async def _complete(self, body: Mapping[str, Any], deadline: float, request_id: str | None) -> Completion:
        await self._check_served(body, deadline)
        with self._working():
            reply = await self._json("POST", CHAT, body, deadline, request_id)
            _check_whole(reply)
            completion = read_completion(reply)
            if completion.completion_tokens or completion.text:
                self._token_made()
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
        growing = GrowingCompletion(body.get("max_tokens"))
        streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
        with self._reported(CHAT, request_id):
            async with self._open(CHAT, streamed, deadline, request_id, _MOST_STREAM) as events:
                async for event in events:
                    if growing.add(event):
                        on_text(growing.text)
        return growing.whole()

    async def forward(
        self, path: str, body: Mapping[str, Any], *, deadline: float, request_id: str | None = None
    ) -> dict[str, Any]:
        """Run any request of the engine's OpenAI API for completions and return its answer unchanged."""
        with self._reported(path, request_id):
            return await self._sent(lambda: self._forward(path, body, deadline, request_id), deadline)

    async def _forward(
        self, path: str, body: Mapping[str, Any], deadline: float, request_id: str | None
    ) -> dict[str, Any]:
        with self._working():
            await self._check_served(body, deadline)
            reply: dict[str, Any] = await self._json("POST", path, body, deadline, request_id)
            if not _check_whole(reply):
                raise EngineAnswerError("the engine's reply lacks what a completion has")
            _check_depth(reply)
            self._token_made()
        return reply

    @asynccontextmanager
    async def open_stream(
        self, path: str, body: Mapping[str, Any], *, deadline: float, request_id: str | None = None
    ) -> AsyncGenerator[AsyncIterator[dict[str, Any]]]:
        """Open a stream of server-sent events, and yield their documents one by one until the answer is whole.

        It is whole at `[DONE]`, or where the stream ends after all choices have a `finish_reason`.

        Raises:
            EngineTimeoutError: the first token or the end did not come in time.
            EngineUnavailableError: the stream ended before the answer was whole; and what all calls raise.
        """
        with self._reported(path, request_id):
            async with self._open(path, body, deadline, request_id, None) as events:
                yield events

    @asynccontextmanager
    async def _open(
        self, path: str, body: Mapping[str, Any], deadline: float, request_id: str | None, limit: int | None
    ) -> AsyncGenerator[AsyncIterator[dict[str, Any]]]:
        async with AsyncExitStack() as stack:

            def send() -> Awaitable[AsyncIterator[dict[str, Any]]]:
                return stack.enter_async_context(self._stream(path, body, deadline, request_id, limit))

            yield await self._sent(send, deadline)

    @asynccontextmanager
    async def _stream(
        self, path: str, body: Mapping[str, Any], deadline: float, request_id: str | None, limit: int | None
    ) -> AsyncGenerator[AsyncIterator[dict[str, Any]]]:
        await self._check_served(body, deadline)
        first = asyncio.get_running_loop().time() + self._first_token_timeout
        with self._working():
            async with self._send("POST", path, body, deadline, request_id, head_until=first) as response:
                await self._check_status(response)
                yield self._events(response, first, deadline, limit)

    async def _events(
        self, response: Response, first: float, deadline: float, limit: int | None
    ) -> AsyncIterator[dict[str, Any]]:
        parser, endings = EventParser(_MOST_EVENT), Endings()
        until, received = min(first, deadline), 0
        while True:
            # Around the reading only: the caller's own work between two events is not the engine's time.
            async with self._until(until, is_first=until == first):
                part = await response.read_some()
            if not part:
                break
            received += len(part)
            if limit is not None and received > limit:
                raise _too_large(f"the stream has more than {limit} bytes")
            for number, (kind, data) in enumerate(_parsed_events(parser, part), start=1):
                if data == DONE:
                    return
                if number % _EVENTS_AT_ONCE == 0:
                    await asyncio.sleep(0)
                if _is_for_others(kind, data):
                    continue
                event, choices = _read_event(kind, data)
                endings.note(choices)
                if has_token(choices):
                    self._token_made()
                    until = deadline
                yield event
        if not parser.end() and not endings.are_whole:
            raise EngineUnavailableError(
                "the engine broke off the answer", reason="broken_off", cause="the stream ended before the answer did"
            )

    async def produces_tokens(self, model: str, *, within: float) -> bool:
        """Return whether the engine makes a token with `model` in `within` seconds, also while the circuit is open."""
        body = {"model": model, "messages": [{"role": "user", "content": "."}], "max_tokens": 1, "temperature": 0}
        deadline = asyncio.get_running_loop().time() + within
        try:
            with self._reported(CHAT, None):
                completion = await self._complete(body, deadline, None)
        except EngineError:
            return False
        return completion.completion_tokens > 0 or bool(completion.text)

    async def models(self, *, deadline: float) -> list[dict[str, Any]]:
        """Return the models that the engine serves, as it describes them."""
        with self._reported(_MODELS, None):
            return await self._sent(lambda: self._models(deadline), deadline)

    async def _models(self, deadline: float) -> list[dict[str, Any]]:
        reply = await self._json("GET", _MODELS, None, deadline)
        cards = reply.get("data") if isinstance(reply, dict) else None
        if not isinstance(cards, list) or not all(isinstance(card, dict) for card in cards):
            raise EngineAnswerError("the engine's list of models is no list")
        return cards

    async def _check_served(self, body: Mapping[str, Any], deadline: float) -> None:
        """Refuse a model that the engine does not serve, where the engine would not.

        Raises:
            EngineRejectedError: as if the engine had answered 404.
        """
        if self.dialect.refuses_unknown_models:
            return
        name = str(body.get("model"))
        age = time.monotonic() - self._names_read_at
        if age > (_NAMES_SECONDS if name in self._names else _MISSING_NAME_SECONDS):
            self._names = frozenset(self.dialect.served(await self._models(deadline)))
            self._names_read_at = time.monotonic()
        if name not in self._names:
            raise EngineRejectedError(404)

    async def model_lengths(self, *, deadline: float) -> dict[str, int]:
        """Return for each model the tokens that prompt and answer may have together, where the engine reports it."""
        served = self.dialect.served(await self.models(deadline=deadline))
        lengths = {name: _length(value) for name, value in served.items()}
        return {name: length for name, length in lengths.items() if length is not None}

    async def token_sizes(self, model: str, text: str, *, deadline: float) -> list[int] | None:
        """Return the bytes of each token of a text, as the engine's tokenizer cuts it, or None where it does not."""
        body = self.dialect.tokenizing(model, text)
        limit = _MOST_REPLY + _TOKENIZED_BYTE * len(text.encode("utf-8", "surrogatepass"))
        with self._reported(_TOKENIZE, None):
            try:
                reply = await self._sent(lambda: self._json("POST", _TOKENIZE, body, deadline, limit=limit), deadline)
            except EngineRejectedError:
                return None
            except EngineSetupError as error:
                if error.engine_status in (404, 405):
                    return None
                raise
        # There may be as many tokens as the text has bytes.
        return await asyncio.to_thread(self.dialect.token_sizes, reply)

    async def _json(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        deadline: float,
        request_id: str | None = None,
        *,
        limit: int = _MOST_REPLY,
    ) -> Any:
        async with self._send(method, path, body, deadline, request_id) as response:
            await self._check_status(response)
            raw = await response.read(limit)
        return _parsed(raw)

    @asynccontextmanager
    async def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        deadline: float,
        request_id: str | None,
        *,
        head_until: float | None = None,
    ) -> AsyncGenerator[Response]:
        """Send a request; a failure of the connection until the context ends becomes an `EngineError`."""
        if asyncio.get_running_loop().time() >= deadline:
            raise EngineTimeoutError("the request's time was over before the engine was asked", reason="timeout")
        raw = None if body is None else _encoded(body)
        try:
            async with asyncio.timeout_at(deadline), AsyncExitStack() as stack:
                async with self._until(head_until, is_first=True):
                    response = await stack.enter_async_context(self._client.send(method, path, raw, request_id))
                yield response
        except TimeoutError as error:
            self._last_token_at = float("-inf")
            raise EngineTimeoutError("the engine did not answer in time", reason="timeout") from error
        except HttpError as error:
            raise self._failure_of(error) from error

    @asynccontextmanager
    async def _until(self, until: float | None, *, is_first: bool) -> AsyncGenerator[None]:
        """Bound a wait for the engine; `is_first` says that it is for a stream's first token."""
        try:
            async with asyncio.timeout_at(until):
                yield
        except TimeoutError as error:
            if not is_first:
                raise
            self._last_token_at = float("-inf")
            raise EngineTimeoutError(
                "the engine did not begin to answer in time",
                reason="first_token_timeout",
                cause="no token came within GATEWAY_FIRST_TOKEN_TIMEOUT",
            ) from error

    def _failure_of(self, error: HttpError) -> EngineError:
        if error.reason in ("too_large", "not_http"):
            return EngineAnswerError("the engine's answer cannot be read", reason=error.reason, cause=error.cause)
        self.circuit.failed()
        self.outage.began()
        self._last_token_at = float("-inf")
        return EngineUnavailableError(
            "the engine cannot be reached, or broke off", reason=error.reason, cause=error.cause
        )

    async def _check_status(self, response: Response) -> None:
        """Raise the error that an HTTP status other than 200 means."""
        status = response.status
        self.circuit.succeeded()
        if status >= 500:
            self.outage.failed()
        else:
            self.outage.ended()
        self._failures.answered()
        if status == 200:
            return
        if status >= 500 or status in _FOR_NOW:
            raise EngineUnavailableError("the engine cannot answer now", reason="failing", engine_status=status)
        if status in _ABOUT_THE_REQUEST or (status == 404 and _is_about_a_model(await response.read(_MOST_REFUSAL))):
            raise EngineRejectedError(status)
        if status in (401, 403):
            what = "it refuses the key in" if self._has_key else "it asks for a key: name its file in"
            cause = f"{what} GATEWAY_ENGINE_API_KEY_FILE"
            raise EngineSetupError(reason="key_refused", cause=cause, engine_status=status)
        reason = "no_such_path" if status == 404 else "unexpected_status"
        raise EngineSetupError(
            reason=reason, cause="GATEWAY_ENGINE_URL leads to no OpenAI-compatible engine", engine_status=status
        )

    @contextmanager
    def _reported(self, path: str, request_id: str | None) -> Iterator[None]:
        try:
            yield
        except EngineError as error:
            self._failures.failed(error, path, request_id)
            raise

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Count a call that makes tokens."""
        if self._running == 0:
            self._busy_since = time.monotonic()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    def _token_made(self) -> None:
        now = time.monotonic()
        pause = now - max(self._busy_since, self._last_token_at)
        # An old pause counts less with each token.
        self._longest_pause = max(pause, 0.9 * self._longest_pause)
        self._last_token_at = now


def _parsed_events(parser: EventParser, part: bytes) -> Iterator[tuple[bytes, bytes]]:
    try:
        yield from parser.feed(part)
    except EventTooLongError:
        raise _too_large(f"an event of the stream has more than {_MOST_EVENT} bytes") from None


def _is_for_others(kind: bytes, data: bytes) -> bool:
    """Return whether an event is none of a stream of completions: a keep-alive such as `event: ping` with any text.

    The standard hands an event of a type to those that asked for it alone. Where its data is an object it may still be
    a part of the answer, from an engine that names its events.
    """
    return kind not in _OWN_EVENTS and not data.lstrip().startswith(b"{")


def _read_event(kind: bytes, data: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return an event and its choices.

    Raises:
        EngineError: it says that the engine gave up, or is not what a stream of completions holds.
    """
    if kind == b"error":
        raise EngineUnavailableError(
            "the engine broke off the answer", reason="broken_off", cause="the engine sent an error in its stream"
        )
    event = _parsed(data)
    choices = _check_whole(event)
    if data.count(b"[") + data.count(b"{") > _MOST_DEPTH:
        _check_depth(event)
    return event, choices


def _check_whole(document: Any) -> list[dict[str, Any]]:
    """Return the choices of a reply or of an event.

    Raises:
        EngineError: it has not the form of one, or says that there will be no answer.
    """
    # Older vLLM releases have the error's members at the top.
    if isinstance(document, dict) and (document.get("error") or document.get("object") == "error"):
        raise EngineUnavailableError(
            "the engine broke off the answer", reason="broken_off", cause="the engine sent an error with status 200"
        )
    choices = choices_of(document)
    if is_broken_off(choices):
        raise EngineUnavailableError("the engine broke off the answer", reason="aborted")
    return choices


def _check_depth(document: dict[str, Any]) -> None:
    """Raise where a document is nested deeper than it could be passed on: orjson reads more than it writes."""
    try:
        orjson.dumps(document)
    except TypeError as error:
        raise EngineAnswerError("the engine's reply is nested too deep") from error


def _too_large(cause: str) -> EngineAnswerError:
    return EngineAnswerError("the engine's answer cannot be read", reason="too_large", cause=cause)


def _length(value: object) -> int | None:
    is_length = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_TOKENS_OF_A_MODEL
    return value if isinstance(value, int) and is_length else None


def _is_about_a_model(raw: bytes) -> bool:
    """Return whether a refusal with 404 is OpenAI's error of a model that is not served.

    A path that is not there gets another document from most servers; llama.cpp's has the same form and this message.
    """
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(document, dict):
        return False
    # Older vLLM releases have the error's members at the top.
    error = document if document.get("object") == "error" else document.get("error")
    message = error.get("message") if isinstance(error, dict) else error
    return isinstance(message, str) and message.casefold().strip(" .") not in ("not found", "file not found")


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
        raise EngineAnswerError("the engine's reply is not JSON", reason="not_json") from error
