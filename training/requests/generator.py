"""A generator of requests to an assistant with their answers, and of requests that are none of the task's intents.

A value is what stands in the request, as it was said: with its casing and typing errors, a time without the preposition
before it ("Friday" of "on Friday") and never resolved. Some phrasings and values are held out: they are in no training
request. A part of the names in training requests is made up, so that the model has to read them, and so are some of the
words that are no cue to what is wanted, so that it does not hang on them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

from training.data.dataset import Answer, Note
from training.data.prompt import load_prompt
from training.patterns import Split
from training.requests.grammar import FREE_INTENT, Grammar, Piece
from training.requests.noise import reword, roughen

TASK = "assistant_intent"


def make_requests(count: int, off_topic_fraction: float, seed: int, split: Split = "training") -> Iterator[Note]:
    """Generate requests; the same seed gives the same requests.

    Args:
        count: number of requests.
        off_topic_fraction: probability, 0 to 1, that a request is none of the task's intents.
        seed: seed of the random numbers.
        split: requests to train on, or with phrasings or values that no training request has.
    """
    grammar = Grammar(split, random.Random(seed))
    for _ in range(count):
        intent = FREE_INTENT if grammar.rng.random() < off_topic_fraction else grammar.rng.choice(grammar.intents)
        pieces = grammar.request(intent)
        if grammar.invents:
            pieces = reword(pieces, grammar.cues, is_free=intent == FREE_INTENT, rng=grammar.rng)
        yield _note(intent, roughen(pieces, grammar.fillers, grammar.rng))


def _note(intent: str, pieces: list[Piece]) -> Note:
    answer: Answer = dict.fromkeys(_fields(intent))
    answer["intent"] = intent
    for piece in pieces:
        if piece.field is not None:
            answer[piece.field] = piece.text
    return Note("".join(piece.text for piece in pieces), answer)


@cache
def _fields(intent: str) -> tuple[str, ...]:
    return tuple(field.name for field in load_prompt(TASK).task.variant(intent))
