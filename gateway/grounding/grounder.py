"""Evidence: the spans of a text that a value rests on.

Three stages; the first that finds something wins:

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

What never counts: a part of a word ("ER" in "after"), "small cell" in "non-small cell", a bare stage number that
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
    MAX_TERMS,
    Hit,
    Segment,
    Term,
    is_weak,
    letters_of,
    segments,
    stem,
    terms_of,
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

# No connecting word is as long or has a digit in it, so most values need not be read for this.
_SAYS_SOMETHING = re.compile(r"[A-Za-z]{5}|[0-9]")
_PARTS = re.compile(r"\s*[;|\n•]\s*")
_ASIDE = re.compile(r"[(\[]([^()\[\]]*)[)\]]")
_SYMBOL = re.compile(r"\b(?:\w*\d\w*|[A-Z]{2,6})\b")  # of a gene or a drug scheme, or a number
_ITEMS = re.compile(
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
    """Return the evidence for one value; for several values of one text make one `Grounder`."""
    return Grounder(text).find(value)


class Grounder:
    """Finds evidence for the values of one text, each of whose sentences is read at most once.

    Takes time about linear in the text: seven values of a 100,000-character note together well under 0.2 s, of a 2 KB
    note under 1 ms. Not for use by several threads at once.
    """

    def __init__(self, text: str) -> None:
        """Make a grounder for a text."""
        self._text = text
        # A value, its only part and its only item are often the same words, so their evidence is kept.
        self._wholes: dict[str, list[Evidence]] = {}
        self._values: dict[str, Words] = {}

    @cached_property
    def _segments(self) -> list[Segment]:
        return list(segments(self._text))

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
        return is_weak(terms_of(self._read(value)))

    def _misspellings(self, terms: list[Term]) -> list[str]:
        """Return candidates: the text's words that may be a word of the value with a typing error."""
        return [
            word
            for term in terms
            if term.can_be_mistyped
            # One edit, and one more for what folding takes off, such as a plural.
            for word, _, _ in process.extract(term.forms[0], self._long_words, scorer=OSA.distance, score_cutoff=2)
        ]

    def find(self, value: str | None) -> list[Evidence]:
        """Return the spans that `value` rests on, in document order; none where the text does not hold it."""
        spans = {(span.start, span.end): span for _, evidence in self.parts(value) for span in evidence}
        return [spans[offsets] for offsets in sorted(spans)]

    def parts(self, value: str | None) -> list[tuple[str, list[Evidence]]]:
        """Return the parts of `value` with the evidence of each, so that a part without any can be named.

        A value that stands in the text as a whole is one part. Numbers and terms alone are no part.
        """
        value = (value or "").strip()
        if not value:
            return []
        if whole := self._whole(value):
            return [(value, whole)]
        parts = [part for part in _PARTS.split(value) if part]
        if len(parts) > 1:
            parts = [part for part in parts if not self._is_weak(part)]
        return [item for part in parts for item in self._items(part)]

    def _items(self, part: str) -> list[tuple[str, list[Evidence]]]:
        """Return the evidence of a part: as a whole, or else of its head and of what stands in brackets behind it.

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
        result = self._list(head)
        grounded = any(spans for _, spans in result)
        may_stand_alone = _SYMBOL.search(head) is None
        for aside in asides:
            counts = grounded or (may_stand_alone and len(terms_of(self._read(aside))) > 1)
            result += self._list(aside) if counts else [(aside, [])]
        if not all(spans for _, spans in result) and (passage := self._fuzzy(part, complete=True)):
            return [(part, passage)]
        return result

    def _list(self, part: str) -> list[tuple[str, list[Evidence]]]:
        """Return the evidence of a part without brackets: as a whole, or of its items between commas and such."""
        if whole := self._whole(part):
            return [(part, whole)]
        items = self._split_items(part)
        result = [(item, self._whole(item)) for item in items]
        if result and all(spans for _, spans in result):
            return result
        if len(result) < 2:
            return [(part, self._fuzzy(part))]
        # A passage in place of a list must hold all of it, or it would hide what is missing.
        if passage := self._fuzzy(part, complete=True):
            return [(part, passage)]
        return [(item, spans or self._fuzzy(item)) for item, spans in result]

    def _split_items(self, part: str) -> list[str]:
        """Return the items of a part between commas, "and" and brackets, without mere numbers and units.

        "ER and PR positive" gives "ER positive" and "PR positive".
        """
        items = [item for item in _ITEMS.split(part) if item]
        forms = [self._read(item).forms for item in items]
        last = forms[-1] if forms else []
        if len(last) == 2 and last[1] in LEXICON.polarity:
            items = [
                f"{item} {last[1]}" if len(words) == 1 and words[0] not in LEXICON.polarity else item
                for item, words in zip(items, forms, strict=True)
            ]
        return [item for item in items if not self._is_weak(item)]

    def _whole(self, value: str) -> list[Evidence]:
        """Return exact evidence, or else normalised."""
        if value not in self._wholes:
            numeral = _bare_numeral(value)
            self._wholes[value] = (
                self._stage(value, numeral)
                if numeral
                else self._exact(value) or self._but_for_case(value) or self._normalized(value)
            )
        return self._wholes[value]

    def _exact(self, value: str, after: re.Pattern[str] | None = None) -> list[Evidence]:
        """Return where the value stands as it is, and behind what `after` matches."""
        starts = self._starts(self._text, value, after)
        return [Evidence(value, start, start + len(value), "exact") for start in starts]

    def _but_for_case(self, value: str) -> list[Evidence]:
        """Return where the value stands in other case, which takes no reading of the text."""
        lower = self._lower
        if len(lower) != len(self._text) or not value.isascii() or _is_symbol(value):
            return []
        starts = self._starts(lower, value.lower())
        return [
            Evidence(self._text[start : start + len(value)], start, start + len(value), "normalized")
            for start in starts
        ]

    def _starts(self, text: str, value: str, after: re.Pattern[str] | None = None) -> list[int]:
        """Return where the first whole `value`s start in `text`, which is the text itself or in lower case."""
        starts: list[int] = []
        start = text.find(value)
        while start >= 0 and len(starts) < MAX_SPANS:
            if self._is_whole(start, start + len(value)) and (
                after is None or after.search(text[max(start - _LABEL_CHARS, 0) : start])
            ):
                starts.append(start)
            # Nothing else within this word can be whole; skipping it keeps the search linear.
            word = LETTERS.match(text, start)
            start = text.find(value, word.end() if word else start + 1)
        return starts if starts and self._says_something(value) else []

    def _says_something(self, value: str) -> bool:
        """Return whether a value is more than punctuation and connecting words; an emoji is more."""
        if _SAYS_SOMETHING.search(value):
            return True
        return bool(self._read(value)) or any(unicodedata.category(character)[0] == "S" for character in value)

    def _normalized(self, value: str) -> list[Evidence]:
        words = self._read(value)
        stems = {stem(form) for form in words.forms}
        capitals_only = _is_symbol(value)
        spans: list[Evidence] = []
        for segment in self._segments:
            if not segment.may_hold(stems):
                continue
            for hit in segment.find_all(words.forms, words.boundaries):
                evidence = self._evidence(segment, hit, "normalized")
                if evidence is None or (capitals_only and evidence.text.islower()):
                    continue
                spans.append(evidence)
                if len(spans) == MAX_SPANS:
                    return spans
        return spans

    def _stage(self, value: str, numeral: str) -> list[Evidence]:
        """Return evidence for a bare stage number: the text calls it a stage, or a letter makes it plain ("IIIB")."""
        if plain := self._plain_stage(value):
            return plain
        labelled = [
            (segment, number)
            for segment in self._segments
            if segment.letters is None or _ANY_STAGE_LABEL.search(segment.letters)
            for number in sorted(segment.words.staged)
        ]
        spans: list[Evidence | None] = []
        for segment, number in labelled:
            hits = [hit for hit in segment.find_all([numeral], [BROKEN]) if hit.first == number]
            spans += (self._evidence(segment, hit, "normalized") for hit in hits)
        if not spans and len(numeral) > 1 and value[0] in "IVX":
            spans = list(self._exact(value))
        if not spans and numeral.isdigit():
            # "IV" in "stage IVA"; never the other way round.
            for segment, number in labelled:
                if re.fullmatch(rf"{numeral}[a-d]\d?", segment.words.forms[number]):
                    spans.append(self._evidence(segment, Hit(number, number), "fuzzy"))
        if not spans and value.isdigit():
            spans = list(self._exact(value))
        return [
            Evidence(span.text, span.start, span.end, "exact" if span.text == value else span.match)
            for span in [span for span in spans if span is not None][:MAX_SPANS]
        ]

    def _plain_stage(self, value: str) -> list[Evidence]:
        """Return exact evidence for a stage right after its label, which takes no reading of the text."""
        return self._exact(value, after=_STAGE_LABEL_BEFORE if NUMERAL.fullmatch(value) else None)

    def _fuzzy(self, part: str, *, complete: bool = False) -> list[Evidence]:
        """Return the best passage for a part that is not in the text as it is; `complete`: it must hold every word."""
        if _is_symbol(part) or _bare_numeral(part):
            return []
        terms = terms_of(self._read(part))
        if not terms or len(terms) > MAX_TERMS or is_weak(terms):
            return []
        stems = [stem(term.forms[0]) for term in terms]
        required = [letters for term, letters in zip(terms, stems, strict=True) if complete or term.is_required]
        least = len(terms) * FUZZY_THRESHOLD
        near: list[Segment] = []
        far: list[Segment] = []
        for segment in self._segments:
            if segment.may_hold(required):
                held = sum(segment.may_hold((letters,)) for letters in stems)
                is_near = held + ELSEWHERE_SCORE * (len(terms) - held) >= least
                (near if is_near else far).append(segment)
        present = {number for number, term in enumerate(terms) if _core(term) in self._letters}
        if evidence := self._best_passage(near, terms, present, complete=complete):
            return [evidence]
        # Where the value's letters are not, only a typing error can be.
        misspellings = self._misspellings(terms) if far else []
        far = [segment for segment in far if any(segment.may_hold((word,)) for word in misspellings)]
        evidence = self._best_passage(far, terms, present, complete=complete)
        return [evidence] if evidence else []

    def _best_passage(
        self, among: list[Segment], terms: list[Term], present: set[int], *, complete: bool
    ) -> Evidence | None:
        """Return the best passage of several segments, the first of equals."""
        best: tuple[float, Segment, Hit] | None = None
        for segment in among:
            passage = segment.passage(terms, present, complete=complete)
            if passage and (best is None or passage.score > best[0]):
                best = passage.score, segment, passage
        return self._evidence(best[1], best[2], "fuzzy") if best else None

    def _evidence(self, segment: Segment, hit: Hit, match: Match) -> Evidence | None:
        """Return the span of a hit, widened to whole grapheme clusters."""
        text, start, end = self._text, segment.words.starts[hit.first], segment.words.ends[hit.last]
        while not starts_cluster(text, start):
            start -= 1
        while not starts_cluster(text, end):
            end += 1
        if not self._is_whole(start, end, is_words=True):
            return None
        return Evidence(text[start:end], start, end, match)

    def _is_whole(self, start: int, end: int, *, is_words: bool = False) -> bool:
        """Return whether a span is no part of a larger word, number or cluster, and no "non-" stands before it."""
        text = self._text
        if not (starts_cluster(text, start) and starts_cluster(text, end)):
            return False
        for position in (start, end):
            if position == 0 or position == len(text):
                continue
            before, after = text[position - 1], text[position]
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


def _core(term: Term) -> str:
    """Return the letters that `letters_of` a text holds where the text has the term's word or a near inflection."""
    form = term.forms[0]
    return form[: max(len(form) - 2, 4)]


def _is_symbol(value: str) -> bool:
    """Return whether a value in capitals differs in meaning from the everyday word of the same letters."""
    return value.isupper() and value.lower() in LEXICON.capitals_only


def _bare_numeral(value: str) -> str | None:
    """Return the number of a value that is a stage and nothing else ("IIIB", "stage 3", "III A"), as "3b"."""
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
