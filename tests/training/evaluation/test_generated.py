"""Scores on generated notes, for answers whose scores are obvious."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

import pytest

from training.data.dataset import FIELDS
from training.data.prompt import MEDICAL, load_prompt
from training.evaluation.generated import as_text, score_generated
from training.evaluation.sets import SETS
from training.requests.generator import TASK as ASSISTANT

ALL_NULL = json.dumps(dict.fromkeys(FIELDS))
PROMPT = load_prompt()


@cache
def answers() -> dict[str, str]:
    """Return the expected answers by the texts of all sets, which are generated once."""
    notes = (note for task, sets in SETS.items() for each in sets for note in each.notes(task, 10))
    return {note.text: json.dumps(note.answer) for note in notes}


def expected_answers(texts: Sequence[str]) -> list[str]:
    return [answers()[text] for text in texts]


def all_null(texts: Sequence[str]) -> list[str]:
    return [ALL_NULL for _ in texts]


@pytest.mark.parametrize("task", [MEDICAL, ASSISTANT])
def test_the_expected_answers_score_one_in_every_set(task: str) -> None:
    scores = score_generated(expected_answers, load_prompt(task), 10)
    assert set(scores) == {note_set.name for note_set in SETS[task]}
    for note_set in SETS[task]:
        assert scores[note_set.name] == {"notes": 10} | dict.fromkeys(note_set.figures, 1.0)


def test_answers_of_null_are_right_for_notes_without_cancer_only() -> None:
    for score in score_generated(all_null, PROMPT, 10).values():
        assert score.get("all_null", 1.0) == 1.0
        assert score.get("micro_f1", 0.0) == 0.0


def test_an_answer_that_is_no_json_does_not_count_as_null() -> None:
    scores = score_generated(lambda texts: ["no JSON" for _ in texts], PROMPT, 10)
    assert {score.get("all_null", score.get("micro_f1")) for score in scores.values()} == {0.0}


def test_with_no_notes_there_are_no_scores() -> None:
    assert score_generated(all_null, PROMPT, 0) == {}


def test_the_text_has_a_line_for_every_set() -> None:
    lines = as_text(score_generated(all_null, PROMPT, 10)).splitlines()
    assert len(lines) == len(SETS[MEDICAL])
    assert lines[0] == "10 generated notes, held-out phrasings: micro-F1 0.000"
