"""The key that the engine asks of the gateway, from a file; it is logged nowhere."""

import re
from pathlib import Path

from loguru import logger

from gateway.files.reading import ReadError, read_text
from gateway.files.watching import WatchedFile
from gateway.settings import SettingsError

_KEY = re.compile(r"[\x21-\x7e]+")


class EngineKey:
    """The key in a file, which is read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            SettingsError: it holds no key; the text says what to write.
        """
        self._file = WatchedFile(path)
        self._key = _read(path)

    def current(self) -> str:
        """Return the key, looking for a change once a second at most; a bad file leaves the key as it is."""
        if self._file.is_due():
            self._reload()
        return self._key

    def _reload(self) -> None:
        try:
            self._key = _read(self._file.path)
        except SettingsError as error:
            if self._file.is_usable:
                logger.error(
                    "the changed file of the engine's key cannot be used; the previous key stays", cause=str(error)
                )
            self._file.is_usable = False
        else:
            self._file.is_usable = True
            logger.info("the engine's key was read again")


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
