"""The fields of several chunks become one answer's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.extraction.merging import Rule, merge_fields

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
