"""Synthetic requests are the same for the same seed, valid, and hold every value of their answers as it was said."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import get_args

import pytest

from gateway.evaluation.schema import Schema
from gateway.grounding.grounder import find_evidence
from training.corpora import make_distinct
from training.data.dataset import Note
from training.data.prompt import load_prompt
from training.patterns import Split, expansions
from training.requests.generator import TASK, make_requests
from training.requests.grammar import FREE_INTENT, SPANS, Cues, Grammar, Piece, lists_of
from training.requests.noise import reword, roughen

SPLITS: tuple[Split, ...] = get_args(Split)
TASK_FILE = load_prompt(TASK).task
TIMES = ("schedule", "datetime")
# Within a value: what the held-out lists of values are made of.
PARTS: tuple[str, ...] = (
    "person",
    "relation",
    "trade",
    "local",
    "domain",
    "thing",
    "bill",
    "creature",
    "work",
    "medicine",
    "waste",
)
PARTS += ("occasion", "subject_word", "town", "place", "place_word", "relative", "part", "meal", "unit", "reservation")


@pytest.fixture(scope="module")
def made() -> dict[Split, list[Note]]:
    return {split: list(make_requests(120, 0.15, 4, split)) for split in SPLITS}


def test_the_same_seed_gives_the_same_requests_and_another_seed_others() -> None:
    first, again, other = (list(make_requests(50, 0.3, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_every_answer_is_valid_in_the_order_of_the_task(made: dict[Split, list[Note]]) -> None:
    schema = Schema(TASK_FILE.json_schema)
    for note in (note for notes in made.values() for note in notes):
        assert schema.read(note.answer) == (note.answer, None)
        assert list(note.answer) == [field.name for field in TASK_FILE.variant(note.answer["intent"])]


def test_every_value_stands_in_its_request_and_the_gateway_finds_it(made: dict[Split, list[Note]]) -> None:
    for note in (note for notes in made.values() for note in notes):
        for name, value in note.answer.items():
            if name != "intent" and value is not None:
                assert value in note.text, note
                assert find_evidence(note.text, value), note


def test_every_intent_and_every_field_occurs_and_every_nullable_field_is_null_in_some(
    made: dict[Split, list[Note]],
) -> None:
    for notes in made.values():
        assert {note.answer["intent"] for note in notes} == set(TASK_FILE.fields[0].choices)
    notes = [note for each in made.values() for note in each]
    for field in TASK_FILE.fields[1:]:
        values = {note.answer[field.name] is None for note in notes if field.name in note.answer}
        assert values == ({True, False} if field.nullable else {False}), field.name


def test_the_share_of_other_requests_is_the_one_that_was_asked_for() -> None:
    assert {note.answer["intent"] for note in make_requests(60, 1.0, 3)} == {FREE_INTENT}
    assert FREE_INTENT not in {note.answer["intent"] for note in make_requests(60, 0.0, 3)}


def test_requests_have_no_marks_of_the_grammar_and_no_gaps(made: dict[Split, list[Note]]) -> None:
    for note in (note for notes in made.values() for note in notes):
        assert not set("[]{}|<>") & set(note.text), note.text
        assert "  " not in note.text, note.text
        assert note.text == note.text.strip()


def test_casing_typing_errors_fillers_and_signs_vary(made: dict[Split, list[Note]]) -> None:
    texts = [note.text for note in made["training"]]
    assert 0.2 < sum(text == text.lower() for text in texts) / len(texts) < 0.6
    assert any(text == text.upper() for text in texts)
    assert {text[-1] for text in texts} >= {".", "?", "!"}
    pieces = [Piece("can you "), Piece("remember to "), Piece("water the tomatoes", "task")]
    rough = [roughen(pieces, ["um"], random.Random(seed)) for seed in range(300)]
    values = {piece.text for each in rough for piece in each if piece.field == "task"}
    assert {"water the tomatoes", "WATER THE TOMATOES"} < values
    assert any(value.lower() != "water the tomatoes" for value in values), "values have typing errors too"
    assert any("um" in piece.text for each in rough for piece in each)
    assert all(piece.field for each in rough for piece in each if "tomato" in piece.text.lower())


def skeletons(split: Split) -> set[str]:
    """Return every phrasing of a split, without the values."""
    lists = lists_of(split)
    patterns = [pattern for kinds in lists["requests"].values() for each in kinds.values() for pattern in each]
    return {text for pattern in [*patterns, *lists[FREE_INTENT]] for text in expansions(pattern)}


def test_no_held_out_phrasing_is_a_phrasing_of_training() -> None:
    training, held_out = skeletons("training"), skeletons("phrasings")
    assert len(training) > 1000
    assert len(held_out) > 120
    assert not training & held_out
    assert skeletons("both") == held_out


def leaves(split: Split, name: str) -> set[str]:
    return {text.casefold() for pattern in lists_of(split)[name] for text in expansions(pattern)}


def test_no_held_out_part_of_a_value_is_one_of_training() -> None:
    for name in PARTS:
        assert not leaves("training", name) & leaves("values", name), name


def values_of(split: Split) -> Iterator[tuple[str, str]]:
    """Yield fields with values of many requests, as the grammar has them before they are roughened."""
    grammar = Grammar(split, random.Random(6))
    for intent in grammar.intents:
        for _ in range(150):
            for piece in grammar.request(intent):
                if piece.field is not None:
                    yield ("when" if piece.field in TIMES else piece.field), piece.text.casefold()


def test_held_out_values_are_in_no_training_request() -> None:
    training = {*values_of("training"), *values_of("plain")}
    for split in ("values", "both"):
        held_out = set(values_of(split))
        assert len(held_out) > 200
        assert not held_out & training


def test_every_list_of_values_belongs_to_fields_of_the_task() -> None:
    assert {field for fields in SPANS.values() for field in fields} == {f.name for f in TASK_FILE.fields[1:]}


def test_a_part_of_the_names_in_training_requests_is_made_up() -> None:
    known = {town.casefold() for town in lists_of("training")["town"]}
    towns = [note.answer["location"] for note in make_requests(700, 0.0, 8) if note.answer["intent"] == "get_weather"]
    invented = [town for town in towns if town is not None and town.casefold() not in known]
    assert 0.2 < len(invented) / len([town for town in towns if town]) < 0.6


def test_made_up_words_stand_for_words_that_are_neither_cues_nor_values() -> None:
    cues = Cues(topics=frozenset({"email"}), links=frozenset({"about", "to"}))
    pieces = [Piece("fire off an email to "), Piece("Anna", "recipient"), Piece(" about "), Piece("tea", "subject")]
    reworded = [reword(pieces, cues, is_free=False, rng=random.Random(seed)) for seed in range(300)]
    assert {each[1:] == pieces[1:] for each in reworded} == {True}
    starts = {each[0].text for each in reworded}
    assert "fire off an email to " in starts
    assert len(starts) > 10
    assert all(re.fullmatch(r"[a-z]+ [a-z]+ an email to ", start) for start in starts), starts


def test_a_request_that_is_none_keeps_its_words_where_it_has_a_topic() -> None:
    cues = Cues(topics=frozenset({"email"}), links=frozenset())
    for text, changes in (("delete the last email", False), ("delete the last photo", True)):
        texts = {reword([Piece(text)], cues, is_free=True, rng=random.Random(seed))[0].text for seed in range(60)}
        assert (len(texts) > 1) == changes, text


def test_only_training_requests_have_made_up_words_and_further_values() -> None:
    words: dict[Split, set[str]] = {split: set() for split in SPLITS}
    for split in SPLITS:
        for note in make_requests(400, 0.0, 12, split):
            words[split] |= set(re.findall(r"[a-z]+", note.text.casefold()))
    known = set(re.findall(r"[a-z]+", " ".join(map(str, lists_of("training").values())).casefold()))
    assert len(words["training"] - known) > 3 * len(words["plain"] - known)
    further = set(lists_of("training")["verb"])
    assert words["training"] & further - set(re.findall(r"[a-z]+", str(lists_of("plain"))))
    assert "verb" not in lists_of("plain")


def test_a_data_set_has_no_text_twice_and_shares_none_between_its_splits() -> None:
    splits: tuple[Split, ...] = ("training", "both")
    plain = [
        {re.sub(r"\s+", " ", note.text.casefold()) for note in make_distinct(TASK, 100, 0.25, 1, split)}
        for split in splits
    ]
    assert [len(texts) for texts in plain] == [100, 100]
    assert not plain[0] & plain[1]
