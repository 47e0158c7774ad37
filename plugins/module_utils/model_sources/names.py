"""Names of files as a bucket, a hub or a list of checksums gives them: which may become paths below a folder.

Whoever may write to a source chooses these names, and they are joined to a folder by root.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

# What a file system takes for one part of a path, and S3 for a whole key, in bytes.
PART_BYTES, NAME_BYTES = 255, 1024
SHOWN_CHARACTERS = 120


def name_problem(name: object) -> str | None:
    """Return why a name is no path below a folder, in words that follow the name; None when it is one."""
    if not isinstance(name, str):
        return "is no text"
    if any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in name):
        return "holds a control character"
    if "\\" in name:
        return "holds a backslash"
    parts = name.split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        return "leaves its folder: it is empty, begins or ends with a slash, or has an empty part, . or .. in it"
    if len(name.encode()) > NAME_BYTES or any(len(part.encode()) > PART_BYTES for part in parts):
        return f"is longer than {PART_BYTES} bytes in one part or {NAME_BYTES} in all"
    return None


def clash(names: Iterable[str]) -> tuple[str, str] | None:
    """Return two of the names that one file system may take for the same path, or None.

    Such are two that differ by case or by Unicode normalisation only, as a whole or in a folder, and a file that has
    the name of another's folder.
    """
    seen: dict[str, tuple[str, str, bool]] = {}
    for name in names:
        parts = name.split("/")
        for depth in range(1, len(parts) + 1):
            path, is_file = "/".join(parts[:depth]), depth == len(parts)
            first, first_path, first_is_file = seen.setdefault(_folded(path), (name, path, is_file))
            same = first_path == path and not is_file and not first_is_file
            if first != name and not same:
                return first, name
    return None


def shown(name: object) -> str:
    """Return a name for a message, on one line whatever it holds, and not at any length."""
    text = ascii(name)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def _folded(path: str) -> str:
    """Return what paths have in common that differ by case or by Unicode normalisation only."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
