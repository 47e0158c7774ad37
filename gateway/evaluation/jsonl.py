"""JSON Lines files, read so that every problem can be reported with its line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a file that are not blank, numbered from 1.

    Raises:
        ValueError: the file cannot be read. The text names it.
    """
    try:
        content = path.read_text("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: cannot be read: it is not UTF-8") from None
    # Not splitlines(), which also cuts at characters that may stand in a JSON string as they are.
    return [(number, line) for number, line in enumerate(content.split("\n"), start=1) if line.strip()]


def parse_line(line: str) -> Mapping[str, Any]:
    """Read one line as a JSON object.

    Raises:
        ValueError: it is none, or has a key twice, of which JSON readers keep one silently.
    """
    try:
        record = json.loads(line, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg}, column {error.colno}") from None
    except RecursionError:
        raise ValueError("is nested too deep") from None
    if not isinstance(record, dict):
        raise ValueError("is not a JSON object")  # noqa: TRY004 - the file's fault, as above
    return record


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"has the key {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return record
