"""The base class of the errors that the gateway answers a client with."""


class GatewayError(Exception):
    """An error whose text a client may read: it quotes nothing that the client or the engine sent.

    Attributes:
        status: the HTTP status of the answer.
        retry_after: whole seconds after which the same request may succeed, or None where waiting does not help.
    """

    status: int = 500
    retry_after: int | None = None
