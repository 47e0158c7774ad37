"""The engine's chat completions, whole and streamed, as far as the gateway reads them."""

from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from gateway.engine.errors import EngineAnswerError

_BYTES, _LOGPROB = itemgetter("bytes"), itemgetter("logprob")
_BROKEN_FORM = (KeyError, IndexError, TypeError, ValueError, AttributeError)


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer of the engine. `tokens` holds each token's bytes and natural-log probability, or is None."""

    text: str
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    tokens: list[tuple[bytes, float]] | None


def read_completion(reply: Any) -> Completion:
    """Read a whole reply.

    Raises:
        EngineAnswerError: it lacks what a completion has.
    """
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
    except _BROKEN_FORM as error:
        raise EngineAnswerError("the engine's reply lacks what a completion has") from error
    if not isinstance(completion.text, str):
        raise EngineAnswerError("the engine's reply holds no text")
    return completion


class GrowingCompletion:
    """A completion that grows with the events of a stream."""

    def __init__(self) -> None:
        """Begin with an empty text."""
        self.text = ""
        self._finish_reason: str | None = None
        self._usage: dict[str, Any] = {}
        self._tokens: list[tuple[bytes, float]] | None = []

    def add(self, event: dict[str, Any]) -> bool:
        """Add one event of the stream.

        Returns:
            Whether the text has grown.

        Raises:
            EngineAnswerError: it lacks what such an event has.
        """
        before = len(self.text)
        try:
            self._usage = event.get("usage") or self._usage
            for choice in event["choices"]:
                self._finish_reason = choice.get("finish_reason") or self._finish_reason
                delta = choice["delta"].get("content") or ""
                tokens = _tokens(choice.get("logprobs"))
                if tokens is not None and self._tokens is not None:
                    self._tokens += tokens
                elif delta:
                    self._tokens = None
                self.text += delta
        except _BROKEN_FORM as error:
            raise EngineAnswerError("the engine's stream lacks what a completion has") from error
        return len(self.text) > before

    def whole(self) -> Completion:
        """Return the completion, once the stream has ended."""
        counts = [self._usage.get(f"{kind}_tokens") for kind in ("prompt", "completion", "total")]
        prompt, completion, total = (count if isinstance(count, int) else 0 for count in counts)
        return Completion(self.text, self._finish_reason, prompt, completion, total, self._tokens)


def _tokens(logprobs: Any) -> list[tuple[bytes, float]] | None:
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return None
    try:
        return list(zip(map(bytes, map(_BYTES, content)), map(float, map(_LOGPROB, content)), strict=True))
    except (KeyError, TypeError):
        # An engine may leave the bytes of a token out.
        return [(entry["token"].encode(), float(entry["logprob"])) for entry in content]
