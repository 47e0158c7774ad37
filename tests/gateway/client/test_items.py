"""Each line of the input is an item, also one that cannot be asked."""

from pathlib import Path

import pytest

from gateway.client.items import Item, read_items

NO_TEXT = "has no text in 'text'; --text-field names another member"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"text": "Liver.", "id": "n1"}', Item(0, 2, "n1", "Liver.")),
        (b'\xef\xbb\xbf{"text": "Liver."}\r', Item(0, 2, None, "Liver.")),
        (b'{"text": "half \\ud83d", "id": "\\ude00"}', Item(0, 2, "\ude00", "half \ud83d")),
        (b'{"id": 7}', Item(0, 2, 7, None, NO_TEXT)),
        (b'{"text": null}', Item(0, 2, None, None, NO_TEXT)),
        (b'{"text": ["x"], "id": 7}', Item(0, 2, 7, None, NO_TEXT)),
        (b'{"text": ""}', Item(0, 2, None, None, "the text in 'text' is blank")),
        (b'{"text": " \\n\\u00a0", "id": 7}', Item(0, 2, 7, None, "the text in 'text' is blank")),
        (b"[1]", Item(0, 2, None, None, "is not a JSON object")),
        (b"Liver.", Item(0, 2, None, None, "is not JSON: Expecting value, column 1")),
        (b'{"text": "\xe9"}', Item(0, 2, None, None, "is not UTF-8: byte 0xe9 at offset 10; convert it to UTF-8")),
    ],
)
def test_a_line_becomes_a_text_or_a_problem(line: bytes, expected: Item, tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_bytes(b"\n" + line + b'\n \n{"text": "Lung."}')
    assert read_items(path, "text", "id") == [expected, Item(1, 4, None, "Lung.")]


def test_text_and_id_stand_where_the_fields_say(tmp_path: Path) -> None:
    (tmp_path / "notes.jsonl").write_text('{"note": "Liver.", "key": [1]}')
    assert read_items(tmp_path / "notes.jsonl", "note", "key") == [Item(0, 1, [1], "Liver.")]
