"""Evidence: the spans of a text that a value rests on.

Three stages; the first that finds something wins:

1. `exact`: the value stands in the text as it is, between word boundaries.
2. `normalized`: the same words, once case, accents, ligatures, white space, punctuation, hyphens, line breaks in words,
   plurals, British spelling, small numbers ("six"), spaces in numbers ("1 200"), Roman numerals after "stage" and its
   like, the prefix of a TNM ("pT2"), "+" / "&" / "plus" / "and", and the signs "+" and "-" of a marker and
   "positive" and "negative" are made equal. A score counts as what it says: "3+" is positive, "2+" equivocal.
3. `fuzzy`: a passage within one sentence that holds nearly all of the value's words, in any order and with few others
   between them (`passages.FUZZY_THRESHOLD`). Numbers, short words (genes, units) and words that turn a finding round
   (positive / negative, left / right) must be there, and their opposites must not. "stage IVA" is fuzzy evidence for
   "IV".

A value of several parts ("a; b", "a, b and c", "a + b (c)") that does not stand in the text as a whole gets evidence
part by part. A variant, a number or a result is no part: it belongs to the marker before it ("EGFR (L858R)").

What never counts: a part of a word ("ER" in "after"), a word that a prefix makes another ("small cell" in "non-small
cell", "resectable" in "unresectable"), the opposite ("well" for "poorly differentiated"), what the note denies ("no
liver metastases"), another marker's mutation, number or result, a bare stage number that nothing calls a stage ("IV" in
"200 mg IV"), a number that is another with what stands beside it ("49%" in "1-49%"), a number or unit alone as a part
("6 cycles"). Such a word of a value is not made up for by the others.

Offsets count Unicode code points of the text as it was given, and no span starts or ends inside a grapheme cluster.
"""

import math
import re
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from typing import Literal

from rapidfuzz import process
from rapidfuzz.distance import OSA

from gateway.grounding.brackets import cut
from gateway.grounding.lexicon import LEXICON
from gateway.grounding.opposition import OPPOSITES, has_reversed, is_denied
from gateway.grounding.passages import (
    ELSEWHERE_SCORE,
    FUZZY_THRESHOLD,
    MAX_TERMS,
    Hit,
    Segment,
    Term,
    Wanted,
    american,
    is_weak,
    letters_of,
    markers_in,
    segments,
    stem,
    terms_of,
)
from gateway.grounding.quantities import is_part_of_quantity
from gateway.grounding.unseen import Seen, seen
from gateway.grounding.words import (
    BROKEN,
    LETTERS,
    NUMERAL,
    SPACED,
    Words,
    arabic,
    cluster_around,
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
_ASIDE_APART = re.compile(r"\s[(\[]")
_RATIO = re.compile(r"\d+\s?[+/]\s?\d+")
_COMMA = re.compile(r",(?!\d)")
_SYMBOL = re.compile(r"\b(?:\w*\d\w*|[A-Z]{2,6})\b")  # of a gene or a drug scheme, or a number
_ITEMS = re.compile(
    r"\s*(?:,(?!\d)|[()\[\]&→]|/(?!\d)|(?:(?<![\d])(?<!\d[pq])|(?<=[A-Za-z]\d)|(?<=[A-Za-z]\d\d))/|->|(?<=\w)\+(?=\w)|(?<=\s)\+(?=\s)|(?<=\s)[–—-](?=\s)|:(?=\s))\s*"
    r"|\s+(?:and|or|plus|with|then|followed by|in combination with|after|before)\s+",
    re.IGNORECASE,
)
_STAGE_LABELS = "|".join(sorted(LEXICON.stage_labels))
_STAGE_LABEL_BEFORE = re.compile(rf"\b(?:{_STAGE_LABELS})\s\Z", re.IGNORECASE)
_ANY_STAGE_LABEL = re.compile(rf"{_STAGE_LABELS}|who|\b(?:y?[pc]|y)i[iva-d]")
_WORD = re.compile(r"[^\W\d_]{2,}")
_TO_WORDS = {code: "\n" for code in range(128) if not chr(code).isalpha()}
_LONG_WORD = re.compile(r"[^\W\d_]{6,}")
_LABEL_CHARS = 10  # holds any of them
_STAGE = re.compile(rf"(?:({_STAGE_LABELS})\W+)?({NUMERAL.pattern})", re.IGNORECASE)
_STAGE_RANGE = re.compile(
    rf"(?:(?P<label>{_STAGE_LABELS})\W+)?(?P<first>{NUMERAL.pattern})\s*(?:[-/\u2010-\u2014]|to|or|through)\s*"
    rf"(?P<last>{NUMERAL.pattern}|[a-d])",
    re.IGNORECASE,
)
# The end of a noun in Korean, which has its particles behind it.
_PARTICLES = re.compile(rf"(?:{'|'.join(sorted(LEXICON.particles, key=len, reverse=True))})(?![\uac00-\ud7a3])")
# A number of which the digits behind a space are a part, as in "1 200"; before it the word that may be counted.
_THOUSANDS = re.compile(r"(?:([^\W\d_]+)\W{1,3})?(?<![\w.,])\d{1,3}(?:\s\d{3})*\s\Z")
_THOUSANDS_CHARS = 24
_THOUSANDS_FOLLOW = re.compile(r"\s(\d{3})(?![\w.,])")
_ENDS_IN_NAME = re.compile(r"[^\W\d_]\d+\Z")  # "CD20", "G12"
_THREE_DIGITS = re.compile(r"\d{3}(?!\d)")
_TNM_FORM = re.compile(r"[tnm](?:[0-4x]|is)")
_CAPITALS = re.compile(r"[^\W\d_]+")
_MIN_DENIED_CHARS = 5  # of a word that is looked for in the whole text
_MOST_DENIED = 50  # places
_CAPITALS_REACH = 40  # characters around a symbol that are looked at


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


class OutOfTimeError(Exception):
    """The search for evidence was ended at its time limit."""


class Grounder:
    """Finds evidence for the values of one text, each of whose sentences is read at most once.

    Takes time about linear in the text, but what an ordinary note takes says little of one that is made to take long:
    bound it with `until`. Not for use by several threads at once.
    """

    def __init__(self, text: str, until: float = math.inf) -> None:
        """Make a grounder for a text.

        Args:
            text: the text.
            until: when every search ends with `OutOfTimeError`, as `time.monotonic` counts.
        """
        self._source = text
        self.until = until
        # A value, its only part and its only item are often the same words, so their evidence is kept.
        self._wholes: dict[str, list[Evidence]] = {}
        self._values: dict[str, Words] = {}

    @cached_property
    def _seen(self) -> Seen:
        return seen(self._source)

    @cached_property
    def _text(self) -> str:
        """What is seen of the text: all offsets but those of the evidence that is returned count in it."""
        return self._seen.text

    @cached_property
    def _segments(self) -> list[Segment]:
        return list(segments(self._text, self._check))

    @cached_property
    def _lower(self) -> str:
        return self._text.lower()

    @cached_property
    def _letters(self) -> str:
        return letters_of(self._text)

    @cached_property
    def _vocabulary(self) -> str:
        """The text's words in lower case, each between line ends; those that a hyphen breaks also whole."""
        texts = [american(self._lower), self._letters] if "-" in self._text else [american(self._lower)]
        words = "\n".join(texts)
        if words.isascii():
            return f"\n{words.translate(_TO_WORDS)}\n"
        return "\n".join(("", *(match[0] for match in _WORD.finditer(words)), ""))

    def _check(self) -> None:
        if time.monotonic() > self.until:
            raise OutOfTimeError

    @cached_property
    def _long_words(self) -> frozenset[str]:
        """The words that a value's word may be written as with a typing error."""
        # Not by `findall`: one call would keep all other threads waiting.
        return frozenset(match[0] for match in _LONG_WORD.finditer(self._letters))

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
        """Return the spans that `value` rests on, in document order; none where the text does not hold it.

        Raises:
            OutOfTimeError: it took longer than `until`.
        """
        spans = {(span.start, span.end): span for _, evidence in self.parts(value) for span in evidence}
        return [spans[offsets] for offsets in sorted(spans)]

    def parts(self, value: str | None) -> list[tuple[str, list[Evidence]]]:
        """Return the parts of `value` with the evidence of each, so that a part without any can be named.

        A value that stands in the text as a whole is one part. Numbers and terms alone are no part.

        Raises:
            OutOfTimeError: it took longer than `until`.
        """
        return [(part, self._in_source(evidence)) for part, evidence in self._parts(seen(value or "").text.strip())]

    def _in_source(self, evidence: list[Evidence]) -> list[Evidence]:
        """Return evidence with the offsets of the text as it was given."""
        source = self._source
        if self._text is source:
            return evidence
        result = []
        for one in evidence:
            span = cluster_around(source, *self._seen.span(one.start, one.end))
            if span is None:
                continue
            words = source[slice(*span)]
            match = "normalized" if one.match == "exact" and words != one.text else one.match
            result.append(Evidence(words, *span, match))
        return result

    def _parts(self, value: str) -> list[tuple[str, list[Evidence]]]:
        if not value:
            return []
        if whole := self._whole(value):
            return [(value, whole)]
        parts = [part for part in _PARTS.split(value) if part]
        if len(parts) > 1:
            parts = [part for part in self._with_markers(parts) if not self._is_weak(part)]
        return [item for part in parts for item in self._items(part)]

    def _with_markers(self, items: list[str]) -> list[str]:
        """Return the items of a list with the marker that a detail belongs to: "EGFR", "L858R" is one, "EGFR L858R"."""
        result: list[str] = []
        marker = ""
        for item in items:
            words = self._read(item)
            if found := markers_in(words):
                last = next(iter(found))
                while found.get(last + 1) == found[last]:
                    last += 1
                marker = item[: words.ends[last]]
                result.append(item)
            elif marker and self._is_detail(item):
                if result[-1] == marker:
                    result.pop()
                result.append(f"{marker} {item}")
            else:
                result.append(item)
        return result

    def _items(self, part: str) -> list[tuple[str, list[Evidence]]]:
        """Return the evidence of a part: as a whole, or else of its head and of what stands in brackets behind it.

        What is in brackets counts without a head only where it says much and the head holds no gene or number:
        "invasive ductal carcinoma" for "breast cancer (invasive ductal carcinoma)", but not "germline" for
        "BRCA2 (germline)".
        """
        if whole := self._whole(part):
            return [(part, whole)]
        asides = _ASIDE.findall(part)
        head = " ".join(_ASIDE.sub(" ", part).split())
        if head == part or not head:
            return self._list(part)
        if self._is_weak(head) and not _ASIDE_APART.search(part):
            return [(part, [])]  # "del(17p)" is not found by "del"
        items = [item.strip() for item in cut(part, _COMMA) if item.strip()]
        if len(items) > 1:
            return [result for item in self._with_markers(items) for result in self._items(item)]
        if details := [aside for aside in asides if self._is_detail(aside)]:
            if markers_in(self._read(head)):
                # A result is nothing without what it is of, nor may the head stand for another's.
                stated = " ".join((head, *details))
                spans = self._whole(stated) or self._fuzzy(stated, complete=True)
                return [(part, spans or self._fuzzy(part, complete=True))]
            if not all(self._has_numbers(aside) for aside in details):
                return [(part, [])]
        asides = [aside for aside in asides if not self._is_weak(aside)]
        result = self._list(head)
        grounded = any(spans for _, spans in result)
        may_stand_alone = _SYMBOL.search(head) is None
        for aside in asides:
            counts = grounded or (may_stand_alone and len(terms_of(self._read(aside))) > 1)
            result += self._list(aside) if counts else [(aside, [])]
        if not all(spans for _, spans in result) and (passage := self._fuzzy(part, complete=True)):
            return [(part, passage)]
        return result

    def _is_detail(self, item: str) -> bool:
        """Return whether an item says nothing but a variant, a number or a result, which something else must have."""
        forms = self._read(item).forms
        says = {
            form
            for form in forms
            if form in LEXICON.polarity
            or (any(map(str.isdigit, form)) and form not in LEXICON.markers)
            or any(f"\n{other}\n" in self._vocabulary for other in OPPOSITES.get(form, ()))
        }
        return bool(says) and all(
            form in says or form in LEXICON.measures or form in LEXICON.variant_words or not form.isalnum()
            for form in forms
        )

    def _has_numbers(self, aside: str) -> bool:
        """Return whether the text has each number of a "6 cycles" somewhere, and a "4+3" as it is."""
        if not self._is_weak(aside):
            return True
        if _RATIO.fullmatch(aside):
            return bool(self._whole(aside))
        numbers = [form for form in self._read(aside).forms if form[0].isdigit()]
        return all(
            any(
                segment.may_hold((stem(form),)) and any(segment.find_all([form], [BROKEN]))
                for segment in self._segments
            )
            for form in numbers
        )

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
        result = [(item, spans or self._fuzzy(item)) for item, spans in result]
        if any(not spans and self._is_contradicted(item) for item, spans in result):
            return [(part, [])]
        return result

    def _is_contradicted(self, item: str) -> bool:
        """Return whether the text holds an item but for a word that it turns round."""
        words = self._read(item)
        for number, form in enumerate(words.forms):
            if has_reversed(form, self._vocabulary) and f"\n{form}\n" not in self._vocabulary:
                return True
            for other in sorted(OPPOSITES.get(form, ())):
                turned = f"{item[: words.starts[number]]}{other}{item[words.ends[number] :]}"
                if (other in LEXICON.polarity or f"\n{other}\n" in self._vocabulary) and (
                    self._whole(turned) or self._fuzzy(turned)
                ):
                    return True
        return False

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
        return [item for item in self._with_markers(items) if not self._is_weak(item)]

    def _whole(self, value: str) -> list[Evidence]:
        """Return exact evidence, or else normalised."""
        if value not in self._wholes:
            numerals = _bare_numerals(value)
            self._wholes[value] = (
                self._stage(value, numerals)
                if numerals
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
            self._check()
            if (
                self._is_whole(start, start + len(value))
                and (after is None or after.search(text[max(start - _LABEL_CHARS, 0) : start]))
                and self._affirms(start, start + len(value), value)
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
        capitals_only = _is_symbol(value)
        is_list = ";" in value or _ITEMS.search(value) is not None
        forms = [form[words.prefixes.get(number, 0) :] for number, form in enumerate(words.forms)]
        is_tnm = any(map(_TNM_FORM.match, forms))
        forms = forms if is_tnm else words.forms
        stems = {stem(form) for form in forms}
        prefixes = _tnm_prefixes(value, words, Hit(0, len(words) - 1)) if words.prefixes else {}
        spans: list[Evidence] = []
        for segment in self._segments:
            if not segment.may_hold(stems):
                continue
            for hit in segment.find_all(forms, words.boundaries, bare=is_tnm):
                if prefixes and not _same_prefixes(prefixes, _tnm_prefixes(self._text, segment.words, hit)):
                    continue
                if not is_list and segment.mixes(hit):
                    continue
                evidence = self._evidence(segment, hit, "normalized", value)
                if evidence is None or (capitals_only and self._is_everyday(evidence)):
                    continue
                spans.append(evidence)
                if len(spans) == MAX_SPANS:
                    return spans
        return spans

    def _is_everyday(self, evidence: Evidence) -> bool:
        """Return whether a symbol is not in capitals, so that it may be a word: "met", and "Met" but for "c-Met"."""
        before = self._text[max(evidence.start - 1, 0) : evidence.start]
        return evidence.text.islower() or (evidence.text.istitle() and before != "-")

    def _stage(self, value: str, numerals: list[str]) -> list[Evidence]:
        """Return evidence for a bare stage number: the text calls it a stage, or a letter makes it plain ("IIIB")."""
        if plain := self._plain_stage(value):
            return plain
        spans = list(self._labelled(numerals, value))
        if not spans and value[0] in "IVX" and len("".join(numerals)) > 1:
            spans = self._exact(value)
        if not spans and len(numerals) == 1:
            # "IV" in "stage IVA" and "IIIA" in "stage IIIA2"; never the other way round.
            spans = self._substages(numerals[0], value)
        if not spans and value.isdigit():
            spans = self._exact(value)
        return [
            Evidence(span.text, span.start, span.end, "exact" if span.text == value else span.match)
            for span in spans[:MAX_SPANS]
        ]

    def _staged(self) -> Iterator[Segment]:
        """Yield the segments with a stage."""
        for segment in self._segments:
            self._check()
            if (segment.letters is None or _ANY_STAGE_LABEL.search(segment.letters)) and segment.words.staged:
                yield segment

    def _labelled(self, numerals: list[str], value: str) -> Iterator[Evidence]:
        """Yield where the text calls a numeral, or a range of two, a stage."""
        found = 0
        for segment in self._staged():
            for joiner in ((), ("to",), ("or",), ("through",))[: 4 if len(numerals) > 1 else 1]:
                forms = [numerals[0], *joiner, *numerals[1:]]
                for hit in segment.find_all(forms, [BROKEN, SPACED, SPACED][: len(forms)]):
                    if hit.first in segment.words.staged and (
                        evidence := self._evidence(segment, hit, "normalized", value)
                    ):
                        yield evidence
                        found += 1
                        if found == MAX_SPANS:
                            return

    def _substages(self, numeral: str, value: str) -> list[Evidence]:
        substage = re.compile(rf"{numeral}[a-d]\d?" if numeral.isdigit() else rf"{numeral}\d")
        spans = (
            self._evidence(segment, Hit(number, number), "fuzzy", value)
            for segment in self._staged()
            for number in sorted(segment.words.staged)
            if substage.fullmatch(segment.words.forms[number])
        )
        return list(islice((span for span in spans if span), MAX_SPANS))

    def _plain_stage(self, value: str) -> list[Evidence]:
        """Return exact evidence for a stage right after its label, which takes no reading of the text."""
        return self._exact(value, after=_STAGE_LABEL_BEFORE if NUMERAL.fullmatch(value) else None)

    def _fuzzy(self, part: str, *, complete: bool = False) -> list[Evidence]:
        """Return the best passage for a part that is not in the text as it is; `complete`: it must hold every word."""
        if _is_symbol(part) or _bare_numerals(part):
            return []
        words = self._read(part)
        terms = terms_of(words, part)
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
        wanted = Wanted(
            terms,
            frozenset(markers_in(words).values()),
            complete,
            cache(lambda number: not self._is_turned_round(terms[number])),
            ";" in part or _ITEMS.search(part) is not None,
            cache(lambda number: f"\n{_core(terms[number])}" in self._vocabulary),
            lambda start, end: is_denied(self._text, start, end, lambda: words.forms),
        )
        if evidence := self._best_passage(near, wanted, part):
            return [evidence]
        # Where the value's letters are not, only a typing error can be.
        misspellings = self._misspellings(terms) if far else []
        far = [segment for segment in far if any(segment.may_hold((word,)) for word in misspellings)]
        evidence = self._best_passage(far, wanted, part)
        return [evidence] if evidence else []

    def _is_turned_round(self, term: Term) -> bool:
        """Return whether the text has a term's opposite by a prefix, or denies it somewhere."""
        return has_reversed(term.forms[0], self._vocabulary) or self._is_denied_anywhere(term)

    def _is_denied_anywhere(self, term: Term) -> bool:
        text, forms = self._lower, term.forms
        if len(text) != len(self._text) or len(forms[0]) < _MIN_DENIED_CHARS:
            return False
        core = forms[0][: max(min(len(forms[0]) - 2, 6), 4)]
        start = text.find(core)
        for _ in range(_MOST_DENIED):
            if start < 0:
                return False
            word = LETTERS.match(text, start)
            end = word.end() if word else start + len(core)
            if not text[start - 1 : start].isalnum() and is_denied(self._text, start, end, lambda: forms):
                return True
            start = text.find(core, end)
        return False

    def _best_passage(self, among: list[Segment], wanted: Wanted, value: str) -> Evidence | None:
        """Return the best passage of several segments, the first of equals."""
        best: tuple[float, Segment, Hit] | None = None
        for segment in among:
            passage = segment.passage(wanted)
            if passage and (best is None or passage.score > best[0]):
                best = passage.score, segment, passage
        return self._evidence(best[1], best[2], "fuzzy", value) if best else None

    def _evidence(self, segment: Segment, hit: Hit, match: Match, value: str) -> Evidence | None:
        """Return the span of a hit, widened to whole grapheme clusters; None where the text denies it."""
        self._check()
        text = self._text
        span = cluster_around(text, segment.words.starts[hit.first], segment.words.ends[hit.last])
        if span is None or not (self._is_whole(*span, is_words=True) and self._affirms(*span, value)):
            return None
        return Evidence(text[slice(*span)], *span, match)

    def _affirms(self, start: int, end: int, value: str) -> bool:
        """Return whether a span does not say the opposite: no denial stands around it, and a symbol is one."""
        if _is_symbol(value) and _is_mere_word(self._text, start, end):
            return False
        return not is_denied(self._text, start, end, lambda: self._read(value).forms)

    def _is_whole(self, start: int, end: int, *, is_words: bool = False) -> bool:
        """Return whether a span is no part of a larger word, number or cluster."""
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
                and not (position == end and _takes_particle(before) and _PARTICLES.match(text, end))
            ):
                return False
        if _ends_in_number(text[max(start - 2, 0) : start]) and text[start].isdigit():
            return False
        if text[end - 1].isdigit() and (re.match(r"[.,]\d", text[end : end + 2]) or self._is_continued(start, end)):
            return False
        if text[start].isdigit() and start and self._continues_number(start):
            return False
        return not is_part_of_quantity(text, start, end)

    def _is_continued(self, start: int, end: int) -> bool:
        """Return whether the digits before `end` are the first of a number: "12" in "PSA 12 500 ng/mL"."""
        match = _THOUSANDS_FOLLOW.match(self._text, end)
        if match is None:
            return False
        return self._continues_number(match.start(1)) and not _ENDS_IN_NAME.search(self._text[start:end])

    def _continues_number(self, start: int) -> bool:
        """Return whether the digits at `start` are the last of a number: "200" in "1 200", "5" in ".5"."""
        text = self._text
        if text[start - 1] == "." and not text[max(start - 2, 0) : start - 1].isalnum():
            return True
        if not text[start - 1].isspace() or not _THREE_DIGITS.match(text, start):
            return False
        match = _THOUSANDS.search(text, max(start - _THOUSANDS_CHARS, 0), start)
        return match is not None and (match[1] or "").lower() not in LEXICON.counters


def _core(term: Term) -> str:
    """Return the letters that `letters_of` a text holds where the text has the term's word or a near inflection."""
    form = term.forms[0]
    return form[: max(len(form) - 2, 4)]


def _is_symbol(value: str) -> bool:
    """Return whether a value in capitals differs in meaning from the everyday word of the same letters."""
    return value.isupper() and value.lower() in LEXICON.capitals_only


def _is_mere_word(text: str, start: int, end: int) -> bool:
    """Return whether a symbol in capitals may be an everyday word, as all words around it are in capitals too."""
    before = re.split(r"[.;\n]", text[max(start - _CAPITALS_REACH, 0) : start])[-1]
    behind = re.split(r"[.;\n]", text[end : end + _CAPITALS_REACH], maxsplit=1)[0]
    words = [*_CAPITALS.findall(before), *_CAPITALS.findall(behind)]
    if not words or not all(map(str.isupper, words)):
        return False
    if re.search(r"[:(,]\s*\Z", before) and re.match(r"\s*(?:[,)]|\Z)", behind):
        return False
    beside = {*_CAPITALS.findall(before.lower())[-1:], *_CAPITALS.findall(behind.lower())[:1]}
    return beside.isdisjoint(LEXICON.capitals_cues)


def _tnm_prefixes(text: str, words: Words, hit: Hit) -> dict[str, str]:
    """Return the prefix of each part of the TNM in a hit: "p" of both parts of "pT2 N1".

    A part without one has that of the part before it, but for M, which is nearly always clinical.
    """
    first = hit.first
    while first > 0 and hit.first - first < 2 and first not in words.prefixes and _is_tnm(words, first - 1):
        first -= 1
    prefix, result = "", dict[str, str]()
    for number in range(first, hit.last + 1):
        if not _is_tnm(words, number):
            prefix = ""
            continue
        length = words.prefixes.get(number, 0)
        part = words.forms[number][length]
        own = text[words.starts[number] :][:length]
        prefix = own or (prefix if part != "m" else "")
        if number >= hit.first:
            result[part] = prefix
    return result


def _is_tnm(words: Words, number: int) -> bool:
    return _TNM_FORM.match(words.forms[number][words.prefixes.get(number, 0) :]) is not None


def _same_prefixes(one: dict[str, str], other: dict[str, str]) -> bool:
    """Return whether the parts of two TNM were found in the same way; M without a prefix says nothing of that."""
    return one.keys() == other.keys() and all(
        prefix == other[part] or (part == "m" and not (prefix and other[part])) for part, prefix in one.items()
    )


def _bare_numerals(value: str) -> list[str]:
    """Return the number, or both of a range, of a value that is a stage and nothing else: "3b" of "III B"."""
    if match := _STAGE.fullmatch(value):
        label, bare = match[1], match[2]
        if bare[0].isdigit():
            return [arabic(bare)] if bare[0] in "01234" else []
        return [arabic(bare)] if label or bare[0].isupper() else []
    match = _STAGE_RANGE.fullmatch(value)
    if match is None or not (match["label"] or match["first"][0] in "IVX"):
        return []
    return [arabic(match["first"]), arabic(match["last"])]


def _takes_particle(character: str) -> bool:
    """Return whether a particle of Korean may stand behind a character: it is Korean, or of a name such as "EGFR"."""
    return "\uac00" <= character <= "\ud7a3" or (character.isascii() and character.isalnum())


def _is_letter(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"


def _ends_in_number(before: str) -> bool:
    return len(before) == 2 and before[0].isdigit() and before[1] in ".,"
