"""Text is read as it stands in the file, and what is no text is refused with its place."""

import io
import os
from pathlib import Path

import pytest

from gateway.files.reading import (
    LineError,
    ReadError,
    check_argument,
    read_lines,
    read_standard_input,
    read_text,
    surrogate_at,
)

# What `str.splitlines` and universal newlines would take for the end of a line.
LINE_ENDS = "a\r\nb\rc\nd\x0be\x0cf\x85g\u2028h\u2029i"


@pytest.mark.parametrize("text", ["", "plain", "é😀", LINE_ENDS, "\r\n\r\n", "a\ufeffb"])
def test_a_text_keeps_its_line_ends(text: str, tmp_path: Path) -> None:
    (tmp_path / "note").write_bytes(text.encode())
    assert read_text(tmp_path / "note") == text
    assert read_standard_input(io.BytesIO(text.encode())) == text


def test_a_byte_order_mark_is_not_of_the_text(tmp_path: Path) -> None:
    raw = "\ufeffnote".encode()
    (tmp_path / "note").write_bytes(raw)
    assert read_text(tmp_path / "note") == read_standard_input(io.BytesIO(raw)) == "note"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("caf\xe9".encode("latin-1"), "byte 0xe9 at offset 3"),
        ("\ufeffcafé".encode("utf-16-le"), "byte 0xff at offset 0"),
        (b"ab\xed\xa0\xbd", "byte 0xed at offset 2"),  # half a character, as some programs encode it
        ("é".encode()[:1], "byte 0xc3 at offset 0"),
        (b"a\x80", "byte 0x80 at offset 1"),
    ],
)
def test_what_is_not_utf_8_is_refused_with_name_and_offset(raw: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "note"
    path.write_bytes(raw)
    with pytest.raises(ReadError, match=f"^{path} is not UTF-8: {problem}; convert it to UTF-8$"):
        read_text(path)
    with pytest.raises(ReadError, match=f"^standard input is not UTF-8: {problem}"):
        read_standard_input(io.BytesIO(raw))


def test_an_argument_that_is_not_utf_8_is_refused_with_its_offset() -> None:
    check_argument("café 😀", "the text")
    with pytest.raises(ReadError, match=r"^the text is not UTF-8: byte 0xe9 at offset 5"):
        check_argument(os.fsdecode("é-".encode() + b"ab\xe9"), "the text")
    with pytest.raises(ReadError, match=r"^the text is not UTF-8: byte 0xed at offset 1"):
        check_argument("a\ud83d", "the text")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=f"^{tmp_path}/none: cannot be read: No such file"):
        read_text(tmp_path / "none")
    with pytest.raises(ReadError, match=f"^{tmp_path}: cannot be read: Is a directory"):
        read_lines(tmp_path)
    with pytest.raises(ReadError, match=r"^standard input is closed"):
        read_standard_input(None)


def test_a_line_ends_at_a_line_feed_alone_and_blank_ones_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes('\ufeff{"a": "\u2028\x85"}\r\n \t\r\n\n\ufeff{"b": 1}'.encode())
    lines = read_lines(path)
    assert [line.number for line in lines] == [1, 4]
    (tmp_path / "nothing").write_bytes("\ufeff\r\n".encode())
    assert read_lines(tmp_path / "nothing") == []
    assert [line.record() for line in lines] == [{"a": "\u2028\x85"}, {"b": 1}]


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"{", "is not JSON: Expecting property name enclosed in double quotes, column 2"),
        (b"text", "is not JSON: Expecting value, column 1"),
        (b"[]", "is not a JSON object"),
        (b'"x"', "is not a JSON object"),
        (b"{} {}", "is not JSON: Extra data, column 4"),
        (b'{"a": 1, "a": 2}', "has the key 'a' twice"),
        (b'{"a": {"b": 1, "b": 2}}', "has the key 'b' twice"),
        (b'{"a": NaN}', "is not JSON: NaN is no JSON value"),
        (b'{"a": [-1e999]}', "has a number that is too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "has a number of too many digits"),
        (b'{"a": ' + b"[" * 100_000, "is nested too deep"),
        (b'{"a": "caf\xe9"}', "is not UTF-8: byte 0xe9 at offset 10; convert it to UTF-8"),
        (b"\0\0\0", "is not JSON: Expecting value, column 1"),
    ],
)
def test_a_line_that_is_no_object_says_why_and_leaves_the_others(raw: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b'{"a": 1}\n' + raw + b'\n{"a": 2}\n')
    first, bad, last = read_lines(tmp_path / "lines")
    assert (first.record(), last.record()) == ({"a": 1}, {"a": 2})
    with pytest.raises(LineError) as refused:
        bad.record()
    assert str(refused.value) == problem


def test_a_file_of_lines_in_utf_16_is_refused_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text('{"a": 1}\n{"a": 2}\n', "utf-16")
    with pytest.raises(ReadError, match="is not UTF-8: byte 0xff at offset 0"):
        read_lines(tmp_path / "lines")


@pytest.mark.parametrize(
    ("start", "remedy"),
    [
        (b"\x1f\x8b\x08", "gzip: unpack it first, as `gunzip --keep` does"),
        (b"BZh91AY", "bzip2: unpack it first, as `bunzip2 --keep` does"),
        (b"\xfd7zXZ\x00", "xz: unpack it first, as `unxz --keep` does"),
        (b"\x28\xb5\x2f\xfd", "Zstandard: unpack it first, as `unzstd` does"),
        (b"PK\x03\x04", "a ZIP archive, as Office documents are too: unpack it, or save it as plain text"),
        (b"%PDF-1.7\n", "a PDF: extract its text first, as `pdftotext` does"),
    ],
)
def test_a_file_of_another_kind_is_named_and_what_to_do(start: bytes, remedy: str, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_bytes(start + b"\xe9\n\x80\n")
    for read in (read_text, read_lines):
        with pytest.raises(ReadError, match=f"^{path} is (compressed by )?{remedy}$"):
            read(path)
    # As text each of these is only a beginning.
    path.write_bytes(start.decode("latin-1").encode())
    assert read_text(path) == start.decode("latin-1")
    assert len(read_lines(path)) == 1


@pytest.mark.parametrize(
    ("text", "at"), [("", None), ("é😀", None), ("ab\ud83d", 2), ("\udce9", 0), ("\ude00\ud83d", 0)]
)
def test_half_a_character_is_found(text: str, at: int | None) -> None:
    assert surrogate_at(text) == at
