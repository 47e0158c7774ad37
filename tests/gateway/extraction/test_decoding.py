"""The grammar allows what training wrote, and an answer is right, or repaired with a warning, or refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.extraction.decoding import Decoded, confidence, decode, finished_fields, grammar
from gateway.extraction.errors import DecodingError
from gateway.tasks import Task, load_tasks
from tests.fakes.engine.scripted import GOLD

TASKS = load_tasks(Path("gateway/tasks"))
TASK = TASKS["medical_ie"]
PATTERN = re.compile(grammar(TASK))
CODES = {
    "broken_characters",
    "duplicate_key",
    "empty_to_null",
    "extra_key",
    "length_limit",
    "list_to_text",
    "missing_key",
    "none_to_null",
    "number_to_text",
    "several_objects",
    "text_around",
}

values = st.none() | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd"), min_size=1, max_size=20
)
answers = st.tuples(*[values] * len(TASK.fields)).map(
    lambda row: dict(zip([field.name for field in TASK.fields], row, strict=True))
)


def codes(decoded: Decoded) -> list[tuple[str, str | None]]:
    return [(warning.code, warning.field) for warning in decoded.warnings]


@given(answers, st.booleans())
def test_the_grammar_takes_every_answer_of_the_training_format(answer: dict[str, str | None], ascii_only: bool) -> None:
    text = json.dumps(answer, ensure_ascii=ascii_only)
    # A character outside the BMP is two escapes in ASCII; 20 of them stay below the bounds all the same.
    assert PATTERN.fullmatch(text)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(GOLD, separators=(",", ":")),
        json.dumps(GOLD, indent=1),
        json.dumps(dict(reversed(GOLD.items()))),
        json.dumps(GOLD | {"stage": ""}),
        json.dumps(GOLD | {"stage": "x" * 61}),
        json.dumps(GOLD | {"stage": 3}),
        json.dumps(GOLD) + " ",
    ],
)
def test_the_grammar_takes_nothing_else(text: str) -> None:
    assert not PATTERN.fullmatch(text)


@given(st.data())
def test_under_the_grammar_only_three_repairs_can_happen(data: st.DataObject) -> None:
    answer = data.draw(st.from_regex(PATTERN, fullmatch=True))
    assert {code for code, _ in codes(decode(TASK, answer))} <= {"broken_characters", "empty_to_null", "length_limit"}


@given(answers, st.booleans())
def test_a_growing_answer_shows_each_field_once_its_value_is_complete(
    answer: dict[str, str | None], ascii_only: bool
) -> None:
    text = json.dumps(answer, ensure_ascii=ascii_only)
    decoded = decode(TASK, text)
    for end in range(len(text) + 1):
        complete = [name for name, (_, value_end) in decoded.spans.items() if value_end <= end]
        assert finished_fields(TASK, text[:end]) == {name: decoded.fields[name] for name in complete}


@pytest.mark.parametrize(
    "answer",
    ["", "no JSON", "[1", '{"stage": 3', '{"stage": ["IV"', '{"stage": {"a": "b"', '{"other": "x"}', "{" * 100_000],
)
def test_a_growing_answer_shows_nothing_that_is_neither_text_nor_null(answer: str) -> None:
    assert finished_fields(TASK, answer) == {}


@given(answers)
def test_a_right_answer_comes_back_as_it_is(answer: dict[str, str | None]) -> None:
    decoded = decode(TASK, json.dumps(answer))
    expected = {name: value if value is None else value.strip() for name, value in answer.items()}
    if codes(decoded):  # the only repair that such an answer can need
        assert {code for code, _ in codes(decoded)} == {"empty_to_null"}
        expected = {
            name: None if (value or "").casefold() in ("", "none", "null") else value
            for name, value in expected.items()
        }
    assert decoded.fields == expected
    assert list(decoded.fields) == [field.name for field in TASK.fields]


@given(st.text(max_size=300))
def test_any_text_gives_fields_or_the_decoding_error(text: str) -> None:
    _check(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from([*GOLD, "other", "Stage"])


@given(
    st.dictionaries(names, json_values, max_size=9),
    st.sampled_from(["", "Sure: ", "{", "{}", "```json\n", "[1] "]),
    st.sampled_from(["", "\n```", "}", '{"stage": "I"}', "x"]),
    st.booleans(),
)
def test_any_object_gives_fields_or_the_decoding_error(
    value: dict[str, Any], before: str, after: str, ascii_only: bool
) -> None:
    _check(before + json.dumps(value, ensure_ascii=ascii_only) + after)


@given(st.dictionaries(names, json_values, min_size=1, max_size=9), st.data())
def test_any_cut_of_an_answer_gives_fields_or_the_decoding_error(value: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(value)
    _check(text[: data.draw(st.integers(0, len(text)))])


def _check(text: str) -> None:
    try:
        decoded = decode(TASK, text)
    except DecodingError:
        return
    assert list(decoded.fields) == [field.name for field in TASK.fields]
    for name, value in decoded.fields.items():
        assert value is None or 0 < len(value) <= TASK.by_name[name].max_chars
        if value is not None:
            value.encode()
    assert {code for code, _ in codes(decoded)} <= CODES
    for start, end in decoded.spans.values():
        assert 0 <= start < end <= len(text)


def changed(**changes: object) -> str:
    return json.dumps(GOLD | changes)


@pytest.mark.parametrize(
    ("answer", "field", "value", "code"),
    [
        (changed(stage=3), "stage", "3", "number_to_text"),
        (changed(stage=3.5), "stage", "3.5", "number_to_text"),
        (changed(gene_mutation=["EGFR L858R", None, "TP53"]), "gene_mutation", "EGFR L858R; TP53", "list_to_text"),
        (changed(stage="").replace("null", "None"), "metastasis_site", None, "none_to_null"),
        (changed(stage="None"), "stage", None, "empty_to_null"),
        (changed(stage=" "), "stage", None, "empty_to_null"),
        (changed(stage="I" + chr(0xD800)), "stage", "I", "broken_characters"),
        (changed(stage="I\ufffd"), "stage", "I", "broken_characters"),
        (changed(stage="x" * 60), "stage", "x" * 60, "length_limit"),
        (changed(stage="x" * 99), "stage", "x" * 60, "length_limit"),
        (json.dumps({key: value for key, value in GOLD.items() if key != "stage"}), "stage", None, "missing_key"),
        (json.dumps(GOLD)[:-1] + ', "stage": "I"}', "stage", "IV", "duplicate_key"),
    ],
)
def test_a_repaired_value_has_a_warning(answer: str, field: str, value: str | None, code: str) -> None:
    decoded = decode(TASK, answer)
    assert decoded.fields[field] == value
    assert (code, field) in codes(decoded)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (changed(other="x"), "extra_key"),
        ("Sure! " + changed(), "text_around"),
        ("```json\n" + changed() + "\n```", "text_around"),
        ("A set {a, b}. " + changed(), "text_around"),
        ("<think>\nStage {IV}? Yes.\n</think>\n" + changed(), "text_around"),
        ("No opening mark. </think>" + changed(), "text_around"),
        ("<think>" + changed(stage="II", cancer_type="glioma") + "</think>" + changed(), "text_around"),
        ("<think>" + "{" * 100 + "</think>" + changed(), "text_around"),
        ("<reasoning>" + changed(stage="II") + "</reasoning> " + changed(), "text_around"),
        (changed(stage="II") + "</think>" + changed(), "text_around"),
        (changed() + "\n" + changed(), "several_objects"),
        ('{"stage": "IV"}\n' + changed(), "several_objects"),
        (changed() + '\n{"stage": "IV", "stage": "I"}', "several_objects"),
    ],
)
def test_a_repair_of_the_whole_answer_has_a_warning(answer: str, code: str) -> None:
    decoded = decode(TASK, answer)
    assert decoded.fields == GOLD
    assert codes(decoded) == [(code, None)]


def test_a_growing_answer_shows_no_draft_of_the_models_reasoning() -> None:
    draft, final = "<think>" + changed(stage="II"), "</think>" + changed()
    assert finished_fields(TASK, draft) == {}
    assert finished_fields(TASK, draft + final) == GOLD


@pytest.mark.parametrize(
    "value",
    ["</think>", "<think>a</think>b", "a {brace", "a } brace", '{"stage": "I"}', 'a "quote"', "back\\slash"],
)
def test_braces_and_quotes_in_strings_are_text(value: str) -> None:
    decoded = decode(TASK, changed(stage=value))
    assert decoded.fields["stage"] == value
    assert decoded.warnings == ()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "not_json"),
        ("no JSON", "not_json"),
        ("{}", "not_json"),
        ('{"other": 1}', "not_json"),
        (changed()[:-30], "not_json"),
        (changed(stage={"value": "IV"}), "wrong_type"),
        (changed(stage=True), "wrong_type"),
        (changed(stage=[["IV"]]), "wrong_type"),
        (changed().replace('"IV"', "NaN"), "not_json"),
        ("[" * 100_000, "not_json"),
        ('{"stage": ' + "[" * 100_000, "not_json"),
        ("{" * 100_000, "not_json"),
        ("<think>" + changed() + "</think>", "not_json"),
        ("<think>" + changed(), "not_json"),
        (changed() + "</think> I am not sure.", "not_json"),
        (changed() + "\n" + changed(stage="I"), "several_objects"),
        ('{"stage": "I"}\n' + changed(), "several_objects"),
        (changed() + "\n" + changed(stage=None), "several_objects"),
        ("<think></think>" + changed() + "Or:" + changed(stage="I"), "several_objects"),
        (changed() + "{" * 100, "several_objects"),
        ('{"stage": ' * 5_000, "not_json"),
    ],
)
def test_an_answer_that_cannot_be_repaired_is_refused(answer: str, reason: str) -> None:
    with pytest.raises(DecodingError) as caught:
        decode(TASK, answer)
    assert caught.value.reason == reason


def tokens_of(text: str, size: int) -> list[tuple[bytes, float]]:
    data = text.encode()
    return [(data[at : at + size], -0.5) for at in range(0, len(data), size)]


@given(answers, st.integers(1, 9), st.booleans())
def test_confidence_is_between_0_and_1_wherever_the_tokens_are_cut(
    answer: dict[str, str | None], size: int, ascii_only: bool
) -> None:
    text = json.dumps(answer, ensure_ascii=ascii_only)
    decoded = decode(TASK, text)
    assert confidence(decoded, text, tokens_of(text, size)) == dict.fromkeys(decoded.fields, 0.6065)


def test_confidence_is_of_the_values_own_tokens() -> None:
    text = json.dumps(GOLD, ensure_ascii=False)
    decoded = decode(TASK, text)
    start, end = decoded.spans["stage"]
    tokens = [
        (text[:start].encode(), -9.0),
        (text[start:end].encode(), 0.0),
        (text[end:].encode(), -9.0),
        (b"<eot>", -9.0),
    ]
    result = confidence(decoded, text, tokens)
    assert result["stage"] == 1.0
    assert result["response"] == 0.0001


@pytest.mark.parametrize(("log", "expected"), [(float("nan"), None), (0.5, 1.0), (1e9, 1.0), (-1e9, 0.0)])
def test_a_probability_that_is_none_or_missing_counts_for_its_own_value_alone(log: float, expected: float) -> None:
    text = json.dumps(GOLD)
    decoded = decode(TASK, text)
    start, end = decoded.spans["stage"]
    tokens = [(text[:start].encode(), -0.5), (text[start:end].encode(), log), (text[end:].encode(), -0.5)]
    assert confidence(decoded, text, tokens) == dict.fromkeys(GOLD, 0.6065) | {"stage": expected}


def test_confidence_is_null_for_tokens_that_are_not_the_answers() -> None:
    decoded = decode(TASK, json.dumps(GOLD))
    assert confidence(decoded, json.dumps(GOLD), None) == dict.fromkeys(GOLD)
    assert confidence(decoded, json.dumps(GOLD), [(b"other", -0.1)]) == dict.fromkeys(GOLD)
    assert confidence(decoded, json.dumps(GOLD), []) == dict.fromkeys(GOLD)
    assert confidence(decoded, json.dumps(GOLD), [(json.dumps(GOLD).encode(), float("-inf"))]) == dict.fromkeys(GOLD)


VARIED = Task.model_validate(
    {
        "name": "varied",
        "version": 1,
        "title": "Varied",
        "adapter": "a",
        "prompt": {"system": "s"},
        "max_tokens": 100,
        "fields": [
            {"name": "intent", "choices": ["add_task", "get_weather"], "nullable": False},
            {"name": "task", "nullable": False, "when": {"intent": ["add_task"]}},
            {"name": "location", "when": {"intent": ["get_weather"]}},
        ],
    }
)


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        ({"intent": "add_task", "task": "milk"}, True),
        ({"intent": "get_weather", "location": None}, True),
        ({"intent": "get_weather", "task": "milk"}, False),
        ({"intent": "other"}, False),
        ({"intent": "add_task", "task": None}, False),
    ],
)
def test_a_choice_decides_which_fields_there_are(answer: dict[str, str | None], ok: bool) -> None:
    assert bool(re.fullmatch(grammar(VARIED), json.dumps(answer))) is ok
    if ok:
        assert decode(VARIED, json.dumps(answer)).fields == answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"task": "milk"}, "wrong_choice"),
        ({"intent": "other", "task": "milk"}, "wrong_choice"),
        ({"intent": "add_task"}, "missing_key"),
        ({"intent": "add_task", "task": ""}, "null_value"),
    ],
)
def test_a_choice_that_is_wrong_is_refused(answer: dict[str, str | None], reason: str) -> None:
    with pytest.raises(DecodingError) as caught:
        decode(VARIED, json.dumps(answer))
    assert caught.value.reason == reason


def test_a_field_of_another_choice_is_dropped_with_a_warning() -> None:
    decoded = decode(VARIED, json.dumps({"intent": "add_task", "task": "milk", "location": "Oslo"}))
    assert decoded.fields == {"intent": "add_task", "task": "milk"}
    assert codes(decoded) == [("extra_key", "location")]
