"""When a file that is kept in memory has to be read again."""

import time
from pathlib import Path

_CHECK_SECONDS = 1.0


class WatchedFile:
    """Says when a file is due to be read again: once it has changed, and as long as it could not be used.

    Attributes:
        path: of the file.
        is_usable: what its reader has found. An unusable file is due at each check: what made it so, such as its mode,
            need not show in its stamp.
    """

    def __init__(self, path: Path) -> None:
        """Begin with the file as it is now; it is to be read behind this, so that no change in between is missed."""
        self.path = path
        self.is_usable = True
        self._stamp = self._stamp_now()
        self._checked_at = time.monotonic()

    def is_due(self) -> bool:
        """Return whether to read it now; it is looked at once a second at most."""
        now = time.monotonic()
        if now - self._checked_at < _CHECK_SECONDS:
            return False
        self._checked_at = now
        stamp, earlier = self._stamp_now(), self._stamp
        self._stamp = stamp
        return stamp != earlier or not self.is_usable

    def _stamp_now(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size
