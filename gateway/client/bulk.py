"""Extraction of a file of texts: several at once, with a progress bar, and resumable.

Input and output are JSON Lines. An output line is `{"index", "id", "input", "status", "result" or "error"}`; `input` is
a digest of the text, so that a later run can skip what is done. Lines are in the order of completion.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from gateway.client.client import Client, ClientError


class InputError(Exception):
    """The input file cannot be used. The text is `file:line: reason`."""


@dataclass(frozen=True, slots=True)
class Item:
    """One text of the input."""

    index: int
    id: Any
    text: str

    @property
    def digest(self) -> str:
        """Equal for equal texts."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Summary:
    """How many texts were done before this run, were done by it, and failed."""

    before: int
    done: int
    failed: int


def read_items(path: Path, text_field: str, id_field: str) -> list[Item]:
    """Read the input.

    Args:
        path: a file with a JSON object a line; empty lines are skipped.
        text_field: the member that holds the text.
        id_field: the member that holds the id, which may be missing.

    Raises:
        InputError: a line is no such object, or the file cannot be read.
    """
    try:
        # Not splitlines(), which also cuts at characters that may stand in a JSON string as they are.
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"{path}: cannot be read: {reason}") from None
    items: list[Item] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}:{number}: is not JSON: {error.msg}") from None
        text = document.get(text_field) if isinstance(document, dict) else None
        if not isinstance(text, str):
            raise InputError(f"{path}:{number}: has no text in {text_field!r}; --text-field names another member")
        items.append(Item(len(items), document.get(id_field), text))
    return items


async def run(
    client: Client, items: list[Item], output: Path, *, jobs: int, progress: TextIO, **choices: Any
) -> Summary:
    """Extract the texts whose results the output does not hold yet.

    Args:
        client: an open client.
        items: the input.
        output: where the results go; results of an earlier run stay, its failures are tried again.
        jobs: how many texts are at the gateway at once.
        progress: where the progress bar goes.
        choices: as for `Client.extract`.

    Raises:
        OSError: the output cannot be written.
    """
    kept = _keep_done(output, items)
    remaining = iter([item for item in items if item.index not in kept])
    total = len(items) - len(kept)
    failed = 0
    with output.open("a", encoding="utf-8") as file, tqdm(total=total, unit="text", file=progress) as bar:

        async def work() -> None:
            nonlocal failed
            for item in remaining:
                entry: dict[str, Any] = {"index": item.index, "id": item.id, "input": item.digest}
                try:
                    entry |= {"status": 200, "result": await client.extract(item.text, **choices)}
                except ClientError as error:
                    failed += 1
                    bar.set_postfix(failed=failed)
                    entry |= {"status": error.status, "error": str(error)}
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
                file.flush()
                bar.update()

        async with asyncio.TaskGroup() as group:
            for _ in range(min(jobs, total)):
                group.create_task(work())
    return Summary(len(kept), total - failed, failed)


def _keep_done(output: Path, items: list[Item]) -> set[int]:
    """Drop from the output what is not a result of these items, and return the indices of the rest."""
    if not output.exists():
        return set()
    digests = {item.index: item.digest for item in items}
    kept: dict[int, str] = {}
    for index, digest, line in _entries(output):
        if digests.get(index) == digest:
            kept.setdefault(index, line)
    # Written whole and renamed, so that an interrupted start loses nothing.
    new = output.with_name(f".{output.name}.new")
    new.write_text("".join(f"{line}\n" for line in kept.values()), "utf-8")
    os.replace(new, output)  # noqa: PTH105 - clearer than Path.replace
    return set(kept)


def _entries(output: Path) -> Iterator[tuple[int, str, str]]:
    for line in output.read_text("utf-8", errors="replace").split("\n"):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue  # cut off when an earlier run was interrupted
        if isinstance(entry, dict) and entry.get("status") == 200 and isinstance(entry.get("index"), int):
            yield entry["index"], str(entry.get("input")), line
