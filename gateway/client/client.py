"""The client that the command line uses, for any gateway."""

import asyncio
import time
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import orjson

from gateway.files.reading import surrogate_at

_MOST_PAUSE = 60.0
# What the same request may not meet again: others' load, an engine that is away, an answer that could not be used.
_PASSING = frozenset({0, 408, 425, 429})
# An extraction changes nothing, so it may be asked for again where nobody knows what became of it.
_LATER = frozenset({429, 502, 503, 504})
# The gateway's own answer to one text: the engine's could not be used, or came too late.
_OF_THE_TEXT = frozenset({502, 504})
_PROBLEM = "application/problem+json"


class ClientError(Exception):
    """The gateway gave no result; `status` is its HTTP status, or 0 when it could not be reached at all."""

    def __init__(self, status: int, detail: str) -> None:
        """Make the error.

        Args:
            status: HTTP status, or 0.
            detail: a sentence for a person.
        """
        super().__init__(detail)
        self.status = status

    @property
    def may_heal(self) -> bool:
        """Whether the same request may succeed another time."""
        return self.status in _PASSING or self.status >= 500


class TooLateError(ClientError):
    """The gateway gave no answer in time."""


class Client:
    """A client of one gateway. Use it as an async context manager."""

    def __init__(self, url: str, key: str | None, *, timeout: float, retries: int, second_try: bool = True) -> None:
        """Make a client.

        Args:
            url: the gateway's address.
            key: an API key that fits into a header, or None.
            timeout: seconds for one call.
            retries: attempts after the first, where a later one may succeed.
            second_try: whether a text that the gateway itself could not get an answer for (502, 504) is asked for once
                more; who judges the answers counts such a failure instead.
        """
        self._url = url.rstrip("/")
        self._headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._retries = retries
        self._second_try = second_try
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the session."""
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

    async def extract(self, text: str, *, task: str | None = None, **choices: Any) -> dict[str, Any]:
        """Extract one text.

        Args:
            text: the text.
            task: a task's name, or None for the gateway's default.
            choices: members of the request beside the text; those that are None are left out.

        Returns:
            The gateway's answer.

        Raises:
            ClientError: the gateway refused, failed or could not be reached, also after the waits that it asked for; or
                the text cannot be sent.
        """
        document, _ = await self.extract_timed(text, task=task, **choices)
        return document

    async def extract_timed(
        self, text: str, *, task: str | None = None, **choices: Any
    ) -> tuple[dict[str, Any], float]:
        """Extract as `extract` does, and return also the seconds of the attempt that was answered."""
        if (position := surrogate_at(text)) is not None:
            # What the gateway would say, if it could be sent.
            raise ClientError(422, f"the text has half of a character (a lone surrogate) at position {position}")
        path = "/api/v1/extract" if task is None else f"/api/v1/tasks/{quote(task, safe='')}/extract"
        body = orjson.dumps({"text": text} | {name: value for name, value in choices.items() if value is not None})
        of_the_text = 0
        for attempt in range(self._retries + 1):
            started = time.perf_counter()
            try:
                return await self._call("POST", path, body), time.perf_counter() - started
            except _LaterError as error:
                of_the_text += error.is_of_the_text
                if attempt == self._retries or of_the_text > self._second_try:
                    raise ClientError(error.status, str(error)) from None
                await asyncio.sleep(min(_MOST_PAUSE, error.pause * 1.5**attempt))
        raise AssertionError("the loop returns or raises")

    async def tasks(self) -> dict[str, Any]:
        """Return the gateway's tasks, as GET /api/v1/tasks lists them. It is asked once.

        Raises:
            ClientError: the gateway refused or could not be reached.
        """
        return await self._call("GET", "/api/v1/tasks")

    async def _call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        if self._session is None:
            raise RuntimeError("the client's session is not open")
        try:
            async with self._session.request(method, self._url + path, data=body, headers=self._headers) as response:
                raw = await response.read()
        except TimeoutError:
            raise TooLateError(0, f"no answer from {self._url} within {self._timeout.total:.0f} s") from None
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            raise ClientError(400, f"{self._url} is not an address such as http://127.0.0.1:8080") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _LaterError(0, f"{self._url} cannot be reached: {type(error).__name__}", 1.0) from None
        try:
            document = orjson.loads(raw)
        except orjson.JSONDecodeError:
            document = None
        if response.status == 200 and isinstance(document, dict):
            return document
        detail = document.get("detail") if isinstance(document, dict) else None
        sentence = f"{response.status}: {detail or 'the answer is not a gateway’s'}"
        if response.status in _LATER:
            pause = response.headers.get("Retry-After", "")
            # A load balancer or a proxy says 502 and 504 of a gateway that is away.
            is_own = response.status in _OF_THE_TEXT and response.content_type == _PROBLEM
            raise _LaterError(response.status, sentence, float(pause) if pause.isdecimal() else 1.0, is_own)
        raise ClientError(response.status, sentence)


class _LaterError(ClientError):
    """A later attempt may succeed."""

    def __init__(self, status: int, detail: str, pause: float, is_of_the_text: bool = False) -> None:
        super().__init__(status, detail)
        self.pause = pause
        self.is_of_the_text = is_of_the_text
