"""A text without the characters that nobody sees, and the way back to its offsets.

Zero-width characters, soft hyphens, variation selectors and directional marks come with text from web pages, PDF files
and word processors. They stand within words, numbers and prefixes, before signs and behind denials; taken out before
anything is read, they can neither hide a word nor cut one in two.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

# Those of Unicode's Default_Ignorable_Code_Point that are no letters. A soft hyphen at a line's end is seen.
_UNSEEN = re.compile(
    "(?:[\u034f\u061c\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
    "|\u00ad(?![ \t]*[\r\n]))+"
)
_ZERO_WIDTH_SPACE = "\u200b"
# A zero-width space may stand between words, as in "lung<ZWSP>cancer", or within one.
_ENDS_WORD = re.compile(r"[^\W_]{3}\Z")
_STARTS_WORD = re.compile(r"[^\W\d_]{3}")


@dataclass(frozen=True, slots=True)
class Seen:
    """The seen part of a text."""

    text: str
    _starts: tuple[int, ...] = ()
    """Where, in `text`, something was taken out, in order."""
    _taken: tuple[int, ...] = (0,)
    """How many code points before each of them, and at last in all."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the offsets in the whole text of `text[start:end]`, which is not empty."""
        return self._original(start), self._original(end - 1) + 1

    def _original(self, position: int) -> int:
        return position + self._taken[bisect_right(self._starts, position)]


def seen(text: str) -> Seen:
    """Return the seen part of `text`.

    What makes one sign of several, as in an emoji, stays; so does a zero-width space between words.
    """
    if text.isascii() or _UNSEEN.search(text) is None:
        return Seen(text)
    pieces: list[str] = []
    starts: list[int] = []
    taken: list[int] = []
    at = length = 0
    for start, end in _unseen(text):
        pieces.append(text[at:start])
        length += start - at
        starts.append(length)
        taken.append(end - start)
        at = end
    pieces.append(text[at:])
    return Seen("".join(pieces), tuple(starts), tuple(accumulate(taken, initial=0)))


def _unseen(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans that are taken out."""
    for match in _UNSEEN.finditer(text):
        start, end = match.span()
        if start and unicodedata.category(text[start - 1])[0] == "S":
            continue  # an emoji of several
        if _ZERO_WIDTH_SPACE in match[0] and _is_between_words(text, start, end):
            kept = start + match[0].index(_ZERO_WIDTH_SPACE)
            yield start, kept
            yield kept + 1, end
            continue
        yield start, end


def _is_between_words(text: str, start: int, end: int) -> bool:
    """Return whether what stands around a span may be two words and not one, or a number."""
    before, behind = text[max(start - 3, 0) : start], text[end : end + 3]
    if before[-1:].islower() and behind[:1].isupper():
        return True
    return _STARTS_WORD.match(behind) is not None and _ENDS_WORD.search(before) is not None
