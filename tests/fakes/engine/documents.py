"""The documents that vLLM answers with, for all fakes of it; in need of nothing but Python's own library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def tokens_of(text: str, *, chars: int = 4, logprob: float = -0.1) -> list[dict[str, Any]]:
    """Return a text's tokens with their log probabilities.

    Args:
        text: What the engine wrote.
        chars: Characters of a token; the last may be shorter.
        logprob: Natural-log probability of every token.
    """
    strings = [text[at : at + chars] for at in range(0, len(text), chars)]
    return [
        {"token": string, "logprob": logprob, "bytes": list(string.encode()), "top_logprobs": []} for string in strings
    ]


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Return the usage of a completion, in tokens."""
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}


def completion(
    content: str | None,
    logprobs: list[dict[str, Any]] | None,
    counts: dict[str, int],
    *,
    model: str = "medical-ie",
    finish_reason: str | None = "stop",
) -> dict[str, Any]:
    """Return a chat completion.

    Args:
        content: The message's text.
        logprobs: Its tokens, as `tokens_of` makes them; None where the request asked for none.
        counts: Its usage.
        model: Who answers.
        finish_reason: Why it ended.
    """
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content},
        "logprobs": None if logprobs is None else {"content": logprobs},
        "finish_reason": finish_reason,
    }
    return {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion",
        "created": 1700000000,
        "model": model,
        "choices": [choice],
        "usage": counts,
    }


def chunks(
    tokens: Sequence[dict[str, Any]],
    request: dict[str, Any],
    counts: dict[str, int],
    finish_reason: str | None = "stop",
) -> list[dict[str, Any]]:
    """Return the chunks of a completion that is streamed: one a token, the end, and the usage where it is asked for.

    Args:
        tokens: As `tokens_of` makes them.
        request: The request's body, which asks for log probabilities or for the usage.
        counts: The usage.
        finish_reason: Why it ended.
    """
    choices: list[dict[str, Any]] = []
    for token in tokens:
        choice = {"index": 0, "delta": {"content": token["token"]}, "finish_reason": None}
        choices.append(choice | ({"logprobs": {"content": [token]}} if request.get("logprobs") else {}))
    choices.append({"index": 0, "delta": {}, "finish_reason": finish_reason})
    documents: list[dict[str, Any]] = [{"object": "chat.completion.chunk", "choices": [choice]} for choice in choices]
    if (request.get("stream_options") or {}).get("include_usage"):
        documents.append({"object": "chat.completion.chunk", "choices": [], "usage": counts})
    return documents


def models(base: str, adapters: Sequence[str], max_model_len: int) -> dict[str, Any]:
    """Return the list of models: a base with its adapters, whose length vLLM does not give."""
    cards = [{"id": base, "object": "model", "parent": None, "max_model_len": max_model_len}]
    cards += [{"id": name, "object": "model", "parent": base, "max_model_len": None} for name in adapters]
    return {"object": "list", "data": cards}
