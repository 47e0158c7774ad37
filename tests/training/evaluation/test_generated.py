"""Scores on generated notes, with answers whose scores are known."""

from __future__ import annotations

import json
from collections.abc import Sequence

from training.data.dataset import FIELDS
from training.evaluation.generated import SETS, as_text, score_generated

NOTHING = json.dumps(dict.fromkeys(FIELDS))


def right(texts: Sequence[str]) -> list[str]:
    known = {note.text: note.answer for chosen in SETS for note in chosen.notes(10)}
    return [json.dumps(known[text]) for text in texts]


def nothing(texts: Sequence[str]) -> list[str]:
    return [NOTHING for _ in texts]


def test_right_answers_score_one_everywhere() -> None:
    scores = score_generated(right, 10)
    assert set(scores) == {chosen.name for chosen in SETS}
    for score in scores.values():
        assert score.pop("notes") == 10
        assert list(score.values()) == [1.0]


def test_empty_answers_are_right_for_notes_without_cancer_only() -> None:
    for score in score_generated(nothing, 10).values():
        assert score.get("all_null", 1.0) == 1.0
        assert score.get("micro_f1", 0.0) == 0.0


def test_what_is_no_answer_is_not_null() -> None:
    scores = score_generated(lambda texts: ["no JSON" for _ in texts], 10)
    assert {score.get("all_null", score.get("micro_f1")) for score in scores.values()} == {0.0}


def test_no_notes_are_no_scores() -> None:
    assert score_generated(nothing, 0) == {}


def test_the_report_has_a_line_for_every_set() -> None:
    lines = as_text(score_generated(nothing, 10)).splitlines()
    assert len(lines) == len(SETS)
    assert lines[0] == "10 generated notes, held-out phrasings: micro-F1 0.000"
