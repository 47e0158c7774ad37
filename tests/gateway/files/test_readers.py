"""Every reader of a user's file takes a byte order mark, and names the file and byte where it is not UTF-8."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.access.keys import Keyring, create_key
from gateway.cli.key import read_key
from gateway.client.items import read_items
from gateway.evaluation.answers import load_answers
from gateway.evaluation.dataset import load_dataset
from gateway.evaluation.document import as_document, as_json, load_run
from gateway.evaluation.evaluation import evaluate
from gateway.evaluation.schema import Schema
from gateway.tasks.loader import load_task
from tests.gateway.evaluation.cases import ANSWERS, DATASET, FIELDS, JSON_SCHEMA

SCHEMA = Schema(JSON_SCHEMA)
EXAMPLE = {"text": "Liver.", "expected": {"site": "liver", "stage": None}}
ANSWER = "".join(json.dumps({"answer": {"site": None, "stage": None}}) + "\n" for _ in DATASET.examples)


def texts(path: Path) -> None:
    assert [item.text for item in read_items(path, "text", "id")] == ["Liver."]


def run() -> str:
    return as_json(as_document(evaluate(DATASET, ANSWERS, FIELDS, resamples=5), about={}))


READERS: dict[str, tuple[Callable[[Path], Any], Callable[[], str]]] = {
    "keys": (Keyring, lambda: create_key("ward")[1] + "\n"),
    "key": (read_key, lambda: "secret\n"),
    "task": (load_task, lambda: Path("gateway/tasks/medical_ie.yaml").read_text("utf-8")),
    "texts": (texts, lambda: json.dumps(EXAMPLE)),
    "data set": (lambda path: load_dataset(path, SCHEMA), lambda: json.dumps(EXAMPLE)),
    "answers": (lambda path: load_answers(path, DATASET, SCHEMA), lambda: ANSWER),
    "evaluation": (load_run, run),
}


@pytest.mark.parametrize(("read", "content"), READERS.values(), ids=READERS)
def test_a_byte_order_mark_changes_nothing(
    read: Callable[[Path], Any], content: Callable[[], str], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    for start in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(start + content().encode().replace(b"\n", b"\r\n"))
        read(path)


@pytest.mark.parametrize(("read", "content"), READERS.values(), ids=READERS)
def test_what_is_not_utf_8_is_named_with_its_place(
    read: Callable[[Path], Any], content: Callable[[], str], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xff\xfe" + content().encode("utf-16-le"))
    with pytest.raises(Exception, match=f"^{path} is not UTF-8: byte 0xff at offset 0; convert it to UTF-8$"):
        read(path)
