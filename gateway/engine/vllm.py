"""What only vLLM takes and gives."""

from collections.abc import Mapping, Sequence
from typing import Any


class Vllm:
    """vLLM's dialect; see `dialect`."""

    probabilities: Mapping[str, Any] = {"logprobs": True, "top_logprobs": 0}
    refuses_unknown_models = True

    def constrained(self, pattern: str) -> Mapping[str, Any]:
        """Return the members of a request whose answer is to match a regular expression."""
        return {"structured_outputs": {"regex": pattern}}

    def private(self, salt: str) -> Mapping[str, Any]:
        """Return the salt of the prefix cache, so that a client finds its own prompts only."""
        return {"cache_salt": salt}

    def tokenizing(self, model: str, text: str) -> Mapping[str, Any]:
        """Return the body of a request for the tokens of a text."""
        return {"model": model, "prompt": text, "add_special_tokens": False, "return_token_strs": True}

    def token_sizes(self, reply: Any) -> list[int] | None:
        """Return the bytes of each token: byte-level tokenizers, as Llama 3's, write each as one character."""
        tokens = reply.get("token_strs") if isinstance(reply, dict) else None
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            return None
        return [len(token) for token in tokens]

    def served(self, cards: Sequence[Mapping[str, Any]]) -> dict[str, object]:
        """Return the models with their lengths; a LoRA adapter's card has none of its own, its base has."""
        own = {str(card.get("id")): card.get("max_model_len") for card in cards}
        parents = {str(card.get("id")): own.get(str(card.get("parent"))) for card in cards}
        return {name: parents[name] if length is None else length for name, length in own.items()}
