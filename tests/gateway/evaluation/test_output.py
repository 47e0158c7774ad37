"""What an evaluation is written as: a table, a JSON document, a page."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gateway.evaluation.answers import Answer
from gateway.evaluation.dataset import Dataset, Example
from gateway.evaluation.disagreements import Segment, find_disagreements, segments
from gateway.evaluation.document import DocumentError, as_document, as_json, load_run
from gateway.evaluation.evaluation import Evaluation, evaluate
from gateway.evaluation.page import as_page
from gateway.evaluation.scores import columns
from gateway.evaluation.table import table
from tests.gateway.evaluation.cases import ANSWERS, DATASET, FIELDS

HOSTILE = '<script>alert(1)</script> & "quoted" \' <img src=x onerror=alert(2)> </style> ]]> &amp; liver \x00\ud800'


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Evaluate the case that was counted by hand."""
    return evaluate(DATASET, ANSWERS, FIELDS, resamples=50)


@pytest.fixture(scope="module")
def document(evaluation: Evaluation) -> dict[str, Any]:
    """Return the document of that evaluation."""
    return as_document(evaluation, about={"task": "by_hand"})


def test_the_table_has_scores_and_summary_lines(evaluation: Evaluation) -> None:
    lines = [line.split() for line in table(evaluation).splitlines()]
    assert ["micro", *["0.500"] * 6, *["0.800"] * 3] in lines
    assert ["stage", *["0.500"] * 9] in lines
    text = table(evaluation)
    assert "right in all fields: exact 1, normalised 1, items 2" in text
    assert "null: 100.0% of those given are right, 50.0% of those expected were given" in text
    assert "invention: 25.0% of the given values have no evidence in the note, 25.0% of the expected ones" in text
    assert "valid: 3 of 4 answers: not_json 1" in text
    assert "repaired by the gateway: x 1" in text
    assert "notes with nothing to find: 1 of 1 answered with null in every field" in text
    assert "latency: p50 2.00 s, p90 4.00 s, p99 4.00 s, longest 4.00 s" in text


def test_the_document_of_version_1(document: dict[str, Any]) -> None:
    """What programs rely on. A change here is a new version."""
    assert (document["format"], document["version"]) == ("slm-ft-serving/evaluation", 1)
    assert list(document) == [
        "format", "version", "about", "dataset", "bootstrap", "scores", "null", "invention", "validity",
        "nothing_to_find", "calibration", "latency_seconds", "notes",
    ]  # fmt: skip
    assert list(document["about"]) == ["at", "gateway_version", "task", "models"]
    assert document["about"]["models"] == ["medical-ie"]
    assert document["dataset"] == {
        "name": "by-hand.jsonl", "examples": 4, "digest": DATASET.digest, "fields": ["site", "stage"],
    }  # fmt: skip
    assert document["bootstrap"] == {
        "resamples": 50, "seed": 0, "level": 0.95, "interval": "percentile, over notes",
    }  # fmt: skip
    assert list(document["scores"]) == ["exact", "normalised", "items"]
    items = document["scores"]["items"]
    assert list(items) == ["micro", "macro", "fields", "notes_right"]
    assert list(items["micro"]) == ["precision", "recall", "f1", "right", "false_positive", "false_negative"]
    assert items["micro"]["f1"]["value"] == 0.8
    assert list(items["micro"]["f1"]) == ["value", "low", "high"]
    assert items["fields"]["stage"]["right"] == 1
    assert document["null"]["all"]["recall"]["value"] == 0.5
    assert document["invention"]["all"]["rate"]["value"] == 0.25
    assert document["validity"] | {"share": None} == {
        "share": None, "valid": 3, "answers": 4, "errors": {"not_json": 1}, "repairs": {"x": 1},
    }  # fmt: skip
    assert document["nothing_to_find"] | {"share": None} == {"notes": 1, "all_null": 1, "share": None}
    assert list(document["calibration"]) == ["rule", "values", "ece", "auroc", "bins"]
    assert document["latency_seconds"] == {
        "answers": 4, "mean": 2.5, "p50": 2.0, "p90": 4.0, "p99": 4.0, "longest": 4.0,
    }  # fmt: skip
    assert document["notes"]["columns"] == list(columns(FIELDS))
    assert document["notes"]["lines"] == [1, 2, 3, 4]


def test_the_document_is_json_without_texts_and_can_be_read_again(
    document: dict[str, Any], evaluation: Evaluation, tmp_path: Path
) -> None:
    text = as_json(document)
    assert json.loads(text) == document
    assert not [word for word in ("brain", "Bone", "liver", "lesion", "Healthy", "III") if word in text]
    (tmp_path / "e.json").write_text(text, "utf-8")
    run = load_run(tmp_path / "e.json")
    assert (run.digest, run.fields, run.rows.tolist()) == (DATASET.digest, FIELDS, evaluation.rows.tolist())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version": 2}, "is of version 2, and this gateway reads 1"),
        ({"format": "other"}, "is no evaluation"),
        ({"dataset": {}}, "lacks a part of an evaluation"),
        ({"notes": {"columns": [], "rows": [[1]]}}, "its columns are not those of its version"),
        ({"notes": {"columns": list(columns(FIELDS)), "rows": []}}, "its columns are not those of its version"),
        ({"notes": {"columns": list(columns(FIELDS)), "rows": [[1], [1, 2]]}}, "lacks a part of an evaluation"),
        ({"notes": {"columns": list(columns(FIELDS)), "rows": [[0.5] * len(columns(FIELDS))]}}, "its columns are not"),
    ],
)
def test_a_document_that_cannot_be_compared_is_refused(
    document: dict[str, Any], tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    (tmp_path / "e.json").write_text(json.dumps(document | change), "utf-8")
    with pytest.raises(DocumentError, match=problem):
        load_run(tmp_path / "e.json")


def test_a_file_that_is_no_document_is_refused(tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text("{", "utf-8")
    for path, problem in ((tmp_path / "e.json", "is not JSON"), (tmp_path / "none", "No such file")):
        with pytest.raises(DocumentError, match=problem):
            load_run(path)


class Reader(HTMLParser):
    """Collects a page's tags, attributes and text."""

    def __init__(self, page: str) -> None:
        """Read the page."""
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.notes: list[str] = []
        self._depth = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if ("class", "note") in attrs:
            self.notes.append("")
            self._depth = 1
        elif self._depth:
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        """Note where a note ends."""
        self._depth = max(0, self._depth - 1)

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data
        if self._depth:
            self.notes[-1] += data


def page_of(evaluation: Evaluation, *, with_texts: bool) -> str:
    return as_page(evaluation, as_document(evaluation, about={"task": "<b>t</b>"}), with_texts=with_texts)


def test_the_page_shows_what_differs_with_its_evidence(evaluation: Evaluation) -> None:
    page = page_of(evaluation, with_texts=True)
    read = Reader(page)
    # line 4 is right; the others are shown
    assert read.notes == [example.text for example in DATASET.examples[:3]]
    assert '<mark class="both" title="expected site, given site">brain</mark>' in page
    assert "Bone and brain" in read.text
    assert "site: wording" in read.text
    assert "not_json" in read.text
    assert 'class="chart"' in page
    assert "Expected calibration error 0.338" in read.text


def test_the_page_needs_nothing_else(evaluation: Evaluation) -> None:
    page = page_of(evaluation, with_texts=True)
    read = Reader(page)
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(read.tags)
    assert not {"src", "href", "srcset", "action"} & {name for name, _ in read.attributes}
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    assert ("http-equiv", "Content-Security-Policy") in read.attributes
    assert "url(" not in page
    assert "@import" not in page
    assert "http://" not in page
    assert "https://" not in page


def test_without_texts_the_page_holds_no_note_and_no_value(evaluation: Evaluation) -> None:
    page = page_of(evaluation, with_texts=False)
    read = Reader(page)
    assert read.notes == []
    assert not [word for word in ("brain", "Bone", "liver", "lesion", "Healthy", ">III<") if word in page]
    assert "line 1" in read.text
    assert "stage: invented" in read.text


def test_nothing_in_a_note_or_a_value_becomes_markup() -> None:
    note = f"\n  {HOSTILE}  \n"
    dataset = Dataset(f"{HOSTILE}.jsonl", (Example(1, note, {"site": HOSTILE, "stage": "liver"}),))
    answers = (Answer({"site": f"{HOSTILE}!", "stage": None}, error=f"<i>{HOSTILE}", repairs=("<u>",), model="<s>"),)
    result = evaluate(dataset, answers, FIELDS, resamples=1)
    page = page_of(result, with_texts=True)
    read = Reader(page)
    assert not {"script", "img", "i", "u", "s"} & set(read.tags)
    assert read.tags.count("style") == 1
    assert read.notes == [note]
    assert f"{HOSTILE}!" in read.text
    assert re.findall(r"<b>([^<]*)</b>t", page) == []


def test_every_kind_of_disagreement() -> None:
    names = ("a", "b", "c", "d", "e", "f")
    expected = {"a": None, "b": "x", "c": "x", "d": "x, y", "e": "x and y", "f": "x"}
    answer = Answer({"a": "x", "b": None, "c": "y", "d": "y, z", "e": "y + x", "f": "x"}, confidence={"c": 0.5})
    disagreements = find_disagreements(names, Example(1, "text", expected), answer)
    assert [(one.field, one.kind) for one in disagreements] == [
        ("a", "invented"), ("b", "missed"), ("c", "wrong"), ("d", "partly"), ("e", "wording"),
    ]  # fmt: skip
    assert disagreements[2].confidence == 0.5
    none = find_disagreements(names, Example(1, "text", expected), Answer(error="not_json"))
    assert {one.kind for one in none} == {"missed"}


def test_segments_show_whose_evidence_overlaps() -> None:
    text = "Metastases in the left lung."
    example = Example(1, text, {"site": "left lung", "stage": None})
    disagreements = find_disagreements(FIELDS, example, Answer({"site": "lung", "stage": None}))
    assert segments(text, disagreements) == [
        Segment("Metastases in the ", (), ()),
        Segment("left ", ("site",), ()),
        Segment("lung", ("site",), ("site",)),
        Segment(".", (), ()),
    ]
    assert segments(text, []) == [Segment(text, (), ())]
    assert segments("", []) == []
