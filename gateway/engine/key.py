"""The key that the engine asks of the gateway, from a file; it is logged nowhere."""

import re
import time
from pathlib import Path

from loguru import logger

from gateway.files.reading import ReadError, read_text
from gateway.settings import SettingsError

_KEY = re.compile(r"[\x21-\x7e]+")
_CHECK_SECONDS = 1.0


class EngineKey:
    """The key in a file, which is read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            SettingsError: it holds no key; the text says what to write.
        """
        self._path = path
        self._last_stamp = self._stamp()
        self._key = _read(path)
        self._checked_at = time.monotonic()

    def current(self) -> str:
        """Return the key, looking for a change once a second at most; a bad file leaves the key as it is."""
        now = time.monotonic()
        if now - self._checked_at >= _CHECK_SECONDS:
            self._checked_at = now
            if (stamp := self._stamp()) != self._last_stamp:
                self._last_stamp = stamp
                self._reload()
        return self._key

    def _reload(self) -> None:
        try:
            self._key = _read(self._path)
        except SettingsError as error:
            logger.error(
                "the changed file of the engine's key cannot be used; the previous key stays", cause=str(error)
            )
        else:
            logger.info("the engine's key was read again")

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _read(path: Path) -> str:
    try:
        key = read_text(path).strip()
    except ReadError as error:
        raise SettingsError(f"GATEWAY_ENGINE_API_KEY_FILE: {error}") from None
    if not key:
        raise SettingsError(
            f"GATEWAY_ENGINE_API_KEY_FILE: {path} is empty; write the engine's key into it, or unset the variable "
            "where the engine asks for none"
        )
    if not _KEY.fullmatch(key):
        raise SettingsError(
            f"GATEWAY_ENGINE_API_KEY_FILE: {path} must hold one key alone, of visible ASCII characters without spaces"
        )
    return key
