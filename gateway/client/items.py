"""The texts of a JSON Lines file, each with what keeps it from being asked, if anything does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.files.reading import Line, LineError, read_lines


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the input. `index` counts from 0 without blank lines, `line` from 1 with them.

    Either `text` or `problem`, a sentence without anything of the line, is None.
    """

    index: int
    line: int
    id: Any
    text: str | None
    problem: str | None = None


def read_items(path: Path, text_field: str, id_field: str) -> list[Item]:
    """Read the input. A line that cannot be used becomes an item with a problem.

    Args:
        path: a file with a JSON object a line; blank lines are skipped.
        text_field: the member that holds the text.
        id_field: the member that holds the id, which may be missing.

    Raises:
        ReadError: the file cannot be read.
    """
    return [_item(index, line, text_field, id_field) for index, line in enumerate(read_lines(path))]


def _item(index: int, line: Line, text_field: str, id_field: str) -> Item:
    try:
        record = line.record()
    except LineError as error:
        return Item(index, line.number, None, None, str(error))
    text = record.get(text_field)
    if not isinstance(text, str):
        problem = f"has no text in {text_field!r}; --text-field names another member"
        return Item(index, line.number, record.get(id_field), None, problem)
    if not text.strip():
        return Item(index, line.number, record.get(id_field), None, f"the text in {text_field!r} is blank")
    return Item(index, line.number, record.get(id_field), text)
