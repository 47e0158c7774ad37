"""The fields of several chunks become one answer's."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.extraction.decoding import Repair
from gateway.extraction.merging import Rule, drop_ungrounded, merge_fields
from gateway.tasks import load_tasks

RESULTS: list[dict[str, str | None]] = [
    {"stage": None, "site": "Liver", "drug": "FOLFOX and bevacizumab"},
    {"stage": "III", "site": "lung; liver", "drug": "FOLFOX + bevacizumab"},
    {"stage": "IV", "site": None, "drug": "osimertinib"},
]


def test_merge_first_takes_the_first_value() -> None:
    assert merge_fields(RESULTS, {}, "; ") == {"stage": "III", "site": "Liver", "drug": "FOLFOX and bevacizumab"}


def test_merge_union_joins_distinct_values_in_order() -> None:
    assert merge_fields(RESULTS, dict.fromkeys(RESULTS[0], "union"), "; ") == {
        "stage": "III; IV",
        "site": "Liver; lung",
        "drug": "FOLFOX and bevacizumab; osimertinib",
    }


def test_merge_by_field_and_with_a_separator() -> None:
    assert merge_fields(RESULTS, {"site": "union"}, " | ") == {
        "stage": "III",
        "site": "Liver | lung; liver",
        "drug": "FOLFOX and bevacizumab",
    }


def test_merge_of_nothing_is_null() -> None:
    assert merge_fields([{"stage": None}, {"stage": None}], {"stage": "union"}, "; ") == {"stage": None}
    assert merge_fields([], {}, "; ") == {}


def test_merge_refuses_an_unknown_rule() -> None:
    with pytest.raises(ValueError, match="'last'"):
        merge_fields(RESULTS, {"stage": "last"}, "; ")  # type: ignore[dict-item]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.none() | st.text(max_size=12)), max_size=6))
def test_merge_keeps_every_field_and_invents_nothing(results: list[dict[str, str | None]]) -> None:
    rules: tuple[Rule, ...] = ("first", "union")
    for rule in rules:
        merged = merge_fields(results, dict.fromkeys("abc", rule), "; ")
        assert merged.keys() == {name for fields in results for name in fields}
        for name, value in merged.items():
            given = [fields[name] for fields in results if fields.get(name) is not None]
            assert (value is None) == (not given)
            if rule == "first" and given:
                assert value == given[0]


@given(st.lists(st.text(alphabet="ab; ", min_size=1, max_size=9), min_size=1, max_size=6))
def test_merge_union_is_stable(values: list[str]) -> None:
    rules: dict[str, Rule] = {"x": "union"}
    once = merge_fields([{"x": value} for value in values], rules, "; ")
    assert merge_fields([once], rules, "; ") == once
    assert merge_fields([once, once], rules, "; ") == once


def union(values: list[str], separator: str = "; ") -> str | None:
    """Merge the values of one field."""
    return merge_fields([{"x": value} for value in values], {"x": "union"}, separator)["x"]


@pytest.mark.parametrize(
    ("values", "separator", "expected"),
    [
        (["t(9;22)(q34;q11)", "t(9;22)(q34;q11)"], "; ", "t(9;22)(q34;q11)"),
        (["t(9;22)(q34;q11)", "t(9;11)(p22;q23)"], "; ", "t(9;22)(q34;q11); t(9;11)(p22;q23)"),
        (["46,XX,t(8;21)(q22;q22) [18/20]; FLT3", "FLT3; NPM1"], "; ", "46,XX,t(8;21)(q22;q22) [18/20]; FLT3; NPM1"),
        (["c.[35G>A;100C>T]", "KRAS"], "; ", "c.[35G>A;100C>T]; KRAS"),
        # brackets that do not pair are none
        (["a (b; c", "c"], "; ", "a (b; c"),
        (["1) lung; 2) liver", "brain"], "; ", "1) lung; 2) liver; brain"),
        (["t(9;22)(q34;q11); del(5q", "liver"], "; ", "t(9;22)(q34;q11); del(5q; liver"),
        (['said "better; no pain"', "liver"], "; ", 'said "better; no pain"; liver'),
        # a list in its own way of writing
        (["liver;lung", "lung"], "; ", "liver;lung"),
        (["liver;lung", "brain"], "; ", "liver; lung; brain"),
        # other separators
        (["PSA 1,200, CEA 5", "CEA 5"], ", ", "PSA 1,200, CEA 5"),
        (["PSA 1,200,CEA 5", "AFP 3"], ", ", "PSA 1,200, CEA 5, AFP 3"),
        (["mutation (EGFR, exon 19)", "ALK"], ", ", "mutation (EGFR, exon 19), ALK"),
        (["BRCA1/2 / ER/PR", "5 ng/mL"], " / ", "BRCA1/2 / ER/PR / 5 ng/mL"),
        (["mandible and island", "mandible"], " and ", "mandible and island"),
        (["mandible", "sand"], " and ", "mandible and sand"),
        (["a | b", "b | c"], " | ", "a | b | c"),
        (["a\nb", "c"], "\n", "a\nb\nc"),
        (["a-b - c", "c"], " - ", "a-b - c"),
    ],
)
def test_union_cuts_where_a_list_is_cut(values: list[str], separator: str, expected: str) -> None:
    assert union(values, separator) == expected


@given(
    st.text(alphabet="aB1 ;,/|()[]\"'.-", min_size=1, max_size=20), st.sampled_from(["; ", ", ", " / ", " and ", "|"])
)
def test_union_of_equal_answers_is_the_answer(value: str, separator: str) -> None:
    assert union([value] * 3, separator) == value


@given(
    st.lists(st.sampled_from(["t(9;22)(q34;q11)", "del(5q)", "46,XY", "EGFR (L858R; T790M)"]), min_size=1, unique=True)
)
def test_union_of_whole_items_keeps_each(items: list[str]) -> None:
    assert union(items) == "; ".join(items)


def test_strict_grounding_says_where_the_search_was_not_finished() -> None:
    task = load_tasks(Path("gateway/tasks"))["medical_ie"]
    fields: dict[str, str | None] = {"stage": "IV", "response": "stable disease"}
    confidence: dict[str, float | None] = {"stage": 0.9, "response": 0.9}
    warnings = [Repair("evidence_time_limit", "ended", "stage")]
    drop_ungrounded(task, fields, {"stage": [], "response": []}, confidence, warnings)
    assert fields == {"stage": None, "response": None}
    assert confidence == {"stage": None, "response": None}
    assert [(warning.code, warning.field, "not finished" in warning.detail) for warning in warnings[1:]] == [
        ("ungrounded", "stage", True),
        ("ungrounded", "response", False),
    ]
