"""Why the engine gave no answer. The texts are the gateway's own and hold nothing of what the engine said."""


class EngineError(Exception):
    """The engine gave no answer that can be used."""


class EngineUnavailableError(EngineError):
    """The engine cannot be reached, refuses for now, or broke off. Trying again may help."""


class EngineTimeoutError(EngineError):
    """The engine did not answer in the request's time."""


class EngineRejectedError(EngineError):
    """The engine refused the request; `status` is its HTTP status."""

    def __init__(self, status: int) -> None:
        """Take the status."""
        super().__init__("the engine refused the request")
        self.status = status


class EngineAnswerError(EngineError):
    """The engine's reply is not of the form that it should have."""
