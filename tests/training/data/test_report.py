"""The report on a data set lists inconsistent labels and tells whether the data can be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.__main__ import main
from training.data.consistency import check_consistency
from training.data.dataset import FIELDS, Note
from training.data.prompt import load_prompt

LIMITS = dict.fromkeys(FIELDS, 160)


def labelled(field: str, *values: str) -> dict[int, Note]:
    return {
        line: Note(f"Note {line}.", dict.fromkeys(FIELDS) | {field: value})
        for line, value in enumerate(values, start=1)
    }


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        ("spelling", ["brain, bone", "brain; bone", "brain and bone"]),
        ("spelling", ["MSI-H", "MSI\u2011H", "msi-h"]),
        ("items", ["brain, bone", "bone, brain"]),
        ("items", ["surgery then radiotherapy", "surgery; radiotherapy"]),
        ("words", ["progression", "progressive disease"]),
    ],
)
def test_several_spellings_of_a_value_form_one_group(rule: str, values: list[str]) -> None:
    report = check_consistency(labelled("metastasis_site", values[0], *values), LIMITS).fields["metastasis_site"]
    (group,) = report.groups
    assert (group.rule, set(group.counts)) == (rule, set(values))
    assert next(iter(group.counts.items())) == (values[0], 2)
    assert group.minority == len(values) - 1
    assert report.minority == (0 if rule == "words" else len(values) - 1), "a guess is not counted"


@pytest.mark.parametrize("values", [["ER+; PR+", "ER-; PR-"], ["EGFR L858R", "EGFR T790M"], ["stage II", "stage III"]])
def test_different_values_form_no_group(values: list[str]) -> None:
    assert check_consistency(labelled("biomarker", *values), LIMITS).fields["biomarker"].groups == []


def test_separators_and_spellings_left_after_harmonising_are_counted() -> None:
    sites = labelled("metastasis_site", "brain, bone", "brain, bone", "brain; bone", "lung and liver", "bone, brain")
    report = check_consistency(sites, LIMITS).fields["metastasis_site"]
    assert report.separators == {", ": 3, "; ": 1, " and ": 1}
    assert (report.minority, report.harmonised) == (2, 1), "the order stays as it is"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("none", "a word instead of null"),
        ("brain ", "white space"),
        ("a\tb", "control"),
        ("x" * 161, "longer than the 160"),
    ],
)
def test_a_label_that_looks_like_a_mistake_is_reported_with_its_line(value: str, why: str) -> None:
    (odd,) = check_consistency(labelled("stage", "IV", value), LIMITS).oddities
    assert (odd.line, odd.field) == (2, "stage")
    assert why in odd.why


def test_one_text_with_two_labels_is_a_contradiction() -> None:
    first, second = labelled("stage", "IV", "III").values()
    notes = {1: first, 2: Note("NOTE  1.", second.answer), 3: second}
    assert check_consistency(notes, LIMITS).contradictions == [[1, 2]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(tmp_path / "train.jsonl", "One note.", "Two notes.")
    write(tmp_path / "validation.jsonl", "Three notes.")
    return tmp_path


def write(path: Path, *texts: str) -> None:
    answer = dict.fromkeys(FIELDS) | {"metastasis_site": "brain, bone"}
    records = [{"instruction": load_prompt().instruction, "input": text, "output": answer} for text in texts]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def check(monkeypatch: pytest.MonkeyPatch, data: Path) -> int:
    monkeypatch.setattr("sys.argv", ["training", "check-data", "--data", str(data), "--out", str(data / "report.json")])
    return main()


def test_check_data_succeeds_on_usable_data_and_writes_the_report(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(monkeypatch, data) == 0
    assert "train.jsonl: 2 notes, 0 problem(s)" in capsys.readouterr().out
    report = json.loads((data / "report.json").read_text(encoding="utf-8"))
    assert report["usable"]
    assert report["labels"]["train.jsonl"]["fields"]["metastasis_site"]["separators"] == {", ": 2}


def test_check_data_fails_on_problems_and_leaks_and_lists_them(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with (data / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write("no JSON\n")
    write(data / "validation.jsonl", "one note.")
    assert check(monkeypatch, data) == 1
    shown = capsys.readouterr()
    assert "line 3: not valid JSON" in shown.out
    assert "line 1: the same text as training line 1" in shown.out
    assert "cannot be used" in shown.err
