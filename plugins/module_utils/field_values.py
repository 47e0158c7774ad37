"""When two values of a field are the same: the rule `items` of gateway/evaluation/matching.py.

A second time, because an instance has neither that package nor its Python; a test holds the two together.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Space around it belongs to the separator; several in a row (", and") are one.
JOINER = re.compile(r"(?:\s*(?:;|,(?!\d))\s*|\s+(?:and|plus|&|\+)\s+)(?:(?:and|plus|&|\+)\s+|[;,]\s*)*")
SEQUENCE = re.compile(r"(?:\A|\s+)(?:then|followed by)\s+")
DASH_WITHIN = re.compile(r"(?<=\w)-(?=\w)")
QUOTES = str.maketrans(dict.fromkeys("‘’‚‛′`´", "'") | dict.fromkeys("“”„‟″", '"'))
CLOSING = {")": "(", "]": "[", "}": "{", "”": "“", "»": "«"}


def is_same(expected: object, given: object) -> bool:
    """Say whether a field has the value that was expected; null is only equal to itself."""
    if not isinstance(expected, str) or not isinstance(given, str):
        return expected is None and given is None
    return items(expected) == items(given)


def items(value: str) -> frozenset[str]:
    """Return the items of a value, normalised: their order and what joins them do not count."""
    whole = normalise(value)
    parts = (part.strip() for item in whole.split("; ") for part in cut(item, SEQUENCE))
    return frozenset(part for part in parts if part) or frozenset({whole})


def normalise(value: str) -> str:
    """Return a value without what writing adds: case, space, kinds of dashes and quotes, a full stop at the end."""
    plain = unicodedata.normalize("NFKC", value).translate(QUOTES)
    plain = "".join("-" if c == "\u2212" or unicodedata.category(c) == "Pd" else c for c in plain)
    # Case folding can undo the composition, so it is made again.
    plain = " ".join(unicodedata.normalize("NFKC", plain.casefold()).split())
    plain = DASH_WITHIN.sub(" ", plain).rstrip(".").strip()
    parts = (part.strip() for part in cut(plain, JOINER))
    return "; ".join(part for part in parts if part) or plain


def cut(value: str, separator: re.Pattern[str]) -> list[str]:
    """Return the parts of a value between separators that stand in no brackets and no quotes."""
    parts, start = [], 0
    enclosed = [range(opened + 1, closed) for opened, closed in pairs(value)]
    for match in separator.finditer(value):
        if not any(match.start() in inside for inside in enclosed):
            parts.append(value[start : match.start()])
            start = match.end()
    return [*parts, value[start:]]


def pairs(value: str) -> Iterator[tuple[int, int]]:
    """Yield where brackets and quotes are opened and closed again; one that is not closed is none."""
    opened: dict[str, list[int]] = {}
    for position, character in enumerate(value):
        opening = CLOSING.get(character, "")
        if character in CLOSING.values():
            opened.setdefault(character, []).append(position)
        elif opened.get(opening):
            yield opened[opening].pop(), position
        elif character == '"':
            opened.setdefault('"', []).append(position)
    quotes = opened.get('"', [])
    yield from zip(quotes[::2], quotes[1::2])  # noqa: B905 - the instance's Python may be 3.9, which knows no `strict`
