"""Long texts become chunks that fit a token budget.

Sentences are found by one regular expression: chunks overlap, so a cut at a doubtful position costs little, and the
libraries that do better weigh tens of megabytes.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gateway.grounding.words import ends_sentence, starts_cluster

# Possessive throughout, so that long runs of dots or spaces take linear time.
_END = re.compile(
    r"""(?P<stop>(?<![.!?…])[.!?…]++)["'”’»)\]]*+(?:\s++|\Z)|[。！？｡।۔؟]++["'”’»」』）)\]]*+\s*+|[\n\r\f\v\x85\u2028\u2029]\s*+"""
)
_LAST_WORDS_CHARS = 40  # enough to see the two words before a full stop


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a text: `text == whole[start:end]`, in code points."""

    index: int
    start: int
    end: int
    text: str


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each sentence, with the white space after it; together they are the whole text.

    A line end always ends one, so headings and list items stand alone; the full stop of an abbreviation, an initial, a
    decimal or a list number does not.
    """
    start = 0
    for match in _END.finditer(text):
        stop = match.start("stop")
        if stop >= 0 and "\n" not in match.group():
            before = text[max(start, stop - _LAST_WORDS_CHARS) : stop]
            if not ends_sentence(before, match["stop"], text[match.end() : match.end() + 1]):
                continue
        yield start, match.end()
        start = match.end()
    if start < len(text):
        yield start, len(text)


def split(text: str, max_tokens: int, overlap_tokens: int, count_tokens: Callable[[str], int]) -> list[Chunk]:
    """Cut a text into chunks of whole sentences that overlap.

    Args:
        text: the text; the chunks in order cover all of it.
        max_tokens: most tokens in a chunk, at least 1.
        overlap_tokens: most tokens at the end of a chunk that the next one repeats, less than `max_tokens`. As many
            whole sentences are repeated as fit.
        count_tokens: tokens of a string. It is called once for the whole text, and where that is too long once for each
            sentence and once for each chunk, so the characters that it counts are a small multiple of the text's.

    Returns:
        At least one chunk. A sentence of more than `max_tokens` is cut between words, a word of more between grapheme
        clusters; only a single code point that costs more than `max_tokens` makes a chunk over the budget.

    Raises:
        ValueError: the two budgets do not fit together.
    """
    if max_tokens < 1 or not 0 <= overlap_tokens < max_tokens:
        raise ValueError("max_tokens must be at least 1, and overlap_tokens at least 0 and less than max_tokens")
    total = count_tokens(text)
    if total <= max_tokens:
        return [Chunk(0, 0, len(text), text)]
    # The units of a sentence too long for one chunk are small enough to be repeated.
    small = overlap_tokens or max_tokens
    units = [
        unit for start, end in sentences(text) for unit in _fitting(text, start, end, max_tokens, small, count_tokens)
    ]
    return list(_chunks(text, units, max_tokens, overlap_tokens, count_tokens))


type _Unit = tuple[int, int, int]
"""Start, end and tokens of a sentence, or of a part of a long one, that no chunk cuts."""


def _fitting(
    text: str, start: int, end: int, max_tokens: int, small: int, count_tokens: Callable[[str], int]
) -> Iterator[_Unit]:
    """Yield `text[start:end]` as one unit where it fits `max_tokens`, else as units of about `small` tokens."""
    tokens = count_tokens(text[start:end])
    if tokens <= max_tokens or end - start == 1:
        yield start, end, tokens
        return
    count = min(-(-tokens // small), end - start)
    width = (end - start) / count
    cuts = [start]
    for number in range(1, count):
        cut = _cut_near(text, round(start + number * width), int(width / 2))
        if cuts[-1] < cut < end:
            cuts.append(cut)
    if len(cuts) == 1:
        cuts.append((start + end) // 2)
    for left, right in zip(cuts, [*cuts[1:], end], strict=True):
        yield from _fitting(text, left, right, max_tokens, small, count_tokens)


def _cut_near(text: str, position: int, reach: int) -> int:
    """Return where to cut: behind white space within `reach` before `position`, else between clusters, else there."""
    for cut in range(position, position - reach, -1):
        if text[cut - 1].isspace() and not text[cut].isspace():
            return cut
    for cut in range(position, position - reach, -1):
        if starts_cluster(text, cut):
            return cut
    return position


def _chunks(
    text: str, units: Sequence[_Unit], max_tokens: int, overlap_tokens: int, count_tokens: Callable[[str], int]
) -> Iterator[Chunk]:
    """Yield chunks of as many units as fit, each after the first led by the last units of the one before."""
    # Numbers of the chunk, of its first unit, and of its first unit that no earlier chunk has.
    index = first = fresh = 0
    while fresh < len(units):
        behind = fresh + 1
        tokens = sum(unit[2] for unit in units[first:behind])
        while first < fresh and tokens > max_tokens:
            tokens -= units[first][2]
            first += 1
        while behind < len(units) and tokens + units[behind][2] <= max_tokens:
            tokens += units[behind][2]
            behind += 1
        # The tokens of units do not always add up; the chunk itself is what must fit.
        while behind - first > 1 and count_tokens(text[units[first][0] : units[behind - 1][1]]) > max_tokens:
            if behind - fresh > 1:
                behind = fresh + (behind - fresh) // 2
            else:
                first += -(-(fresh - first) // 2)
        start, end = units[first][0], units[behind - 1][1]
        yield Chunk(index, start, end, text[start:end])
        index += 1
        begun = first
        first = fresh = behind
        repeated = 0
        while first - 1 > begun and repeated + units[first - 1][2] <= overlap_tokens:
            first -= 1
            repeated += units[first][2]
