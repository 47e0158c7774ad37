"""An OpenAI-compatible service: one question at a time, with patience for a rate limit and clear errors."""

from __future__ import annotations

import random
from dataclasses import dataclass
from time import sleep
from typing import Any

from training.run.interruption import Interrupted, stop_requested

_TIMEOUT_SECONDS = 300.0  # a large model may take minutes for an answer of many examples
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_LONGEST_PAUSE = 60.0
_CHARS_OF_A_REASON = 300


class ServiceError(Exception):
    """The service gives no answers; the message says what to do."""


@dataclass(frozen=True)
class Reply:
    """What the service answered.

    Attributes:
        text: the message.
        tokens: tokens of question and answer as the service counts them, or None where it does not say.
        was_cut: whether the answer ended at the limit of its tokens.
    """

    text: str
    tokens: int | None
    was_cut: bool


class Service:
    """A chat model behind an OpenAI-compatible address."""

    def __init__(self, url: str, model: str, key: str | None, *, retries: int, options: dict[str, Any]) -> None:
        """Take where and how to ask.

        Args:
            url: address before `/chat/completions`, such as http://127.0.0.1:8000/v1.
            model: name of the model.
            key: sent as a bearer token, or None.
            retries: how often a question is asked again after a failure that may pass.
            options: members of every request besides model and messages.
        """
        import httpx2

        self._address = f"{url.rstrip('/')}/chat/completions"
        self._model, self._retries, self._options = model, retries, options
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx2.Client(headers=headers, timeout=_TIMEOUT_SECONDS)
        self._failure: type[Exception] = httpx2.TransportError
        self._unreachable: type[Exception] = httpx2.ConnectError
        self._unusable = (httpx2.InvalidURL, httpx2.UnsupportedProtocol)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, messages: list[dict[str, str]], extra: dict[str, Any]) -> Reply:
        """Ask once, and again after failures that may pass; `extra` are further members of the request.

        Raises:
            ServiceError: there is no service, it refuses the request, or it failed too often.
            Interrupted: the process was asked to stop.
        """
        body = {"model": self._model, "messages": messages, **self._options, **extra}
        reason = ""
        for attempt in range(self._retries + 1):
            if stop_requested():
                raise Interrupted
            pause = min(_LONGEST_PAUSE, 2.0**attempt) * random.uniform(0.5, 1.0)  # not all helpers at one moment
            try:
                response = self._client.post(self._address, json=body)
            except self._unusable as error:
                raise ServiceError(f"--url {self._address} cannot be used: {error}") from error
            except self._unreachable as error:
                raise ServiceError(
                    f"there is no service at {self._address} ({error}): start it, or give another --url"
                ) from error
            except self._failure as error:
                reason = f"{type(error).__name__} {error}".strip()
            else:
                if response.status_code == 200:
                    return _reply(response)
                if response.status_code not in _PASSING:
                    raise self._refusal(response)
                reason = f"status {response.status_code}{_detail(response)}"
                pause = _asked_pause(response) or pause
            if attempt < self._retries:
                self._wait(pause)
        raise ServiceError(
            f"{self._address} failed {self._retries + 1} times, at last with {reason}: the same command goes on later"
        )

    def _wait(self, seconds: float) -> None:
        """Wait in short steps, as a request to stop must not wait for a minute."""
        left = seconds
        while left > 0 and not stop_requested():
            step = min(left, 0.5)
            sleep(step)
            left -= step

    def _refusal(self, response: Any) -> ServiceError:
        status, detail = response.status_code, _detail(response)
        if status in (401, 403):
            advice = "it does not accept the key: OPENAI_API_KEY or the file of --key-file must hold a valid one"
        elif status == 404:
            advice = f"it has no model {self._model}, or --url lacks its last part, often /v1"
        elif status in (400, 422):
            advice = "it does not accept the request; a service without JSON mode needs --response-format text"
        else:
            advice = "it refuses the request"
        return ServiceError(f"{self._address} answered with status {status}{detail}: {advice}")


def _reply(response: Any) -> Reply:
    try:
        document = response.json()
        choice = document["choices"][0]
        text = choice["message"]["content"]
        tokens = (document.get("usage") or {}).get("total_tokens")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ServiceError(
            "the service's answer is no chat completion: --url must be that of an OpenAI-compatible service, often "
            "with /v1 at its end"
        ) from error
    return Reply(
        text if isinstance(text, str) else "", tokens if isinstance(tokens, int) else None,
        choice.get("finish_reason") == "length",
    )  # fmt: skip


def _detail(response: Any) -> str:
    """Return the service's own reason, where it gives one in OpenAI's form."""
    try:
        error = response.json()["error"]
        message = error if isinstance(error, str) else error["message"]
    except (ValueError, LookupError, TypeError):
        return ""
    return f" ({str(message)[:_CHARS_OF_A_REASON]})"


def _asked_pause(response: Any) -> float | None:
    """Return the seconds of Retry-After, at most a minute; None without them."""
    try:
        seconds = float(response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(seconds, _LONGEST_PAUSE) if seconds >= 0 else None
