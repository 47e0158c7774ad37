"""How much of the memory all bodies of requests may take together."""

from gateway.errors import GatewayError

_RETRY_AFTER = 2


class BodiesFullError(GatewayError):
    """The bodies of other requests take all the memory that there is for them."""

    status = 503
    retry_after = _RETRY_AFTER

    def __init__(self) -> None:
        """Make the error."""
        super().__init__("the bodies of other requests take all the room there is; try again")


class Bodies:
    """Counts the bytes of the bodies that are held now."""

    def __init__(self, most: int) -> None:
        """Make a count of none.

        Args:
            most: bytes that there may be.
        """
        self._most = most
        self.bytes = 0

    def take(self, size: int) -> None:
        """Count `size` more bytes, as they arrive: to announce a long body takes no room from others.

        Raises:
            BodiesFullError: there is no room for them.
        """
        if self.bytes + size > self._most:
            raise BodiesFullError
        self.bytes += size

    def give_back(self, size: int) -> None:
        """Count `size` bytes less."""
        self.bytes -= size
