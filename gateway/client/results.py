"""The output of a bulk extraction: opened without harm to what is there, resumed, and appended to.

JSON Lines, in the order of completion: `{"index", "id", "input", "asked", "status", "result" or "error"}`. `input` is a
digest of the text, by which a later run finds what is done, `asked` has the options that were given. Only a file of
such lines is written to; everything else may be somebody's data. Lines that versions up to 0.2.0 wrote have no `asked`.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Self

from gateway.client.items import Item
from gateway.files.locking import LockedError, open_locked
from gateway.files.reading import Line, LineError
from gateway.files.results import new_salt, salt_of, text_digest
from gateway.files.writing import PRIVATE, is_stream, others_can_read, same_as_any, status_of, write_whole

STANDARD_OUTPUT = Path("-")
_COMMON, _FORMS = {"index", "id", "input", "status"}, ({"result"}, {"error"}, {"result", "asked"}, {"error", "asked"})
# How a line begins, which an interruption may have cut off.
_BEGINNING = b'{"index": '


class OutputError(Exception):
    """The output must not be written to, or cannot be. The text says what to do."""


class Results:
    """An open output. Use it as a context manager.

    `done` has the indices of the items whose results it holds already, `notices` sentences for the user.
    """

    def __init__(
        self,
        file: BinaryIO,
        asked: Mapping[str, Any],
        salt: str,
        *,
        done: frozenset[int] = frozenset(),
        notices: Sequence[str] = (),
        is_file: bool = False,
        closes: bool = True,
    ) -> None:
        """Keep what to write to: a file or else a stream, which is closed in the end where `closes` says so."""
        self.done, self.notices = done, notices
        self._file, self._asked, self._salt = file, asked, salt
        self._is_file, self._closes = is_file, closes

    def __enter__(self) -> Self:
        """Return itself; the file is open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        with suppress(OSError):  # which `write` or `sync` has reported already
            self.sync()
        if self._closes:
            with suppress(OSError):
                self._file.close()

    def sync(self) -> None:
        """Have everything on the disk.

        Raises:
            OSError: it is not there.
        """
        self._file.flush()
        if self._is_file:
            os.fsync(self._file.fileno())

    def write(self, item: Item, outcome: Mapping[str, Any]) -> None:
        """Add a line, which is out of the process when this returns.

        Args:
            item: what was asked.
            outcome: `status`, and `result` or `error`.

        Raises:
            OSError: it cannot be written.
        """
        self._file.write(_line({**_head(item, self._salt), "asked": self._asked, **outcome}))
        self._file.flush()


def _head(item: Item, salt: str) -> dict[str, Any]:
    digest = None if item.text is None else text_digest(item.text, salt)
    return {"index": item.index, "id": item.id, "input": digest}


def _line(record: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(record, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # half a character, which only an escape can hold
        return json.dumps(record).encode() + b"\n"


def open_results(output: Path, inputs: Sequence[Path], items: Sequence[Item], options: Mapping[str, Any]) -> Results:
    """Open the output, and keep of it what still holds: the results of texts that are among the items.

    Args:
        output: a file, a pipe or device, or `-` for standard output.
        inputs: the files that the command reads, none of which may be the output.
        items: what is to be asked.
        options: with which it is asked; None stands for one that is not given.

    Raises:
        OutputError: it is an input, holds something else, or was made with other options; nothing was changed.
    """
    asked = {name: value for name, value in options.items() if value is not None}
    try:
        status = _standard_output() if output == STANDARD_OUTPUT else status_of(output)
        if status is not None and (same := same_as_any(status, inputs)):
            raise OutputError(f"--output {output} is {same}, which the command reads; give the results another file")
        if output == STANDARD_OUTPUT:
            return Results(sys.stdout.buffer, asked, new_salt(), closes=False)
        if status is not None and is_stream(status):
            return Results(output.open("wb"), asked, new_salt())
        if status is not None and not stat.S_ISREG(status.st_mode):
            raise OutputError(f"--output {output} is no file; give the results a file")
        return _open_file(output, items, asked)
    except OSError as error:
        raise OutputError(f"--output {output}: cannot be written: {error.strerror}") from None


def _standard_output() -> os.stat_result | None:
    try:
        return os.fstat(sys.stdout.fileno())
    except OSError:
        return None  # it has no descriptor


def _open_file(output: Path, items: Sequence[Item], asked: Mapping[str, Any]) -> Results:
    file = _locked(output)
    try:
        raw = file.read()
        earlier = _read_earlier(output, raw)
        _refuse_other_options(output, earlier, asked)
        salt = next((salt for entry in earlier if (salt := salt_of(entry["input"] or ""))), new_salt())
        kept = _still_hold(earlier, salt, items, asked)
        lost = sum(map(_is_done, earlier)) - len(kept)
        _refuse_if_nothing_holds(output, len(kept), lost)
        content = b"".join(map(_line, kept.values()))
        if content != raw:
            write_whole(output, content, private=True)
            file.close()
            file = _locked(output)
    except BaseException:
        file.close()
        raise
    notices = tuple(_notices(output, earlier, lost))
    return Results(file, asked, salt, done=frozenset(kept), notices=notices, is_file=True)


def _locked(output: Path) -> BinaryIO:
    """Open the file for reading and appending, for this process alone.

    Raises:
        OutputError: another process has it.
    """
    try:
        return open_locked(output, PRIVATE)
    except LockedError:
        raise OutputError(f"--output {output}: another run is writing to it; wait for its end") from None


def _read_earlier(output: Path, raw: bytes) -> list[dict[str, Any]]:
    """Return the lines of a file of results.

    Raises:
        OutputError: it is none.
    """
    *lines, last = raw.split(b"\n")
    if lines:
        last = last.rstrip(b"\0")  # which a power cut may leave
    if not _is_cut_off(last, follows=bool(lines)):
        lines.append(last)
    entries: list[dict[str, Any]] = []
    for line in (Line(number, line) for number, line in enumerate(lines, start=1) if line.strip()):
        try:
            entry = line.record()
        except LineError as error:
            raise _foreign(output, line.number, str(error)) from None
        if not _is_entry(entry):
            raise _foreign(output, line.number, "is no result of this command")
        entries.append(entry)
    return entries


def _is_cut_off(line: bytes, *, follows: bool) -> bool:
    """Return whether an interruption may have left the last line, which follows others or is the only one."""
    try:
        Line(0, line).record()
    except LineError:
        return line.startswith(_BEGINNING) or (follows and _BEGINNING.startswith(line))
    return False


def _is_entry(record: Mapping[str, Any]) -> bool:
    return (
        set(record) - _COMMON in _FORMS
        and set(record) >= _COMMON
        and type(record["index"]) is int
        and isinstance(record["input"], str | None)
        and type(record["status"]) is int
        and isinstance(record.get("asked", {}), dict)
    )


def _foreign(output: Path, number: int, reason: str) -> OutputError:
    return OutputError(
        f"--output {output} is not a file of results (line {number} {reason}), so nothing was written to it; "
        "give a file that does not exist, is empty or holds the results of an earlier run"
    )


def _refuse_if_nothing_holds(output: Path, kept: int, lost: int) -> None:
    """Refuse to drop all results, as the output is likely another input's."""
    if lost and not kept:
        raise OutputError(
            f"--output {output} holds {lost} result(s), none of a text of this input; "
            "give another --output, or remove that file if you do not need it"
        )


def _refuse_other_options(output: Path, earlier: Iterable[Mapping[str, Any]], asked: Mapping[str, Any]) -> None:
    for entry in filter(_is_done, earlier):
        before = entry["asked"] if "asked" in entry else _told_by(entry["result"], asked)
        different = [
            f"{_name(name)} was {_shown(before.get(name))} and is {_shown(asked.get(name))}"
            for name in dict.fromkeys((*before, *asked))
            if before.get(name) != asked.get(name)
        ]
        if different:
            raise OutputError(
                f"--output {output} holds results of other options: {'; '.join(different)}; "
                "give another --output, or the options of then to go on with it"
            )


def _told_by(result: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as far as a result without `asked` tells them, and the present ones where it does not."""
    # Only the answer for a named task has its fields in `fields`.
    told = {"task": result.get("task") if isinstance(result.get("fields"), dict) else None}
    if "model" in asked:
        told["model"] = result.get("model")
    return {**asked, **told}


def _name(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _shown(value: object) -> str:
    return "not given" if value is None else str(value)


def _is_done(entry: Mapping[str, Any]) -> bool:
    return entry["status"] == 200 and isinstance(entry.get("result"), dict) and entry["input"] is not None


def _still_hold(
    earlier: Iterable[dict[str, Any]], salt: str, items: Iterable[Item], asked: Mapping[str, Any]
) -> dict[int, dict[str, Any]]:
    """Return the results that are of one of the items, by its index, as if they were written now.

    By the text alone: whatever place or id it has now, its result is the same. Of a text that is there twice, each has
    a result of its own.
    """
    by_text: dict[str, deque[dict[str, Any]]] = defaultdict(deque)
    for entry in sorted(filter(_is_done, earlier), key=lambda entry: entry["index"]):
        by_text[entry["input"]].append(entry)
    salts = dict.fromkeys(map(salt_of, by_text))
    kept: dict[int, dict[str, Any]] = {}
    for item in items:
        if item.text is None:
            continue
        found = next((pool for each in salts if (pool := by_text.get(text_digest(item.text, each)))), None)
        if found:
            outcome = {name: found[0][name] for name in ("status", "result")}
            kept[item.index] = _head(item, salt) | {"asked": dict(asked)} | outcome
            found.popleft()
    return kept


def _notices(output: Path, earlier: Iterable[Mapping[str, Any]], lost: int) -> Iterator[str]:
    if any("asked" not in entry for entry in earlier):
        yield (
            f"{output} was begun by an earlier version, which did not note its options: make sure that it was asked "
            "with the same --grounding, --model, --temperature and --max-tokens"
        )
    if others_can_read(output.stat()):
        yield f"other users can read {output}, which holds clinical text: chmod 600 takes that from them"
    if lost:
        yield f"{lost} earlier result(s) were of texts that the input no longer has, and were dropped"
