"""Reading text as it is: UTF-8, with or without a byte order mark, and with the line ends that it has.

Line ends are not translated, so that an offset into the text is one into the file.
"""

from __future__ import annotations

import codecs
import json
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

STANDARD_INPUT = Path("-")
"""How a command line names standard input where it takes a file."""

_BOM = "\ufeff"
# How files of other kinds begin. Some of these bytes are UTF-8, so that they say something of a file that is none only.
_OTHER_KINDS = {
    b"\x1f\x8b": "is compressed by gzip: unpack it first, as `gunzip --keep` does",
    b"BZh": "is compressed by bzip2: unpack it first, as `bunzip2 --keep` does",
    b"\xfd7zXZ\x00": "is compressed by xz: unpack it first, as `unxz --keep` does",
    b"\x28\xb5\x2f\xfd": "is compressed by Zstandard: unpack it first, as `unzstd` does",
    b"PK\x03\x04": "is a ZIP archive, as Office documents are too: unpack it, or save it as plain text",
    b"%PDF-": "is a PDF: extract its text first, as `pdftotext` does",
}


class ReadError(Exception):
    """Something cannot be read as text. The message names it, says where, and quotes nothing of it."""


class LineError(Exception):
    """A line is no JSON object. The message says why, and quotes no value."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a JSON Lines file; `number` counts from 1. It is decoded by itself, so its faults are its own."""

    number: int
    raw: bytes

    def record(self) -> dict[str, Any]:
        """Return the line's JSON object.

        Raises:
            LineError: it is none, or has a key twice, of which JSON readers keep one silently.
        """
        try:
            text = decode(self.raw, "the line")
        except ReadError as error:
            raise LineError(str(error).removeprefix("the line ")) from None
        try:
            record = json.loads(
                text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant, parse_float=_finite
            )
        except json.JSONDecodeError as error:
            raise LineError(f"is not JSON: {error.msg}, column {error.colno}") from None
        except ValueError:
            raise LineError("has a number of too many digits") from None
        except RecursionError:
            raise LineError("is nested too deep") from None
        if not isinstance(record, dict):
            raise LineError("is not a JSON object")
        return record


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise LineError(f"has the key {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return record


def _refuse_constant(name: str) -> Any:
    raise LineError(f"is not JSON: {name} is no JSON value")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):  # which could be written as no JSON
        raise LineError("has a number that is too large")
    return number


def read_text(path: Path) -> str:
    """Return a file's text.

    Raises:
        ReadError: it cannot be read, or is not UTF-8.
    """
    return decode(_read(path), str(path))


def read_lines(path: Path) -> list[Line]:
    """Return the lines of a JSON Lines file, or of standard input (`STANDARD_INPUT`), that are not blank.

    Raises:
        ReadError: the file cannot be read, or is no UTF-8 as a whole; of other bytes that are none, the line tells.
    """
    is_given = path == STANDARD_INPUT
    raw = _read_stream(None if sys.stdin is None else sys.stdin.buffer) if is_given else _read(path)
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, *_OTHER_KINDS)):
        decode(raw, "standard input" if is_given else str(path))
    # At line feeds alone, as other characters that end a line may stand in a JSON string as they are.
    lines = enumerate(raw.split(b"\n"), start=1)
    return [Line(number, line) for number, line in lines if line.removeprefix(codecs.BOM_UTF8).strip()]


def read_standard_input(stream: BinaryIO | None) -> str:
    """Return the text that standard input holds.

    Args:
        stream: its bytes; None where the process has none.

    Raises:
        ReadError: it cannot be read, or is not UTF-8.
    """
    return decode(_read_stream(stream), "standard input")


def check_argument(text: str, name: str) -> None:
    """Refuse an argument whose bytes are not UTF-8, which Python hands over as lone surrogates.

    Raises:
        ReadError: it is such a one.
    """
    if surrogate_at(text) is None:
        return
    try:
        raw = os.fsencode(text)
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "surrogatepass")
    decode(raw, name)


def surrogate_at(text: str) -> int | None:
    """Return where the text has half of a character (a lone surrogate), which no encoding can write; else None."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def decode(raw: bytes, name: str) -> str:
    """Return the text that UTF-8 bytes stand for, without a byte order mark.

    Args:
        raw: the bytes.
        name: what they are, for the message.

    Raises:
        ReadError: they are not UTF-8.
    """
    try:
        return raw.decode().removeprefix(_BOM)
    except UnicodeDecodeError as error:
        if kind := next((kind for start, kind in _OTHER_KINDS.items() if raw.startswith(start)), None):
            raise ReadError(f"{name} {kind}") from None
        raise ReadError(
            f"{name} is not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}; convert it to UTF-8"
        ) from None


def _read_stream(stream: BinaryIO | None) -> bytes:
    if stream is None:
        raise ReadError("standard input is closed")
    try:
        return stream.read()
    except OSError as error:
        raise ReadError(f"standard input cannot be read: {error.strerror}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ReadError(f"{path}: cannot be read: {error.strerror}") from None
