"""Why the engine gave no answer. The messages are the gateway's own and quote nothing that the engine sent."""

from gateway.errors import GatewayError


class EngineError(GatewayError):
    """The engine gave no answer that can be used.

    Attributes:
        reason: a fixed word, for the metrics and the log.
        cause: a sentence for the operator, or empty where the error's own says all.
        engine_status: the HTTP status of the engine's answer, or None where there was none.
    """

    status = 502

    def __init__(self, detail: str, *, reason: str, cause: str = "", engine_status: int | None = None) -> None:
        """Make the error.

        Args:
            detail: a sentence for the client.
            reason: a fixed word.
            cause: what the operator should know beyond it.
            engine_status: the HTTP status of the engine's answer.
        """
        super().__init__(detail)
        self.reason = reason
        self.cause = cause
        self.engine_status = engine_status


class EngineUnavailableError(EngineError):
    """The engine cannot be reached, refuses for now, or broke off. Trying again may help."""

    status = 503
    retry_after = 5

    def __init__(
        self, detail: str, *, reason: str = "unavailable", cause: str = "", engine_status: int | None = None
    ) -> None:
        """Make the error, as `EngineError`."""
        super().__init__(detail, reason=reason, cause=cause, engine_status=engine_status)


class EngineTimeoutError(EngineError):
    """The engine did not answer in the request's time."""

    status = 504


class EngineRejectedError(EngineError):
    """The engine refused the request, as the model is not served (404) or as the request is not valid (others)."""

    def __init__(self, engine_status: int) -> None:
        """Make the error for a status of the engine."""
        reason = "no_such_model" if engine_status == 404 else "rejected"
        super().__init__("the engine refused the request", reason=reason, engine_status=engine_status)


class EngineSetupError(EngineError):
    """The gateway is set up wrongly for this engine, which the operator must put right."""

    def __init__(self, *, reason: str, cause: str, engine_status: int) -> None:
        """Make the error, as `EngineError`."""
        detail = "the engine does not accept the gateway's requests; its operator finds the reason in the log"
        super().__init__(detail, reason=reason, cause=cause, engine_status=engine_status)


class EngineAnswerError(EngineError):
    """The engine's reply does not have the form that it should have."""

    def __init__(self, detail: str, *, reason: str = "bad_reply", cause: str = "") -> None:
        """Make the error, as `EngineError`."""
        super().__init__(detail, reason=reason, cause=cause)
