"""Patterns, the form of every grammar of generated texts: `[one|two]` stands for one of its alternatives.

Alternatives may be nested. `{name}` stands for a value, which the grammars insert themselves, and `<name>` for one of
the alternatives that the list `words.name` of the same file has.
"""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

# libyaml's where PyYAML was built with it: several times as fast.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_WORD = re.compile(r"<(\w+)>")

Split = Literal["training", "plain", "phrasings", "values", "both"]
"""Which texts: to train on; the same without made-up values; with held-out phrasings, held-out values, or both."""


def expand(pattern: str, rng: random.Random) -> str:
    """Replace every choice in a pattern, the innermost first, by one of its alternatives."""
    while (choice := _CHOICE.search(pattern)) is not None:
        alternative = rng.choice(choice.group(1).split("|"))
        pattern = pattern[: choice.start()] + alternative + pattern[choice.end() :]
    return pattern


def expansions(pattern: str) -> set[str]:
    """Return all that `expand` can make of a pattern."""
    choice = _CHOICE.search(pattern)
    if choice is None:
        return {pattern}
    before, after = pattern[: choice.start()], pattern[choice.end() :]
    return {text for each in choice.group(1).split("|") for text in expansions(f"{before}{each}{after}")}


@cache
def read_lists(path: Path) -> dict[str, Any]:
    """Read the lists of a grammar from its YAML file, with the alternatives of its `words` in their places."""
    content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe one
    words = {name: f"[{'|'.join(alternatives)}]" for name, alternatives in content.pop("words", {}).items()}
    return {name: _with_words(lines, words) for name, lines in content.items()}


def _with_words(lines: Any, words: dict[str, str]) -> Any:
    if isinstance(lines, dict):
        return {name: _with_words(each, words) for name, each in lines.items()}
    if isinstance(lines, list):
        return [_with_words(each, words) for each in lines]
    return _WORD.sub(lambda match: words[match.group(1)], lines) if isinstance(lines, str) else lines
