"""Lists in a value: a separator within brackets or quotes is none, as in "t(9;22)(q34;q11)"."""

import re
from itertools import accumulate

_CLOSING = {")": "(", "]": "[", "}": "{", "”": "“", "»": "«"}
_OPENING = frozenset(_CLOSING.values())


def cut(value: str, separator: re.Pattern[str]) -> list[str]:
    r"""Return the parts of a value between separators that stand in no brackets and no quotes.

    >>> cut("t(9;22)(q34;q11); BCR::ABL1", re.compile(r";\\s*"))
    ['t(9;22)(q34;q11)', 'BCR::ABL1']
    """
    parts, start = [], 0
    inside = _inside(value)
    for match in separator.finditer(value):
        if not inside[match.start()]:
            parts.append(value[start : match.start()])
            start = match.end()
    return [*parts, value[start:]]


def _inside(value: str) -> list[bool]:
    """Return for each character, and the end, whether it stands within brackets or quotes that are closed again."""
    pairs: list[tuple[int, int]] = []
    opened: dict[str, list[int]] = {}
    for position, character in enumerate(value):
        if character in _OPENING:
            opened.setdefault(character, []).append(position)
        elif opened.get(_CLOSING.get(character, "")):
            pairs.append((opened[_CLOSING[character]].pop(), position))
        elif character == '"':
            opened.setdefault('"', []).append(position)
    quotes = opened.get('"', [])
    pairs += zip(quotes[::2], quotes[1::2], strict=False)
    steps = [0] * (len(value) + 1)
    for start, end in pairs:
        steps[start + 1] += 1
        steps[end] -= 1
    return [depth > 0 for depth in accumulate(steps)]
