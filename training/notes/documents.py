"""Documents for pre-training the base: they teach copying, looking up and the shape of a JSON answer.

None of them is the extraction task: where a note is asked about, some of its facts are wanted, under other names and in
any order, so that only the adapter knows the task. A small model
learns to copy only when it sees little else, so training starts with runs of words that repeat themselves, where nearly
every token can be copied.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from training.data.chat import BEGIN, TURN_END, header, turn
from training.data.dataset import FIELDS, Note
from training.notes.invention import invent_word
from training.notes.variation import Variation

_SENTENCE = re.compile(r"(?<=[.;]) ")
# Other names for the task's fields, in its order.
_OTHER_NAMES = (
    ("tumour", "diagnosis", "malignancy", "primary"),
    ("extent", "phase", "staging"),
    ("alteration", "variant", "genomics"),
    ("marker", "expression", "assay"),
    ("therapy", "regimen", "management"),
    ("outcome", "effect", "course"),
    ("spread", "deposits", "involvement"),
)
_ASKED = (3, 4, 5, 6, 6)  # facts at once; never all seven
_SPELT = 0.15  # share of made-up words among the random ones
_CAPITAL = 0.25  # share of those that begin with a capital letter
_SHUFFLED = 0.25  # share of public notes whose sentences after the first come in another order
_GENERATED = 0.35  # share of generated notes among the notes, where there are any
_SYSTEMS = (
    "You are a helpful assistant.",
    "You are an assistant for documents.",
    "You are a medical assistant.",
    "Answer with words from the text.",
)


# Between the words of a repeated run: with signs that vary, the token before tells what comes, a space does not.
_JOINTS = (
    *[" "] * 6, ", ", "; ", ". ", ": ", " (", " and ", " of ", " with ", " the ", " in ", " was ", " + ",
    "-", "/", "%", "=", "|", "<", ">", *"0123456789",
)  # fmt: skip


@dataclass(frozen=True)
class Segment:
    """A part of a document, and how much its tokens count as targets: True, False, or a number between."""

    text: str
    learnt: float


Document = list[Segment]


class DocumentMaker:
    """Makes pre-training documents out of words and of texts.

    Args:
        words: what random values are made of; every token that the adapter is to write must occur in one of them.
        notes: public notes.
        variation: what to exchange values in the notes for.
        seed: the same seed gives the same documents.
        reading_weight: how much the words of a note count as targets where its facts are asked for, 0 to 1.

    `repeat_share` is the share of documents that are repeated runs; `facts_share` that of questions about notes among
    the others; `generated` are notes besides the public ones. Training changes all three while it goes on.
    """

    def __init__(
        self, words: Sequence[str], notes: Sequence[Note], variation: Variation, seed: int, reading_weight: float = 0.0
    ) -> None:
        self._words = words
        self._notes = notes
        self._variation = variation
        self._rng = random.Random(seed)
        self._reading_weight = reading_weight
        self.repeat_share = 1.0
        self.facts_share = 0.4
        self.generated: Sequence[Note] = ()
        self._makers = (self._copy, self._lookup, self._record, self._cloze, self._quote, self._reading)
        self._weights = (0.13, 0.2, 0.33, 0.11, 0.11, 0.12)

    def seed(self, seed: int) -> None:
        """Start anew: the documents from here on follow from the seed alone."""
        self._rng.seed(seed)

    def make(self) -> Document:
        """The next document."""
        if self._rng.random() < self.repeat_share:
            maker = self._repeat
        elif self._rng.random() < self.facts_share:
            maker = self._facts
        else:
            maker = self._rng.choices(self._makers, self._weights)[0]
        return [Segment(BEGIN, False), *maker()]

    def _word(self) -> str:
        """A word of one token, or sometimes one that is spelt in several, as names are that nobody knows."""
        if self._rng.random() < _SPELT:
            word = invent_word(self._rng, (1, 2, 3))
            return word.title() if self._rng.random() < _CAPITAL else word
        return self._rng.choice(self._words)

    def _value(self, longest: int = 5) -> str:
        rng = self._rng
        parts = [self._word() for _ in range(rng.choice((1, 1, 2, 2, 3, longest)))]
        if rng.random() < 0.2:
            parts.append(f"{rng.randint(1, 999)}{rng.choice(('', '%', ' mg', '.' + str(rng.randint(0, 9))))}")
        joined = parts[0]
        for part in parts[1:]:
            joined += rng.choice((" ", " ", " ", "-", " and ", ", ", "; ", " + ", "/")) + part
        return joined

    def _chat(self, question: str, answer: str) -> Document:
        """A conversation of one question, as the served model sees it; only the answer is learnt."""
        system = self._rng.choice(_SYSTEMS)
        return [
            Segment(f"{turn('system', system)}{turn('user', question)}{header('assistant')}", False),
            Segment(f"{answer}{TURN_END}", True),
        ]

    def _repeat(self) -> Document:
        """A short run of random words, over and over."""
        rng = self._rng
        words = [self._word() for _ in range(rng.randint(3, 14))]
        if rng.random() < 0.6:
            run = "".join(word + rng.choice(_JOINTS) for word in words)
        else:
            joint = rng.choice((" ", " ", ", ", "-"))
            run = joint.join(words) + joint
        times = max(2, rng.randint(60, 140) // (2 * len(words)))
        return [Segment(run, False), Segment(run * times, True)]

    def _copy(self) -> Document:
        """A run of random words, then the same again, once or twice."""
        run = " ".join(self._word() for _ in range(self._rng.randint(6, 40)))
        again = " ".join([run] * self._rng.choice((1, 1, 2)))
        return [Segment(f"{run}\n", False), Segment(f"{again}{TURN_END}", True)]

    def _lookup(self) -> Document:
        """Random keys with values, then several of the keys asked for."""
        rng = self._rng
        pairs = [(self._word(), self._value()) for _ in range(rng.randint(3, 9))]
        glue = rng.choice((": ", " = ", " is ", " - "))
        table = rng.choice((". ", "; ", "\n")).join(f"{key}{glue}{value}" for key, value in pairs)
        known = dict(pairs)
        parts = [Segment(f"{table}\n\n", False)]
        for key in rng.sample(sorted(known), k=min(len(known), rng.randint(2, 5))):
            parts += [Segment(f"{key}? ", False), Segment(f"{known[key]}\n", True)]
        parts.append(Segment(TURN_END, True))
        return parts

    def _record(self) -> Document:
        """A text that states some properties among other words; the answer lists those asked for, null if absent."""
        rng = self._rng
        keys = list(dict.fromkeys(self._key() for _ in range(rng.randint(4, 8))))
        stated = {key: self._value(4) for key in keys if rng.random() < 0.75}
        sentences = [self._statement(key, value) for key, value in stated.items()]
        sentences += [self._noise() for _ in range(rng.randint(0, 4))]
        rng.shuffle(sentences)
        asked = rng.sample(keys, k=rng.randint(max(1, len(keys) - 3), len(keys)))
        question = f"{rng.choice(('Find', 'Get', 'List', 'Report'))} {', '.join(asked)}.\n\nText: {' '.join(sentences)}"
        return self._chat(question, json.dumps({key: stated.get(key) for key in asked}))

    def _key(self) -> str:
        return self._word() if self._rng.random() < 0.5 else f"{self._word()}_{self._word()}"

    def _statement(self, key: str, value: str) -> str:
        noise = self._word()
        patterns = (
            f"{key}: {value}.",
            f"The {key} was {value}.",
            f"{key} {noise} {value}.",
            f"{value} is the {key}.",
            f"{noise} {key} {self._word()} with {value}, {self._word()}.",
            f"There was {value} as {key} in {noise}.",
        )
        return self._rng.choice(patterns)

    def _noise(self) -> str:
        if self._rng.random() < 0.6:
            return self._rng.choice(_SENTENCE.split(self._note().text))
        return " ".join(self._word() for _ in range(self._rng.randint(3, 12))) + "."

    def _note(self) -> Note:
        rng = self._rng
        return rng.choice(self.generated if self.generated and rng.random() < _GENERATED else self._notes)

    def _cloze(self) -> Document:
        """A note, then the beginnings of some of its passages to be continued word for word."""
        rng = self._rng
        note = self._note().text
        words = note.split(" ")
        answers: list[Segment] = []
        for _ in range(rng.randint(2, 5)):
            start = rng.randrange(max(1, len(words) - 8))
            passage = words[start : start + rng.randint(4, 9)]
            answers += [Segment(f"{' '.join(passage[:2])} ...", False), Segment(f" {' '.join(passage[2:])}\n", True)]
        return [Segment(f"{note}\n\n", False), *answers, Segment(TURN_END, True)]

    def _quote(self) -> Document:
        """A note, and what follows some of its words, in JSON; the words stand in the note once."""
        note = self._note().text
        words = note.split(" ")
        clues = [
            at for at, word in enumerate(words[:-5]) if len(word) > 5 and word.isalpha() and words.count(word) == 1
        ]
        asked = self._rng.sample(clues, k=min(len(clues), self._rng.randint(1, 3)))
        answer = {words[at]: " ".join(words[at + 1 : at + 1 + self._rng.randint(2, 5)]) for at in asked}
        return self._chat(f"Quote what follows {', '.join(answer)}.\n\nText: {note}", json.dumps(answer))

    def _facts(self) -> Document:
        """A note, and most of its facts under other names, in any order, as JSON; half of the questions name them."""
        rng = self._rng
        note = self._variation.apply(self._note(), rng)
        text = self._shuffled(note.text) if rng.random() < _SHUFFLED else note.text
        asked = rng.sample(range(len(FIELDS)), k=rng.choice(_ASKED))
        answer = {rng.choice(_OTHER_NAMES[field]): note.answer[FIELDS[field]] for field in asked}
        what = ", ".join(answer) if rng.random() < 0.5 else "what is stated"
        system = turn("system", rng.choice(_SYSTEMS))
        question = f"{rng.choice(('Find', 'Get', 'List', 'Report'))} {what}.\n\nText: "
        return [
            Segment(f"{system}{header('user')}{question}", False),
            Segment(text, self._reading_weight),
            Segment(f"{TURN_END}{header('assistant')}", False),
            Segment(f"{json.dumps(answer)}{TURN_END}", True),
        ]

    def _shuffled(self, text: str) -> str:
        """The first sentence, then the others in any order: the same facts in a text that is not known by heart."""
        first, *others = _SENTENCE.split(text)
        self._rng.shuffle(others)
        return " ".join([first, *others])

    def _reading(self) -> Document:
        """A note as it is: the words of the field and their order."""
        return [Segment(self._note().text + TURN_END, True)]
