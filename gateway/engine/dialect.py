"""What engines do not agree on beyond OpenAI's chat completions: one module for each that is supported.

`vllm` and `llamacpp` hold nothing but these differences; whatever is the same for all is in `engine`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from gateway.engine.llamacpp import LlamaCpp
from gateway.engine.vllm import Vllm
from gateway.settings import EngineKind


class Dialect(Protocol):
    """How an engine is asked, and how its answers are read."""

    @property
    def probabilities(self) -> Mapping[str, Any]:
        """Members of a request that asks for each token's own log probability."""
        ...

    @property
    def refuses_unknown_models(self) -> bool:
        """Whether a model that it does not serve is answered with 404."""
        ...

    def constrained(self, pattern: str) -> Mapping[str, Any]:
        """Return the members of a request whose answer is to match a regular expression."""
        ...

    def private(self, salt: str) -> Mapping[str, Any]:
        """Return the members of a request whose prompt no other client may find in the engine's cache."""
        ...

    def tokenizing(self, model: str, text: str) -> Mapping[str, Any]:
        """Return the body of a request for the tokens of a text."""
        ...

    def token_sizes(self, reply: Any) -> list[int] | None:
        """Return the bytes of each token in the answer to it, or None where the answer does not give them."""
        ...

    def served(self, cards: Sequence[Mapping[str, Any]]) -> dict[str, object]:
        """Return the names in a list of models, each with its tokens for prompt and answer, or None if it has none."""
        ...


_DIALECTS: Mapping[EngineKind, Callable[[], Dialect]] = {"vllm": Vllm, "llamacpp": LlamaCpp}


def dialect_of(kind: EngineKind) -> Dialect:
    """Return an engine's dialect."""
    return _DIALECTS[kind]()
