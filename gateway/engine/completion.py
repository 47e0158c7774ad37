"""The engine's completions, whole and streamed, as far as the gateway reads them.

What a valid answer can do without - counts of tokens, probabilities - is left out where it is broken.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from gateway.engine.errors import EngineAnswerError

_BYTES, _LOGPROB = itemgetter("bytes"), itemgetter("logprob")
# Of a text that fields are read from; the longest answer that a task allows is a fraction of it.
_MOST_TEXT = 65_536
_MOST_TOKENS = 65_536
# What an engine held back may follow the last token.
_MORE_STEPS = 16
_MOST_COUNT = 10**9


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer of the engine.

    `tokens` holds each token's bytes and natural-log probability, NaN where it has none; None where there are none.
    Counts that the engine does not give are 0.
    """

    text: str
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    tokens: list[tuple[bytes, float]] | None


def token_count(value: object) -> int:
    """Return a number of tokens as the engine gave it, or 0 where it can be none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_COUNT else 0


def usage_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the usage in a reply or an event, empty where there is none."""
    usage = document.get("usage")
    return usage if isinstance(usage, dict) else {}


def choices_of(document: Any) -> list[dict[str, Any]]:
    """Return the choices of a reply or of a stream's event; an event may have none.

    Raises:
        EngineAnswerError: they do not have the form of choices.
    """
    choices = (document.get("choices") or []) if isinstance(document, dict) else None
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise EngineAnswerError("the engine's reply holds no choices")
    for choice in choices:
        if not isinstance(choice.get("finish_reason"), str | None):
            raise EngineAnswerError("the engine's reply has a finish_reason that is no text")
    return choices


def read_completion(reply: Any) -> Completion:
    """Read a whole reply.

    Raises:
        EngineAnswerError: it lacks what a completion has.
    """
    choice = next(_asked_for(choices_of(reply)), {})
    message = choice.get("message")
    if not isinstance(message, dict):
        raise EngineAnswerError("the engine's reply lacks what a completion has")
    text = _bounded(_text(message))
    return _completion(text, choice.get("finish_reason"), usage_of(reply), _tokens(choice.get("logprobs")))


class GrowingCompletion:
    """A completion that grows with the events of a stream."""

    def __init__(self, max_tokens: object = None) -> None:
        """Begin with an empty text.

        Args:
            max_tokens: that the answer may have, where the request says so.
        """
        self.text = ""
        self._steps_left = (token_count(max_tokens) or _MOST_TOKENS) + _MORE_STEPS
        self._finish_reason: str | None = None
        self._usage: Mapping[str, Any] = {}
        self._tokens: list[tuple[bytes, float]] | None = []

    def add(self, event: dict[str, Any]) -> bool:
        """Add one event of the stream.

        Returns:
            Whether the text has grown.

        Raises:
            EngineAnswerError: it lacks what such an event has, or the answer is too long.
        """
        before = len(self.text)
        self._usage = usage_of(event) or self._usage
        for choice in _asked_for(choices_of(event)):
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
            delta = choice.get("delta") or {}
            if not isinstance(delta, dict):
                raise EngineAnswerError("the engine's stream lacks what a completion has")
            text = _text(delta)
            tokens = _tokens(choice.get("logprobs"))
            if tokens is not None and self._tokens is not None:
                self._tokens += tokens
                if len(self._tokens) > _MOST_TOKENS:
                    raise _too_long()
            elif text:
                self._tokens = None
            self.text = _bounded(self.text + text)
        if len(self.text) == before:
            return False
        # Each token lets the text grow once at most.
        self._steps_left -= 1
        if self._steps_left < 0:
            raise _too_long()
        return True

    def whole(self) -> Completion:
        """Return the completion, once the stream has ended."""
        return _completion(self.text, self._finish_reason, self._usage, self._tokens)


class Endings:
    """Which of a stream's choices have begun, and which have ended."""

    def __init__(self) -> None:
        """Begin before the first event."""
        self._open: set[int] = set()
        self._ended = 0

    @property
    def are_whole(self) -> bool:
        """Whether all choices that have begun have ended."""
        return self._ended > 0 and not self._open

    def note(self, choices: list[dict[str, Any]]) -> None:
        """Take an event's choices into account."""
        for choice in choices:
            index = token_count(choice.get("index"))
            if choice.get("finish_reason"):
                self._ended += 1
                self._open.discard(index)
            elif _has_content(choice):
                self._open.add(index)


def has_token(choices: list[dict[str, Any]]) -> bool:
    """Return whether an event holds a token, and not only who speaks."""
    return any(choice.get("finish_reason") or _has_content(choice) for choice in choices)


def is_broken_off(choices: list[dict[str, Any]]) -> bool:
    """Return whether the engine gave up in the middle, as it does when it shuts down."""
    return any(choice.get("finish_reason") == "abort" for choice in choices)


def _asked_for(choices: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the choices with the index 0: where one answer is asked for, any other would be mixed into it."""
    return (choice for choice in choices if token_count(choice.get("index")) == 0)


def _has_content(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta")
    if isinstance(delta, dict):
        return any(value for name, value in delta.items() if name != "role")
    return bool(choice.get("text"))


def _text(message: dict[str, Any]) -> str:
    text = message.get("content")
    if not isinstance(text, str | None):
        raise EngineAnswerError("the engine's reply holds no text")
    return text or ""


def _bounded(text: str) -> str:
    if len(text) > _MOST_TEXT:
        raise _too_long()
    return text


def _too_long() -> EngineAnswerError:
    return EngineAnswerError(
        "the engine's answer is too long",
        reason="too_large",
        cause=f"the answer has more than {_MOST_TEXT} characters, or more tokens than it may have",
    )


def _completion(
    text: str, finish_reason: str | None, usage: Mapping[str, Any], tokens: list[tuple[bytes, float]] | None
) -> Completion:
    prompt, completion, total = (token_count(usage.get(f"{kind}_tokens")) for kind in ("prompt", "completion", "total"))
    return Completion(text, finish_reason, prompt, completion, total, tokens)


def _tokens(logprobs: Any) -> list[tuple[bytes, float]] | None:
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return None
    try:
        parts, logs = list(map(_BYTES, content)), list(map(_LOGPROB, content))
        # `bytes(n)` of a number would be n zeros.
        if all(type(part) is list for part in parts):
            return list(zip(map(bytes, parts), map(float, logs), strict=True))
    except (KeyError, TypeError, ValueError, OverflowError):
        pass
    try:
        return [(_token_bytes(entry), _log(entry)) for entry in content]
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _token_bytes(entry: dict[str, Any]) -> bytes:
    part = entry.get("bytes")
    # An engine may leave the bytes of a token out.
    return bytes(part) if isinstance(part, list) else str.encode(entry["token"])


def _log(entry: dict[str, Any]) -> float:
    value = entry.get("logprob")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
