"""The page evaluates by the rules of `python -m gateway evaluate`: both are given the same, and say the same."""

import json
import random
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from gateway.evaluation.answers import from_document
from gateway.evaluation.dataset import Dataset, Example
from gateway.evaluation.disagreements import find_disagreements
from gateway.evaluation.evaluation import evaluate
from gateway.evaluation.matching import RULES, items, normalise
from gateway.evaluation.schema import Schema
from gateway.tasks import Task, TaskField, load_task
from tests.gateway.page.node import node

TASK = load_task(Path("gateway/tasks/medical_ie.yaml"))
INTENT = load_task(Path("gateway/tasks/assistant_intent.yaml"))
VALUES = [
    "Nivolumab + Ipilimumab,  and  PD\u2011L1.",
    "brain, bone and liver (segments II and IV)",
    "t(9;22)(q34;q11); BCR::ABL1",
    "1,200 mg; then 5 mg followed by 3",
    "“EGFR”  ‘L858R’…",
    "a & b + c plus d, and e;, f",
    "\x1ca\x85b\u2028c\ufeffd\u3000",
    "ﬁbrosis Straße ΣΊΣΥΦΟΣ İstanbul ıI ẞ ŉ ᾳ Ꭰꭰ",
    "e\u0301 \u0345\u0399 Å",
    '"x, y" and [p; q] "open',
    "; , and",
    "١,٢ x,٣",
    "٪-١ a-b _-_ -a- a--b",
]


def compare(**given: Any) -> Any:
    """Return what the page's modules make of something."""
    ended = node("tests/gateway/page/compare.mjs", text=json.dumps(given))
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def made_up(count: int) -> list[str]:
    """Return values of words and signs that the rules look at, in any order."""
    draw = random.Random(16)
    parts = [
        "a",
        "B",
        "ß",
        "1",
        "and",
        "plus",
        "then",
        "followed by",
        "&",
        "+",
        ";",
        ",",
        "-",
        "–",
        ".",
        "(",
        ")",
        '"',
        "[",
        "]",
        "“",
        "”",
        " ",
        " ",
        "\t",
        "\u00a0",
    ]
    return ["".join(draw.choice(parts) for _ in range(draw.randint(1, 14))) for _ in range(count)]


def test_values_are_normalised_and_cut_in_the_same_way() -> None:
    values = [*VALUES, *made_up(1500)]
    values = [value for value in values if value.strip()]
    theirs = compare(values=values)
    assert dict(zip(values, theirs["normalised"], strict=True)) == {value: normalise(value) for value in values}
    assert dict(zip(values, theirs["items"], strict=True)) == {value: sorted(items(value)) for value in values}


def test_every_character_is_folded_in_the_same_way() -> None:
    # Python and Node know different versions of Unicode; of what is in both, nothing changes any more.
    assigned = [
        chr(code) for code in range(0x20000) if unicodedata.ucd_3_2_0.category(chr(code)) not in ("Cn", "Cs", "Co")
    ]
    values = [f"x{character}y" for character in assigned]
    theirs = compare(values=values)["normalised"]
    wrong = {v: (normalise(v), other) for v, other in zip(values, theirs, strict=True) if normalise(v) != other}
    assert wrong == {}


def notes(task: Task) -> list[dict[str, Any]]:
    """Return notes with expected answers, and answers of all kinds: right, wrong, invalid, none."""
    draw = random.Random(61)
    pool = ["IV", "iv.", "brain, liver", "liver and brain", "liver", "x" * 190, None]

    def value(field: TaskField) -> str | None:
        return draw.choice(list(field.choices) or (pool if field.nullable else pool[:-1]))

    made = []
    for number in range(60):
        fields = task.variant(draw.choice([*(name for name in task.variants if name), ""]))
        expected = {field.name: value(field) for field in fields}
        if fields[0].choices:
            fields = task.variant(expected[fields[0].name])
            expected = {field.name: expected.get(field.name) or "IV" for field in fields}
        answer: Any = {name: draw.choice([given, value(task.by_name[name])]) for name, given in expected.items()}
        if number % 10 == 0:
            answer = None
        elif number % 10 == 1:
            answer.pop(draw.choice(list(answer)))
        made.append({"text": f"note {number}: liver", "expected": expected, "answer": answer})
    return made


@pytest.mark.parametrize("task", [TASK, INTENT], ids=lambda task: task.name)
def test_scores_and_disagreements_are_the_same(task: Task) -> None:
    schema = Schema(task.json_schema)
    given = notes(task)
    answers = [from_document({"fields": {} if one["answer"] is None else one["answer"]}, schema) for one in given]
    examples = [Example(line, one["text"], one["expected"]) for line, one in enumerate(given, start=1)]
    ours = evaluate(Dataset("notes", examples), answers, schema.fields, resamples=0)
    theirs = compare(schema=task.json_schema, fields=schema.fields, notes=given)
    assert 0 < theirs["score"]["valid"] < len(given)
    assert theirs["score"]["validity"] == pytest.approx(ours.value("validity"))
    for rule in RULES:
        shown = theirs["score"]["rules"][rule]
        for name, measures in {**shown["fields"], "micro": shown["micro"], "macro": shown["macro"]}.items():
            for metric in ("precision", "recall", "f1"):
                assert measures[metric] == pytest.approx(ours.value(f"{rule}/{name}/{metric}")), (rule, name, metric)
        for name in schema.fields:
            for outcome in ("right", "false_positive", "false_negative"):
                assert shown["fields"][name][outcome] == ours.sums[f"{rule}/{name}/{outcome}"]
    assert theirs["disagreements"] == [
        [[each.field, each.kind] for each in find_disagreements(schema.fields, example, answer)]
        for example, answer in zip(examples, answers, strict=True)
    ]
