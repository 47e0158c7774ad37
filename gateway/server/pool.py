"""The open connections: how many there may be, and which one makes room for a new one."""

from typing import Protocol

from gateway.server.limits import RESERVE


class Evictable(Protocol):
    """A connection that can be closed while it answers nothing."""

    def evict(self) -> None:
        """Close it now."""


class Pool:
    """Counts the connections of a server.

    At the limit the connection that has been idle for longest makes room: silent connections cannot keep others out.
    Where all are busy, a few more are let in to be told so.
    """

    def __init__(self, most: int) -> None:
        """Make an empty pool.

        Args:
            most: connections that there may be.
        """
        self._most = most
        self._open: set[Evictable] = set()
        # In the order in which they became idle.
        self._idle: dict[Evictable, None] = {}

    def __len__(self) -> int:
        """Return the number of open connections."""
        return len(self._open)

    def add(self, connection: Evictable) -> bool:
        """Add a new connection, which is idle.

        Returns:
            Whether there is room for it; if not, it may be answered on the open paths alone.
        """
        if len(self._open) >= self._most:
            self._make_room()
        self._open.add(connection)
        self._idle[connection] = None
        return len(self._open) <= self._most

    @property
    def is_full(self) -> bool:
        """Whether even the reserve is used up."""
        return len(self._open) > self._most + RESERVE

    def remove(self, connection: Evictable) -> None:
        """Remove a connection that is closed, or soon will be."""
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def mark(self, connection: Evictable, *, idle: bool) -> None:
        """Note whether a connection answers nothing now."""
        if not idle:
            self._idle.pop(connection, None)
        elif connection in self._open:
            self._idle[connection] = None

    def _make_room(self) -> None:
        oldest = next(iter(self._idle), None)
        if oldest is not None:
            self.remove(oldest)
            oldest.evict()
