"""The key that a command calls the gateway with: from the environment or a file, never from an argument."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.files.reading import read_text

KEY, KEY_FILE = "GATEWAY_API_KEY", "GATEWAY_API_KEY_FILE"


class KeyUnusableError(Exception):
    """The key cannot be sent. The text says where it came from, and shows nothing of it."""


def key_path(argument: Path | None) -> Path | None:
    """Return the file that holds the key, by argument or environment; None where there is none."""
    named = os.environ.get(KEY_FILE)
    return argument or (Path(named) if named else None)


def read_key(argument: Path | None) -> str | None:
    """Return the key, without the white space around it that files and secrets end with; None where there is none.

    Args:
        argument: the file that the command line names, or None.

    Raises:
        KeyUnusableError: it is empty, or has a character that cannot be in an HTTP header.
        ReadError: the file cannot be read.
    """
    path = key_path(argument)
    source = KEY if path is None else str(path)
    key = (os.environ.get(KEY, "") if path is None else read_text(path)).strip()
    if not key and path is not None:
        raise KeyUnusableError(f"{source}: holds no key")
    # Beyond ASCII, clients and servers encode headers in different ways.
    wrong = next((at for at, character in enumerate(key, start=1) if not " " <= character <= "~"), None)
    if wrong is not None:
        raise KeyUnusableError(
            f"{source}: character {wrong} of the key is a line break, a control character or not ASCII; "
            "give the key alone, on one line"
        )
    return key or None
