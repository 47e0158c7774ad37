"""Why a text gave no fields, where the reason is not the engine's absence."""

from gateway.engine.errors import EngineUnavailableError
from gateway.errors import GatewayError


class DecodingError(GatewayError):
    """The engine's answer cannot be used."""

    status = 502

    def __init__(self, reason: str, detail: str) -> None:
        """Make the error.

        Args:
            reason: a fixed word, for metrics and the report on a chunk.
            detail: a sentence for the client, free of the answer's text.
        """
        super().__init__(detail)
        self.reason = reason


class CutAnswerError(DecodingError):
    """The answer reached max_tokens before it was whole."""

    def __init__(self, max_tokens: int) -> None:
        """Make the error for an answer of `max_tokens` tokens."""
        super().__init__(
            "cut", f"the engine's answer was cut at max_tokens ({max_tokens}); ask with a larger max_tokens"
        )


class UnknownModelError(GatewayError):
    """The engine does not serve the model that the client asked for."""

    status = 404


class AdapterMissingError(EngineUnavailableError):
    """The engine does not serve the task's adapter."""
