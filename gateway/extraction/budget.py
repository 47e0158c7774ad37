"""How much text fits into one call of the engine, counted in the engine's own tokens."""

import asyncio
import re
import time
from collections.abc import Callable

from gateway.engine.engine import Engine
from gateway.engine.errors import EngineTimeoutError
from gateway.extraction.workers import Workers
from gateway.tasks import Task

_WORD = re.compile(r"\S+|\s+")
# The engine may be restarted with another length.
_LENGTHS_SECONDS = 60.0
# What the chat format adds: the special tokens and role names of two messages and of the answer's head.
_CHAT_TOKENS = 32
# Above this many characters a token, a text cannot fit; skip counting.
_MOST_CHARS_A_TOKEN = 16
# A measured density is trusted for other texts with this margin. Short prompts are mostly instruction and say nothing
# of it.
_MARGIN = 1.5
_LEARN_FROM_BYTES = 400
# Tokens a byte: one dense text, or a wrong count of the engine, must not have all others counted for long.
_MOST_DENSITY = 0.5
_FORGET = 0.99


class TokenBudget:
    """The tokens that each model takes, and how dense texts are by its answers."""

    def __init__(self, engine: Engine, workers: Workers) -> None:
        """Make a budget of an engine, which counts the tokens; `workers` read what it says of long texts."""
        self._engine = engine
        self._workers = workers
        self._lengths: dict[str, int] = {}
        self._lengths_until = 0.0
        self._density: dict[str, float] = {}

    async def limits(self, task: Task, model: str, max_tokens: int, *, deadline: float) -> tuple[int, int]:
        """Share out a model's length between prompt, text and answer.

        Args:
            task: whose prompt stands around the text.
            model: which will read it.
            max_tokens: that the answer may have, if there is room.
            deadline: for asking the engine, by the event loop's clock, in seconds.

        Returns:
            The tokens that a text may have, and those that its answer may have, at most half of the length.

        Raises:
            EngineError, CircuitOpenError: the engine was asked for its length and gave no answer.
        """
        if time.monotonic() > self._lengths_until:
            self._lengths = await self._engine.model_lengths(deadline=deadline)
            self._lengths_until = time.monotonic() + _LENGTHS_SECONDS
        longest = self._lengths.get(model)
        if longest is None:
            return task.max_input_tokens, max_tokens
        prompt = len((task.prompt.system + task.prompt.instruction + task.prompt.template).encode()) // 2 + _CHAT_TOKENS
        max_tokens = min(max_tokens, longest // 2)
        return max(32, min(task.max_input_tokens, longest - max_tokens - prompt)), max_tokens

    def surely_fits(self, model: str, text: str, limit: int) -> bool:
        """Return whether the text is too short to need its tokens counted; a byte makes one token at most."""
        if len(text) > _MOST_CHARS_A_TOKEN * limit:
            return False
        size = len(text.encode("utf-8", "surrogatepass"))
        return size <= limit or size * self._density.get(model, 1.0) * _MARGIN <= limit

    def learn(self, model: str, text: str, prompt_tokens: int) -> None:
        """Take a prompt's true number of tokens into account; the densest of the latest texts counts."""
        size = len(text.encode("utf-8", "surrogatepass"))
        if size < _LEARN_FROM_BYTES or prompt_tokens <= 0:
            return
        density = min(_MOST_DENSITY, prompt_tokens / size)
        self._density[model] = max(density, self._density.get(model, density) * _FORGET)

    async def counter(self, model: str, text: str, *, deadline: float) -> Callable[[str], int]:
        """Return a function that counts the tokens of any part of `text`, from one call of the engine's tokenizer.

        Where the engine cannot tokenise, or its tokens cannot be aligned with the text, a byte counts for half a token,
        which is more than any text of words has.
        """
        sizes = await self._engine.token_sizes(model, text, deadline=deadline)
        left = max(deadline - asyncio.get_running_loop().time(), 0.0)
        try:
            return await self._workers.run(lambda: _counter(text, sizes), seconds=left)
        except TimeoutError:
            raise EngineTimeoutError(
                "the request's time ended while its tokens were counted", reason="timeout"
            ) from None


def _counter(text: str, sizes: list[int] | None) -> Callable[[str], int]:
    encoded = text.encode("utf-8", "surrogatepass")
    if sizes is None or sum(sizes) != len(encoded):
        return lambda part: -(-len(part.encode("utf-8", "surrogatepass")) // 2)
    return _word_counter(text, sizes)


def _word_counter(text: str, token_bytes: list[int]) -> Callable[[str], int]:
    """Return a counter by words: each costs the most tokens that it touches anywhere in the text."""
    cost: dict[str, int] = {}
    token, token_end, at = 0, token_bytes[0] if token_bytes else 0, 0
    for match in _WORD.finditer(text):  # not `findall`: one call would keep all other threads waiting
        word = match[0]
        end = at + len(word.encode("utf-8", "surrogatepass"))
        touched = 1
        while token_end < end:
            token += 1
            token_end += token_bytes[token]
            touched += 1
        at = end
        if touched > cost.get(word, 0):
            cost[word] = touched
        if token_end == end and token + 1 < len(token_bytes):
            token += 1
            token_end += token_bytes[token]
    sizes: dict[str, int] = {}

    def count(part: str) -> int:
        if part not in sizes:
            # A word that a cut has made is not in the table: a byte is a token at most.
            sizes[part] = sum(
                cost.get(word) or len(word.encode("utf-8", "surrogatepass"))
                for word in (match[0] for match in _WORD.finditer(part))
            )
        return sizes[part]

    return count
