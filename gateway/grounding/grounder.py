"""Evidence: the places in a text that a value rests on.

Three stages, and the first that finds something answers:

1. `exact`: the value stands in the text as it is, between word boundaries.
2. `normalized`: the same words, once case, accents, ligatures, white space, punctuation, hyphens, plurals, British
   spelling, small numbers ("six"), Roman numerals after "stage" and its like, "+" / "&" / "plus" / "and", and
   "+" / "positive" are made equal.
3. `fuzzy`: a passage within one sentence that holds nearly all of the value's words, in any order and with few others
   between them (`passages.FUZZY_THRESHOLD`). Numbers, short words (genes, units) and words that turn a finding round
   (positive / negative, left / right) must be there, and their opposites must not. "stage IVA" is fuzzy evidence for
   "IV".

A value of several parts ("a; b", "a, b and c", "a + b (c)") that does not stand in the text as a whole gets evidence
part by part.

What never counts: a piece of a word ("ER" in "after"), "small cell" in "non-small cell", a bare stage number that
nothing calls a stage ("IV" in "200 mg IV"), a number or unit alone as a part ("6 cycles"). Evidence says where the
words are; whether the note affirms them is not judged.

Offsets count Unicode code points of the text as it was given, and no span starts or ends inside a grapheme cluster.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from rapidfuzz import process
from rapidfuzz.distance import OSA

from gateway.grounding.lexicon import LEXICON
from gateway.grounding.passages import (
    ELSEWHERE_SCORE,
    FUZZY_THRESHOLD,
    MAX_UNITS,
    Run,
    Stretch,
    Unit,
    is_weak,
    letters_of,
    stem,
    stretches,
    units_of,
)
from gateway.grounding.words import (
    BROKEN,
    LETTERS,
    NUMERAL,
    Words,
    arabic,
    is_unspaced,
    scan,
    starts_cluster,
)

Match = Literal["exact", "normalized", "fuzzy"]

MAX_SPANS = 10
"""Most spans that one part of a value gets, in document order: enough to show, and the answer stays small."""

# No connecting word is as long or has a digit in it; most values are told by this without being read.
_SAYS_SOMETHING = re.compile(r"[A-Za-z]{5}|[0-9]")
_PARTS = re.compile(r"\s*[;|\n•]\s*")
_ASIDE = re.compile(r"[(\[]([^()\[\]]*)[)\]]")
_SYMBOL = re.compile(r"\b(?:\w*\d\w*|[A-Z]{2,6})\b")  # of a gene or a drug scheme, or a number
_PIECES = re.compile(
    r"\s*(?:,(?!\d)|[/()\[\]&→]|->|(?<=\w)\+(?=\w)|(?<=\s)\+(?=\s)|(?<=\s)[–—-](?=\s)|:(?=\s))\s*"
    r"|\s+(?:and|or|plus|with|then|followed by|in combination with|after|before)\s+",
    re.IGNORECASE,
)
_STAGE_LABELS = "|".join(sorted(LEXICON.stage_labels))
_STAGE_LABEL_BEFORE = re.compile(rf"\b(?:{_STAGE_LABELS})\s\Z", re.IGNORECASE)
_ANY_STAGE_LABEL = re.compile(f"{_STAGE_LABELS}|who")
_LONG_WORD = re.compile(r"[^\W\d_]{6,}")
_LABEL_CHARS = 10  # holds any of them
_STAGE = re.compile(rf"(?:({_STAGE_LABELS})\W+)?({NUMERAL.pattern})", re.IGNORECASE)
_NON = re.compile(r"(?:\A|\W)non[\s\-\u2010-\u2013\u2212]*\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A span of the text: `text[start:end] == evidence.text`, in code points."""

    text: str
    start: int
    end: int
    match: Match


def find_evidence(text: str, value: str | None) -> list[Evidence]:
    """The evidence for one value; for several values of one text make one `Grounder`."""
    return Grounder(text).find(value)


class Grounder:
    """Finds evidence for the values of one text, of which each sentence is read at most once.

    Takes time about linear in the text: seven values of a 100,000-character note together well under 0.2 s, of a 2 KB
    note under 1 ms. Not for use by several threads at once.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        # A value, its only part and its only piece are often the same words, so what was found for them is kept.
        self._wholes: dict[str, list[Evidence]] = {}
        self._values: dict[str, Words] = {}

    @cached_property
    def _stretches(self) -> list[Stretch]:
        return list(stretches(self._text))

    @cached_property
    def _lower(self) -> str:
        return self._text.lower()

    @cached_property
    def _letters(self) -> str:
        return letters_of(self._text)

    @cached_property
    def _long_words(self) -> frozenset[str]:
        """The words that a value's word may be written as with a typing error."""
        return frozenset(_LONG_WORD.findall(self._letters))

    def _read(self, value: str) -> Words:
        if value not in self._values:
            self._values[value] = scan(value)
        return self._values[value]

    def _is_weak(self, value: str) -> bool:
        return is_weak(units_of(self._read(value)))

    def _misspellings(self, units: list[Unit]) -> list[str]:
        """The text's words that may be a word of the value with a typing error, and some that turn out not to be."""
        return [
            word
            for unit in units
            if unit.can_be_mistyped
            # One edit, and one more for what folding takes off, such as a plural.
            for word, _, _ in process.extract(unit.forms[0], self._long_words, scorer=OSA.distance, score_cutoff=2)
        ]

    def find(self, value: str | None) -> list[Evidence]:
        """The spans that `value` rests on, in document order; none where the text does not hold it."""
        spans = {(found.start, found.end): found for _, part in self.parts(value) for found in part}
        return [spans[place] for place in sorted(spans)]

    def parts(self, value: str | None) -> list[tuple[str, list[Evidence]]]:
        """The parts of `value` with the evidence of each, so that a part without any can be named.

        A value that stands in the text as a whole is one part. Numbers and units alone are no part.
        """
        value = (value or "").strip()
        if not value:
            return []
        if whole := self._whole(value):
            return [(value, whole)]
        parts = [part for part in _PARTS.split(value) if part]
        if len(parts) > 1:
            parts = [part for part in parts if not self._is_weak(part)]
        return [found for part in parts for found in self._pieces(part)]

    def _pieces(self, part: str) -> list[tuple[str, list[Evidence]]]:
        """The evidence of a part: as a whole, or else of its head and of what stands in brackets behind it.

        What is in brackets counts without a head only where it says much and the head holds no gene or number:
        "invasive ductal carcinoma" for "breast cancer (invasive ductal carcinoma)", but not "germline" for
        "BRCA2 (germline)".
        """
        if whole := self._whole(part):
            return [(part, whole)]
        asides = [aside for aside in _ASIDE.findall(part) if not self._is_weak(aside)]
        head = " ".join(_ASIDE.sub(" ", part).split())
        if head == part or not head:
            return self._list(part)
        found = self._list(head)
        grounded = any(spans for _, spans in found)
        may_stand_alone = _SYMBOL.search(head) is None
        for aside in asides:
            counts = grounded or (may_stand_alone and len(units_of(self._read(aside))) > 1)
            found += self._list(aside) if counts else [(aside, [])]
        if not all(spans for _, spans in found) and (passage := self._fuzzy(part, complete=True)):
            return [(part, passage)]
        return found

    def _list(self, part: str) -> list[tuple[str, list[Evidence]]]:
        """The evidence of a part without brackets: as a whole, or of its pieces between commas, "and" and such."""
        if whole := self._whole(part):
            return [(part, whole)]
        pieces = self._split_pieces(part)
        found = [(piece, self._whole(piece)) for piece in pieces]
        if found and all(spans for _, spans in found):
            return found
        if len(found) < 2:
            return [(part, self._fuzzy(part))]
        # A passage in place of a list must hold all of it, or it would hide what is missing.
        if passage := self._fuzzy(part, complete=True):
            return [(part, passage)]
        return [(piece, spans or self._fuzzy(piece)) for piece, spans in found]

    def _split_pieces(self, part: str) -> list[str]:
        """The pieces of a part between commas, "and" and brackets, without those that are only numbers and units.

        "ER and PR positive" gives "ER positive" and "PR positive".
        """
        pieces = [piece for piece in _PIECES.split(part) if piece]
        forms = [self._read(piece).forms for piece in pieces]
        last = forms[-1] if forms else []
        if len(last) == 2 and last[1] in LEXICON.polarity:
            pieces = [
                f"{piece} {last[1]}" if len(words) == 1 and words[0] not in LEXICON.polarity else piece
                for piece, words in zip(pieces, forms, strict=True)
            ]
        return [piece for piece in pieces if not self._is_weak(piece)]

    def _whole(self, value: str) -> list[Evidence]:
        """Exact evidence, or else normalised."""
        if value not in self._wholes:
            numeral = _bare_numeral(value)
            found = (
                self._stage(value, numeral)
                if numeral
                else self._exact(value) or self._but_for_case(value) or self._normalized(value)
            )
            self._wholes[value] = found
        return self._wholes[value]

    def _exact(self, value: str, after: re.Pattern[str] | None = None) -> list[Evidence]:
        """Where the value stands as it is, and behind what `after` matches."""
        places = self._places(self._text, value, after)
        return [Evidence(value, start, start + len(value), "exact") for start in places]

    def _but_for_case(self, value: str) -> list[Evidence]:
        """Where the value stands in other case, which can be seen without taking the text apart."""
        lower = self._lower
        if len(lower) != len(self._text) or not value.isascii() or _is_symbol(value):
            return []
        places = self._places(lower, value.lower())
        return [
            Evidence(self._text[start : start + len(value)], start, start + len(value), "normalized")
            for start in places
        ]

    def _places(self, text: str, value: str, after: re.Pattern[str] | None = None) -> list[int]:
        """Where the first whole `value`s start in `text`, which is the text itself or in lower case."""
        found: list[int] = []
        start = text.find(value)
        while start >= 0 and len(found) < MAX_SPANS:
            if self._is_whole(start, start + len(value)) and (
                after is None or after.search(text[max(start - _LABEL_CHARS, 0) : start])
            ):
                found.append(start)
            # Nothing else within this word can be whole; skipping it keeps the search linear.
            word = LETTERS.match(text, start)
            start = text.find(value, word.end() if word else start + 1)
        return found if found and self._says_something(value) else []

    def _says_something(self, value: str) -> bool:
        """Whether a value is more than punctuation and connecting words; an emoji says something."""
        if _SAYS_SOMETHING.search(value):
            return True
        return bool(self._read(value)) or any(unicodedata.category(character)[0] == "S" for character in value)

    def _normalized(self, value: str) -> list[Evidence]:
        words = self._read(value)
        stems = {stem(form) for form in words.forms}
        capitals_only = _is_symbol(value)
        found: list[Evidence] = []
        for stretch in self._stretches:
            if not stretch.may_hold(stems):
                continue
            for run in stretch.runs(words.forms, words.joints):
                evidence = self._evidence(stretch, run, "normalized")
                if evidence is None or (capitals_only and evidence.text.islower()):
                    continue
                found.append(evidence)
                if len(found) == MAX_SPANS:
                    return found
        return found

    def _stage(self, value: str, numeral: str) -> list[Evidence]:
        """Evidence for a bare stage number: where the text calls it a stage, or a letter makes it plain ("IIIB")."""
        if plain := self._plain_stage(value):
            return plain
        labelled = [
            (stretch, number)
            for stretch in self._stretches
            if stretch.letters is None or _ANY_STAGE_LABEL.search(stretch.letters)
            for number in sorted(stretch.words.staged)
        ]
        found: list[Evidence | None] = []
        for stretch, number in labelled:
            runs = [run for run in stretch.runs([numeral], [BROKEN]) if run.first == number]
            found += (self._evidence(stretch, run, "normalized") for run in runs)
        if not found and len(numeral) > 1 and value[0] in "IVX":
            found = list(self._exact(value))
        if not found and numeral.isdigit():
            # "IV" in "stage IVA"; never the other way round.
            for stretch, number in labelled:
                if re.fullmatch(rf"{numeral}[a-d]\d?", stretch.words.forms[number]):
                    found.append(self._evidence(stretch, Run(number, number), "fuzzy"))
        if not found and value.isdigit():
            found = list(self._exact(value))
        kept = [evidence for evidence in found if evidence is not None]
        return [
            Evidence(span.text, span.start, span.end, "exact" if span.text == value else span.match)
            for span in kept[:MAX_SPANS]
        ]

    def _plain_stage(self, value: str) -> list[Evidence]:
        """Exact evidence for a stage right after its label, which takes no reading of the text."""
        return self._exact(value, after=_STAGE_LABEL_BEFORE if NUMERAL.fullmatch(value) else None)

    def _fuzzy(self, part: str, *, complete: bool = False) -> list[Evidence]:
        """The best passage for a part that is not in the text as it is; with `complete` it must hold every word."""
        if _is_symbol(part) or _bare_numeral(part):
            return []
        units = units_of(self._read(part))
        if not units or len(units) > MAX_UNITS or is_weak(units):
            return []
        stems = [stem(unit.forms[0]) for unit in units]
        required = [wanted for unit, wanted in zip(units, stems, strict=True) if complete or unit.is_required]
        least = len(units) * FUZZY_THRESHOLD
        near: list[Stretch] = []
        far: list[Stretch] = []
        for stretch in self._stretches:
            if stretch.may_hold(required):
                held = sum(stretch.may_hold((wanted,)) for wanted in stems)
                is_near = held + ELSEWHERE_SCORE * (len(units) - held) >= least
                (near if is_near else far).append(stretch)
        present = {number for number, unit in enumerate(units) if _core(unit) in self._letters}
        if evidence := self._best_passage(near, units, present, complete=complete):
            return [evidence]
        # Where the value's letters are not, only a typing error can be.
        misspellings = self._misspellings(units) if far else []
        far = [stretch for stretch in far if any(stretch.may_hold((word,)) for word in misspellings)]
        evidence = self._best_passage(far, units, present, complete=complete)
        return [evidence] if evidence else []

    def _best_passage(
        self, among: list[Stretch], units: list[Unit], present: set[int], *, complete: bool
    ) -> Evidence | None:
        """The best passage of several stretches, the first of equals."""
        best: tuple[float, Stretch, Run] | None = None
        for stretch in among:
            passage = stretch.passage(units, present, complete=complete)
            if passage and (best is None or passage.score > best[0]):
                best = passage.score, stretch, passage
        return self._evidence(best[1], best[2], "fuzzy") if best else None

    def _evidence(self, stretch: Stretch, run: Run, match: Match) -> Evidence | None:
        """The span of a run of words, widened to whole grapheme clusters."""
        text, start, end = self._text, stretch.words.starts[run.first], stretch.words.ends[run.last]
        while not starts_cluster(text, start):
            start -= 1
        while not starts_cluster(text, end):
            end += 1
        if not self._is_whole(start, end, is_words=True):
            return None
        return Evidence(text[start:end], start, end, match)

    def _is_whole(self, start: int, end: int, *, is_words: bool = False) -> bool:
        """Whether a span is no piece of a larger word, number or grapheme cluster, and no "non-" stands before it."""
        text = self._text
        if not (starts_cluster(text, start) and starts_cluster(text, end)):
            return False
        for place in (start, end):
            if place == 0 or place == len(text):
                continue
            before, after = text[place - 1], text[place]
            if before.isdigit() and after.isdigit():
                return False
            if (
                not is_words
                and _is_letter(before)
                and after.isalnum()
                and not (is_unspaced(before) or is_unspaced(after))
            ):
                return False
        if _ends_in_number(text[max(start - 2, 0) : start]) and text[start].isdigit():
            return False
        if text[end - 1].isdigit() and re.match(r"[.,]\d", text[end : end + 2]):
            return False
        return _NON.search(text[max(start - 6, 0) : start]) is None


def _core(unit: Unit) -> str:
    """The letters that a text holds, in `letters_of`, that has the unit's word or a near inflection of it."""
    form = unit.forms[0]
    return form[: max(len(form) - 2, 4)]


def _is_symbol(value: str) -> bool:
    """Whether a value in capitals means something else than the everyday word of the same letters."""
    return value.isupper() and value.lower() in LEXICON.capitals_only


def _bare_numeral(value: str) -> str | None:
    """The number of a value that is a stage and nothing else ("IIIB", "stage 3", "III A"), as "3b"."""
    match = _STAGE.fullmatch(value)
    if match is None:
        return None
    label, bare = match[1], match[2]
    if bare[0].isdigit():
        return arabic(bare) if bare[0] in "01234" else None
    return arabic(bare) if label or bare[0].isupper() else None


def _is_letter(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"


def _ends_in_number(before: str) -> bool:
    return len(before) == 2 and before[0].isdigit() and before[1] in ".,"
