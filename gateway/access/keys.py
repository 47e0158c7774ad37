"""API keys: a file of `name:sha256-hex` lines, read again when it changes. The keys themselves are stored nowhere."""

import hashlib
import hmac
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

from loguru import logger

from gateway.files.reading import ReadError, read_text
from gateway.files.watching import WatchedFile

_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63}):([0-9a-f]{64})")


class KeysFileError(Exception):
    """The keys file cannot be used. The text is `file:line: reason` and never holds a key or a hash."""


def create_key(name: str) -> tuple[str, str]:
    """Make a new random key.

    Args:
        name: of the client that gets the key.

    Returns:
        The key (256 random bits) and the line for the keys file.

    Raises:
        ValueError: the name cannot stand in the file.
    """
    key = f"slm_{secrets.token_urlsafe(32)}"
    line = f"{name}:{_digest(key).hex()}"
    if not _LINE.fullmatch(line):
        raise ValueError(
            "a name has 1 to 64 letters, digits, dots, hyphens and underscores, and begins with a letter or digit"
        )
    return key, line


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _parse(path: Path) -> tuple[tuple[str, bytes], ...]:
    try:
        text = read_text(path)
    except ReadError as error:
        raise KeysFileError(str(error)) from None
    entries = []
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        match = _LINE.fullmatch(entry)
        if match is None:
            raise KeysFileError(f"{path}:{number}: is not name:sha256-hex (64 small hexadecimal digits)")
        entries.append((match[1], bytes.fromhex(match[2])))
    return tuple(entries)


class Keyring:
    """The API keys that are accepted.

    Attributes:
        clients: the number of clients that have a key.
    """

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            KeysFileError: it cannot be read or holds a bad line.
        """
        self._file = WatchedFile(path)
        self._accept(_parse(path))
        self._stale_since: datetime | None = None
        if not self._entries:
            logger.warning("the keys file holds no key: every request will be refused", file=str(path))

    def _accept(self, entries: tuple[tuple[str, bytes], ...]) -> None:
        self._entries = entries
        self.clients = len({name for name, _ in entries})

    @property
    def stale_since(self) -> datetime | None:
        """Since when the file has been gone or unusable, so that keys stay valid which it may no longer hold."""
        self._reload()
        return self._stale_since

    def identify(self, key: str) -> str | None:
        """Return the name of the client that holds `key`, or None.

        Every entry is compared, each in constant time, so that timing reveals nothing about the keys.
        """
        self._reload()
        presented = _digest(key)
        client = None
        for name, digest in self._entries:
            if hmac.compare_digest(digest, presented):
                client = name
        return client

    def _reload(self) -> None:
        """Read a changed file again, looking once a second at most; a bad file leaves the keys as they are."""
        if not self._file.is_due():
            return
        try:
            self._accept(_parse(self._file.path))
        except KeysFileError as error:
            self._file.is_usable = False
            if self._stale_since is None:
                self._stale_since = datetime.now(UTC)
                logger.error("the changed keys file cannot be used; the previous keys stay valid", reason=str(error))
        else:
            self._file.is_usable = True
            self._stale_since = None
            logger.info("the keys file was read again", keys=len(self._entries))
