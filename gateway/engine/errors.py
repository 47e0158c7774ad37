"""Why the engine gave no answer. The messages are the gateway's own and quote nothing that the engine sent."""

from gateway.errors import GatewayError


class EngineError(GatewayError):
    """The engine gave no answer that can be used."""

    status = 502


class EngineUnavailableError(EngineError):
    """The engine cannot be reached, refuses for now, or broke off. Trying again may help."""

    status = 503
    retry_after = 5


class EngineTimeoutError(EngineError):
    """The engine did not answer in the request's time."""

    status = 504


class EngineRejectedError(EngineError):
    """The engine refused the request with the HTTP status `engine_status`."""

    def __init__(self, engine_status: int) -> None:
        """Make the error for a status of the engine."""
        super().__init__("the engine refused the request")
        self.engine_status = engine_status


class EngineAnswerError(EngineError):
    """The engine's reply does not have the form that it should have."""
