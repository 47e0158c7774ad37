"""The grammar of the synthetic requests: patterns and values in `requests.yaml`, held-out ones in `held_out.yaml`.

`training/patterns.py` says what a pattern is. A rendered pattern is a list of pieces, so that it is known at every
moment which characters of a request are the value of which field.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

from training.notes.invention import invent_word
from training.patterns import Split, expand, read_lists

FREE_INTENT = "other"
_FOLDER = Path(__file__).resolve().parent
_INVENTED = 0.4  # share of the names in training requests that are made up, so that they have to be read
# The lists whose lines are values, each with the fields that they may be the value of.
_TIMES = ("schedule", "datetime")
SPANS: dict[str, tuple[str, ...]] = {
    "task": ("task",),
    "errand": ("task",),
    "title": ("title",),
    "recipient": ("recipient",),
    "subject": ("subject",),
    "body": ("body",),
    "city": ("location",),
    "venue": ("location",),
    **dict.fromkeys(("time", "day", "clock", "date", "deadline", "moment"), _TIMES),
}


@dataclass(frozen=True)
class Piece:
    """A part of a request: the value of a field, or words between values where `field` is None."""

    text: str
    field: str | None = None


@dataclass(frozen=True)
class Cues:
    """Words that tell what a request wants.

    Attributes:
        topics: those that requests of the intents are about.
        links: those that say who, what, when, and what is asked for.
    """

    topics: frozenset[str]
    links: frozenset[str]


class Grammar:
    """The patterns and values of one split, and the random numbers that choose among them."""

    def __init__(self, split: Split, rng: random.Random) -> None:
        """Read the split's lists; the same random numbers give the same requests."""
        self.rng = rng
        self.invents = split == "training"
        self._lists = lists_of(split)

    @property
    def intents(self) -> list[str]:
        """The intents that have patterns, without that of all other requests."""
        return list(self._lists["requests"])

    @property
    def fillers(self) -> list[str]:
        """The words that say nothing."""
        fillers: list[str] = self._lists["fillers"]
        return fillers

    @property
    def cues(self) -> Cues:
        """The words that tell what a request wants."""
        return Cues(frozenset(self._lists["cues"]["topics"]), frozenset(self._lists["cues"]["links"]))

    def request(self, intent: str) -> list[Piece]:
        """Render a request of one intent, with what is said around it; two fields never share a character."""
        if intent == FREE_INTENT:
            kind, patterns = "remarks", self._lists[FREE_INTENT]
        else:
            by_kind: dict[str, list[str]] = self._lists["requests"][intent]
            kind = self.rng.choices(list(by_kind), [len(patterns) for patterns in by_kind.values()])[0]
            patterns = by_kind[kind]
        around = self.rng.choice(self._lists[f"around_{kind}"])
        before, after = expand(around, self.rng).split("{request}")
        pattern = self.rng.choice(patterns)
        return [Piece(before), *self._render(pattern, intent), Piece(after)]

    def _render(self, pattern: str, intent: str) -> list[Piece]:
        pieces: list[Piece] = []
        for words, name, _, _ in Formatter().parse(expand(pattern, self.rng)):
            pieces.append(Piece(words))
            if name is None:
                continue
            if name in SPANS and intent != FREE_INTENT:
                pieces.append(Piece(self._value(name), field_of(name, intent)))
            elif name == "when" and intent != FREE_INTENT:
                pieces += self._render(self.rng.choice(self._lists[name]), intent)
            else:
                pieces.append(Piece(self._value(name)))
        return [piece for piece in pieces if piece.text]

    def _value(self, name: str) -> str:
        """Render a line of a list; some of the names in training requests are made up."""
        if name == "invented":
            return invent_word(self.rng)
        if self.invents and name in _INVENTIONS and self.rng.random() < _INVENTED:
            return _INVENTIONS[name](self.rng)
        pattern = expand(self.rng.choice(self._lists[name]), self.rng)
        return "".join(
            words + (self._value(inner) if inner else "") for words, inner, _, _ in Formatter().parse(pattern)
        )


def field_of(name: str, intent: str) -> str:
    """Return the field of an intent's answer that the lines of a list are values of."""
    fields = SPANS[name]
    return fields[0] if len(fields) == 1 or intent in ("add_task", "set_reminder") else fields[1]


def _invent_name(rng: random.Random) -> str:
    return " ".join(invent_word(rng).title() for _ in range(rng.choice((1, 1, 2))))


def _invent_thing(rng: random.Random) -> str:
    article, second = rng.choice(("the ", "the ", "a ", "my ", "")), rng.choice(("", "", f" {invent_word(rng)}"))
    return f"{article}{invent_word(rng)}{second}"


def _invent_place(rng: random.Random) -> str:
    return rng.choice((f"the {invent_word(rng)}", _invent_name(rng), f"the {_invent_name(rng)}"))


def _invent_gerund(rng: random.Random) -> str:
    return f"{invent_word(rng, (1, 2))}{rng.choice('dlmnrtpk')}ing"


_INVENTIONS: dict[str, Callable[[random.Random], str]] = {
    "person": _invent_name,
    "town": _invent_name,
    "thing": _invent_thing,
    "place": _invent_place,
    "work": _invent_thing,
    "verb": invent_word,
    "gerund": _invent_gerund,
    **dict.fromkeys(("occasion", "subject_word", "noun", "adjective", "place_word", "trade"), invent_word),
}


@cache
def lists_of(split: Split) -> dict[str, Any]:
    """Return the lists of a split by their names; those of training have their further lines."""
    lists, held_out = dict(read_lists(_FOLDER / "requests.yaml")), read_lists(_FOLDER / "held_out.yaml")
    further: dict[str, list[str]] = lists.pop("further")
    if split == "training":
        lists |= {name: lists.get(name, []) + lines for name, lines in further.items()}
    if split in ("phrasings", "both"):
        lists = lists | held_out["phrasings"]
    if split in ("values", "both"):
        lists = lists | held_out["values"]
    return lists


def value_lists() -> Sequence[str]:
    """Return the names of the lists that have held-out values."""
    return tuple(read_lists(_FOLDER / "held_out.yaml")["values"])
