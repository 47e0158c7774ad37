"""What makes a tidy request one that a person types or says: casing, typing errors, fillers, the end of a sentence.

Every change is made within a piece, so that a value is always what stands in the request, its typing errors included.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from training.notes.invention import invent_word
from training.requests.grammar import Cues, Piece

_LOWER, _UPPER, _AS_IS = (
    0.4,
    0.03,
    0.1,
)  # shares of requests in lower case, in capitals, and without a capital at the start
_MISTYPED = 0.2  # share of requests with typing errors
_TYPING_ERRORS = 0.12  # share of the long words that have one in such a request
_FILLED = 0.1  # share of requests with a filler
_REWORDED = 0.25  # share of training requests in which words are exchanged for made-up ones
_EXCHANGED = 0.4  # share of the words of such a request that are, of those that are no cues
_WORD = re.compile(r"(?<![\w'@.-])[a-z]{3,}(?![\w'@-])")
_QUESTION = re.compile(
    r"(?:can|could|would|will|what|how|do|does|am|is|are|who|which|when|why|any|have|should|did)\b", re.IGNORECASE
)
_LONG_WORD = re.compile(r"\b[a-z]{4,}\b")
# Contractions, which people write and the grammar does not.
_CONTRACTIONS = (
    ("i am", "i'm"), ("i will", "i'll"), ("what is", "what's"), ("how is", "how's"), ("do not", "don't"),
    ("i would", "i'd"), ("i have to", "i've got to"), ("is not", "isn't"), ("who is", "who's"), ("can not", "can't"),
)  # fmt: skip
_CONTRACTED = 0.6
_NEIGHBOURS = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wqwtyyuioosadfghjkkxzxcvbn", strict=True))


def roughen(pieces: Sequence[Piece], fillers: Sequence[str], rng: random.Random) -> list[Piece]:
    """Return the pieces as a person might write them; each keeps its field."""
    contracts = rng.random() < _CONTRACTED
    rough = [Piece(_contract(piece.text), piece.field) if contracts else piece for piece in pieces]
    if rng.random() < _FILLED:
        rough = _fill(rough, rng.choice(fillers), rng)
    rough = _case(rough, rng)
    if rng.random() < _MISTYPED:
        rough = [Piece(_mistype(piece.text, rng), piece.field) for piece in rough]
    return [*rough, Piece(_end("".join(piece.text for piece in rough), rng))]


def reword(pieces: Sequence[Piece], cues: Cues, *, is_free: bool, rng: random.Random) -> list[Piece]:
    """Exchange words of some requests for made-up ones, so that a verb that is not known leaves the rest as it is.

    Values and cues stay. A request that is none of the intents stays as a whole where it has a topic of them: there the
    verb alone tells that it is none.

    Args:
        pieces: the request.
        cues: the words that stay.
        is_free: whether the request is none of the intents.
        rng: random numbers.
    """
    words = {word.casefold() for piece in pieces for word in re.findall(r"[\w'-]+", piece.text)}
    if rng.random() >= _REWORDED or (is_free and words & cues.topics):
        return list(pieces)
    kept = cues.topics | cues.links

    def exchange(match: re.Match[str]) -> str:
        return match.group() if match.group() in kept or rng.random() >= _EXCHANGED else invent_word(rng)

    return [piece if piece.field is not None else Piece(_WORD.sub(exchange, piece.text)) for piece in pieces]


def _contract(text: str) -> str:
    for long, short in _CONTRACTIONS:
        text = re.sub(rf"\b{long}\b", short, text)
    return text


def _fill(pieces: Sequence[Piece], filler: str, rng: random.Random) -> list[Piece]:
    """Put a filler between two words that belong to no value."""
    places = [
        (number, match.start())
        for number, piece in enumerate(pieces)
        if piece.field is None
        for match in re.finditer(r"(?<=\w) (?=\w)", piece.text)
    ]
    if not places:
        return list(pieces)
    number, at = rng.choice(places)
    text = pieces[number].text
    joined = f"{text[:at]}{rng.choice((f' {filler}', f', {filler},'))}{text[at:]}"
    return [*pieces[:number], Piece(joined), *pieces[number + 1 :]]


def _case(pieces: Sequence[Piece], rng: random.Random) -> list[Piece]:
    kind = rng.random()
    if kind < _LOWER:
        return [Piece(piece.text.lower(), piece.field) for piece in pieces]
    if kind < _LOWER + _UPPER:
        return [Piece(piece.text.upper(), piece.field) for piece in pieces]
    with_i = [Piece(re.sub(r"\bi\b", "I", piece.text), piece.field) for piece in pieces]
    if kind < _LOWER + _UPPER + _AS_IS:
        return with_i
    first = next(number for number, piece in enumerate(with_i) if piece.text)
    text = with_i[first].text
    return [*with_i[:first], Piece(text[:1].upper() + text[1:], with_i[first].field), *with_i[first + 1 :]]


def _mistype(text: str, rng: random.Random) -> str:
    def change(match: re.Match[str]) -> str:
        word = match.group()
        return _typing_error(word, rng) if rng.random() < _TYPING_ERRORS else word

    return _LONG_WORD.sub(change, text)


def _typing_error(word: str, rng: random.Random) -> str:
    """Make one error within a word; its first and last letters stay."""
    at = rng.randrange(1, len(word) - 2)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[: at + 1] + word[at:]
    return word[:at] + _NEIGHBOURS[word[at]] + word[at + 1 :]


def _end(text: str, rng: random.Random) -> str:
    """Draw the sign at the end: people leave it out, and a question has its own."""
    if _QUESTION.match(text):
        return rng.choice(("?", "?", ""))
    return rng.choice((".", "", "", "!") if rng.random() < 0.3 else (".", ""))
