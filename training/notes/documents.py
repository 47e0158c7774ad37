"""Documents for pre-training the base: they teach copying, looking up and the form of a JSON answer.

None of them is the extraction task: a question about a note asks for some of its facts, under other names and in any
order, so that only the adapter knows the task. A small model learns to copy only when it sees little else, so training
starts with repeated sequences of words, where nearly every token can be copied.
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
_FACTS = (3, 4, 5, 6, 6)  # numbers of facts in a question; never all seven
_INVENTED = 0.15  # share of made-up words among the random ones
_CAPITAL = 0.25  # share of those that begin with a capital letter
_SHUFFLED = 0.25  # share of public notes whose sentences after the first come in another order
_GENERATED = 0.35  # share of generated notes among the notes, where there are any
_VERBS = ("Find", "Get", "List", "Report")
_SYSTEMS = (
    "You are a helpful assistant.",
    "You are an assistant for documents.",
    "You are a medical assistant.",
    "Answer with words from the text.",
)


# Between the words of a repeated sequence: a separator that varies tells which word comes next, a space does not.
_SEPARATORS = (
    *[" "] * 6, ", ", "; ", ". ", ": ", " (", " and ", " of ", " with ", " the ", " in ", " was ", " + ",
    "-", "/", "%", "=", "|", "<", ">", *"0123456789",
)  # fmt: skip


@dataclass(frozen=True)
class Segment:
    """A part of a document, and the weight, 0 to 1, of its tokens in the loss."""

    text: str
    weight: float


Document = list[Segment]


class DocumentMaker:
    """A maker of pre-training documents out of words and notes; a training changes its attributes as it goes on.

    Attributes:
        repeat_share: share of repeated sequences among the documents.
        facts_share: share of questions about notes among the others.
        generated: notes besides the public ones.
    """

    def __init__(
        self, words: Sequence[str], notes: Sequence[Note], variation: Variation, seed: int, reading_weight: float = 0.0
    ) -> None:
        """Take what documents are made of; the same seed gives the same documents.

        Args:
            words: the words of random values; every token that the adapter is to write must occur in one of them.
            notes: public notes.
            variation: how to exchange values in the notes.
            seed: seed of the random numbers.
            reading_weight: weight, 0 to 1, of a note's own words in the loss where a question asks for its facts.
        """
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
        """Start anew: the documents from here on depend on this seed alone."""
        self._rng.seed(seed)

    def make(self) -> Document:
        """Make the next document."""
        if self._rng.random() < self.repeat_share:
            maker = self._repeat
        elif self._rng.random() < self.facts_share:
            maker = self._facts
        else:
            maker = self._rng.choices(self._makers, self._weights)[0]
        return [Segment(BEGIN, 0), *maker()]

    def _word(self) -> str:
        """Draw a word of one token, or sometimes invent one of several tokens, as unknown names are."""
        if self._rng.random() < _INVENTED:
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
        """Make a conversation of one question, as the served model sees it; only the answer is learnt."""
        system = self._rng.choice(_SYSTEMS)
        return [
            Segment(f"{turn('system', system)}{turn('user', question)}{header('assistant')}", 0),
            Segment(f"{answer}{TURN_END}", 1),
        ]

    def _repeat(self) -> Document:
        """Repeat a short sequence of random words many times."""
        rng = self._rng
        words = [self._word() for _ in range(rng.randint(3, 14))]
        if rng.random() < 0.6:
            sequence = "".join(word + rng.choice(_SEPARATORS) for word in words)
        else:
            separator = rng.choice((" ", " ", ", ", "-"))
            sequence = separator.join(words) + separator
        times = max(2, rng.randint(60, 140) // (2 * len(words)))
        return [Segment(sequence, 0), Segment(sequence * times, 1)]

    def _copy(self) -> Document:
        """Make a sequence of random words, then the same again, once or twice."""
        sequence = " ".join(self._word() for _ in range(self._rng.randint(6, 40)))
        again = " ".join([sequence] * self._rng.choice((1, 1, 2)))
        return [Segment(f"{sequence}\n", 0), Segment(f"{again}{TURN_END}", 1)]

    def _lookup(self) -> Document:
        """List random keys with values, then ask for several of the keys."""
        rng = self._rng
        pairs = [(self._word(), self._value()) for _ in range(rng.randint(3, 9))]
        glue = rng.choice((": ", " = ", " is ", " - "))
        table = rng.choice((". ", "; ", "\n")).join(f"{key}{glue}{value}" for key, value in pairs)
        values = dict(pairs)
        document = [Segment(f"{table}\n\n", 0)]
        for key in rng.sample(sorted(values), k=min(len(values), rng.randint(2, 5))):
            document += [Segment(f"{key}? ", 0), Segment(f"{values[key]}\n", 1)]
        return [*document, Segment(TURN_END, 1)]

    def _record(self) -> Document:
        """Ask for properties that a text states among other words; the answer has null for those that are absent."""
        rng = self._rng
        keys = list(dict.fromkeys(self._key() for _ in range(rng.randint(4, 8))))
        stated = {key: self._value(4) for key in keys if rng.random() < 0.75}
        sentences = [self._statement(key, value) for key, value in stated.items()]
        sentences += [self._noise() for _ in range(rng.randint(0, 4))]
        rng.shuffle(sentences)
        queried = rng.sample(keys, k=rng.randint(max(1, len(keys) - 3), len(keys)))
        question = f"{rng.choice(_VERBS)} {', '.join(queried)}.\n\nText: {' '.join(sentences)}"
        return self._chat(question, json.dumps({key: stated.get(key) for key in queried}))

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
        """Ask to continue some passages of a note word for word."""
        rng = self._rng
        note = self._note().text
        words = note.split(" ")
        passages: list[Segment] = []
        for _ in range(rng.randint(2, 5)):
            start = rng.randrange(max(1, len(words) - 8))
            passage = words[start : start + rng.randint(4, 9)]
            passages += [Segment(f"{' '.join(passage[:2])} ...", 0), Segment(f" {' '.join(passage[2:])}\n", 1)]
        return [Segment(f"{note}\n\n", 0), *passages, Segment(TURN_END, 1)]

    def _quote(self) -> Document:
        """Ask what follows some words of a note, each of which occurs in it once; the answer is JSON."""
        note = self._note().text
        words = note.split(" ")
        clues = [
            at for at, word in enumerate(words[:-5]) if len(word) > 5 and word.isalpha() and words.count(word) == 1
        ]
        positions = self._rng.sample(clues, k=min(len(clues), self._rng.randint(1, 3)))
        answer = {words[at]: " ".join(words[at + 1 : at + 1 + self._rng.randint(2, 5)]) for at in positions}
        return self._chat(f"Quote what follows {', '.join(answer)}.\n\nText: {note}", json.dumps(answer))

    def _facts(self) -> Document:
        """Ask for most facts of a note, under other names and in any order, as JSON; half of the time by name."""
        rng = self._rng
        note = self._variation.apply(self._note(), rng)
        text = self._shuffled(note.text) if rng.random() < _SHUFFLED else note.text
        fields = rng.sample(range(len(FIELDS)), k=rng.choice(_FACTS))
        answer = {rng.choice(_OTHER_NAMES[field]): note.answer[FIELDS[field]] for field in fields}
        subject = ", ".join(answer) if rng.random() < 0.5 else "what is stated"
        system = turn("system", rng.choice(_SYSTEMS))
        question = f"{rng.choice(_VERBS)} {subject}.\n\nText: "
        return [
            Segment(f"{system}{header('user')}{question}", 0),
            Segment(text, self._reading_weight),
            Segment(f"{TURN_END}{header('assistant')}", 0),
            Segment(f"{json.dumps(answer)}{TURN_END}", 1),
        ]

    def _shuffled(self, text: str) -> str:
        """Shuffle the sentences after the first: the same facts in a text that the model cannot have memorised."""
        first, *others = _SENTENCE.split(text)
        self._rng.shuffle(others)
        return " ".join([first, *others])

    def _reading(self) -> Document:
        """Give a note as it is, to teach the words of the field and their order."""
        return [Segment(self._note().text + TURN_END, 1)]
