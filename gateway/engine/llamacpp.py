"""What only llama.cpp's server takes and gives."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_ESCAPE_OR_SLASH = re.compile(r"\\.|/", re.DOTALL)


class LlamaCpp:
    """llama.cpp's dialect; see `dialect`."""

    # It gives no probabilities where no alternative is asked for.
    probabilities: Mapping[str, Any] = {"logprobs": True, "top_logprobs": 1}
    # It answers for any name, with the one model that it has.
    refuses_unknown_models = False

    def constrained(self, pattern: str) -> Mapping[str, Any]:
        """Return a grammar of one expression, for LLGuidance; a server without it answers 400.

        `structured_outputs` and an unknown member are ignored without a word.
        """
        escaped = _ESCAPE_OR_SLASH.sub(lambda found: r"\/" if found[0] == "/" else found[0], pattern)
        return {"grammar": f"%llguidance {{}}\nstart: /{escaped}/\n"}

    def private(self, salt: str) -> Mapping[str, Any]:
        """Return that no cached prompt is to be used: there is one cache for all clients, and no salt."""
        del salt
        return {"cache_prompt": False}

    def tokenizing(self, model: str, text: str) -> Mapping[str, Any]:
        """Return the body of a request for the tokens of a text."""
        del model
        return {"content": text, "add_special": False, "parse_special": False, "with_pieces": True}

    def token_sizes(self, reply: Any) -> list[int] | None:
        """Return the bytes of each token: of its text, or of the list of them where it is no whole characters."""
        tokens = reply.get("tokens") if isinstance(reply, dict) else None
        if not isinstance(tokens, list):
            return None
        pieces = [token.get("piece") if isinstance(token, dict) else None for token in tokens]
        if not all(isinstance(piece, str | list) for piece in pieces):
            return None
        return [len(piece.encode() if isinstance(piece, str) else piece) for piece in pieces if piece is not None]

    def served(self, cards: Sequence[Mapping[str, Any]]) -> dict[str, object]:
        """Return the models and their other names; a length is what one of the server's slots takes."""
        lengths: dict[str, object] = {}
        for card in cards:
            meta, aliases = card.get("meta"), card.get("aliases")
            length = meta.get("n_ctx") if isinstance(meta, dict) else None
            names = [card.get("id"), *(aliases if isinstance(aliases, list) else ())]
            lengths |= {str(name): length for name in names}
        return lengths
