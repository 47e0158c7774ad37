"""What the server, the middleware and the endpoints tell each other by a request's ASGI scope."""

from starlette.types import Scope

from gateway.errors import GatewayError

REQUEST_ID = "gateway.request_id"
CLIENT = "gateway.client"
STATUS = "gateway.status"
# Bytes of the request's body that count towards those of all requests.
BODY_BYTES = "gateway.body_bytes"
# The server has more connections than it should have, and this request came over one of the last.
OVERLOADED = "gateway.overloaded"
_INTERRUPTION = "gateway.interruption"


def request_id(scope: Scope) -> str:
    """Return the id of the request that `scope` belongs to."""
    return str(scope[REQUEST_ID])


def client(scope: Scope) -> str:
    """Return the name of the client that sent the request."""
    return str(scope[CLIENT])


def log_status(scope: Scope, status: int) -> None:
    """Have another status logged than the one that was sent, such as 499 for a client that went away."""
    scope[STATUS] = status


def interrupt(scope: Scope, error: GatewayError) -> None:
    """Note why the server reads no more of a request whose client is still there: it is to be answered with `error`.

    To the application it looks as if the client had gone away.
    """
    scope[_INTERRUPTION] = error


def interruption(scope: Scope) -> GatewayError | None:
    """Return what to answer a request with that ended early, or None when its client is gone."""
    error = scope.get(_INTERRUPTION)
    return error if isinstance(error, GatewayError) else None
