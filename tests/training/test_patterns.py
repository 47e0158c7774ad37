"""A pattern has alternatives in brackets, and named ones that stand once in the file."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from training.patterns import expand, expansions, read_lists


def test_alternatives_may_be_nested_and_empty() -> None:
    assert expansions("[a|b [c|d]][| e]") == {"a", "a e", "b c", "b c e", "b d", "b d e"}


def test_one_of_the_expansions_is_drawn() -> None:
    pattern = "[send|write] [a mail|an e[-|]mail]"
    drawn = {expand(pattern, random.Random(seed)) for seed in range(80)}
    assert drawn == expansions(pattern)


def test_words_of_a_file_stand_in_its_patterns_in_all_depths(tmp_path: Path) -> None:
    path = tmp_path / "lists.yaml"
    path.write_text(
        "words: {greeting: [hi, hello]}\na: ['<greeting> {name}']\nb: {c: ['[oh, |]<greeting>']}\n", "utf-8"
    )
    assert read_lists(path) == {"a": ["[hi|hello] {name}"], "b": {"c": ["[oh, |][hi|hello]"]}}


def test_a_name_without_words_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "lists.yaml"
    path.write_text("words: {greeting: [hi]}\na: ['<greting>']\n", "utf-8")
    with pytest.raises(KeyError, match="greting"):
        read_lists(path)
