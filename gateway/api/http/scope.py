"""What the middleware and the endpoints tell each other by a request's ASGI scope."""

from starlette.types import Scope

REQUEST_ID = "gateway.request_id"
CLIENT = "gateway.client"
STATUS = "gateway.status"


def request_id(scope: Scope) -> str:
    """Return the id of the request that `scope` belongs to."""
    return str(scope[REQUEST_ID])


def client(scope: Scope) -> str:
    """Return the name of the client that sent the request."""
    return str(scope[CLIENT])


def log_status(scope: Scope, status: int) -> None:
    """Have another status logged than the one that was sent, such as 499 for a client that went away."""
    scope[STATUS] = status
