"""Evidence: the places in a text that a value rests on.

Three stages, and the first that finds something answers:

1. `exact`: the value stands in the text as it is, between word boundaries.
2. `normalized`: the same words, once case, accents, ligatures, white space, punctuation, hyphens, plurals, British
   spelling, small numbers ("six"), Roman numerals after "stage" and its like, "+" / "&" / "plus" / "and", and
   "+" / "positive" are made equal.
3. `fuzzy`: a passage within one sentence that holds nearly all of the value's words, in any order and with few others
   between them (`FUZZY_THRESHOLD`). Numbers, short words (genes, units) and words that turn a finding round (positive /
   negative, left / right) must be there, and their opposites must not. "stage IVA" is fuzzy evidence for "IV".

A value of several parts ("a; b", "a, b and c", "a + b (c)") that does not stand in the text as a whole gets evidence
part by part.

What never counts: a piece of a word ("ER" in "after"), "small cell" in "non-small cell", a bare stage number that
nothing calls a stage ("IV" in "200 mg IV"), a number or unit alone as a part ("6 cycles"). Evidence says where the
words are; whether the note affirms them is not judged.

Offsets count Unicode code points of the text as it was given, and no span starts or ends inside a grapheme cluster.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Literal, NamedTuple

from rapidfuzz.distance import OSA

from gateway.words import (
    BROKEN,
    JOINED,
    LETTERS,
    NUMERAL,
    STAGE_LABELS,
    Words,
    arabic,
    is_unspaced,
    scan,
    starts_cluster,
    word_set,
)

Match = Literal["exact", "normalized", "fuzzy"]

FUZZY_THRESHOLD = 0.8
"""Least score of fuzzy evidence: found / (words of the value + 0.1 for each other word in the passage).

A found word counts 1, its inflection or one typing error (one edit in seven letters or more) 0.9, a word that stands
elsewhere in the text 0.25. Function words ("of", "with") count on neither side. So of up to three words all must be
found, and of five one may be missing where no other word stands between the rest.
"""
MAX_SPANS = 10
"""Most spans that one part of a value gets, in document order: enough to show, and the answer stays small."""

_GAP_COST = 0.1
_VARIANT_SCORE = 0.9
_ELSEWHERE_SCORE = 0.25
_TYPO_MIN_CHARS = 7  # shorter words are too often another word: "ileum" and "ilium"
_MAX_UNITS = 32  # a longer part is prose, not a value
_SHORT_WORD = 3  # a gene, a unit, an abbreviation: must be found as it is

_STOP_WORDS = word_set("""
    of in on at to for with by from is was were are be been had has have as that this it its or then followed after
    before via per than
""")
_NEGATIONS = word_set("no non not without negative denies denied never absent absence nor") | {"denie"}
_OPPOSITE_GROUPS = (
    ({"positive"}, {"negative"}),
    ({"left"}, {"right"}),
    ({"high", "elevated"}, {"low", "normal"}),
    ({"upper"}, {"lower"}),
    ({"increased", "increasing"}, {"decreased", "decreasing"}),
    ({"complete"}, {"partial", "mixed", "minor", "incomplete"}),
    ({"partial"}, {"mixed"}),
    ({"stable"}, {"unstable", "progressive", "high"}),
    ({"mutated", "mutant"}, {"wild"}),
)
_OPPOSITES: dict[str, set[str]] = defaultdict(set)
for _one, _other in _OPPOSITE_GROUPS:
    for _word in _one:
        _OPPOSITES[_word] |= _other
    for _word in _other:
        _OPPOSITES[_word] |= _one
_POLARITY = frozenset(("positive", "negative"))
# Words that say too little to be evidence as a piece of a value.
_UNITS = word_set("""
    cycle week month year day hour mg g kg ml ng mb mut u % fraction dose gy line course time daily weekly monthly x
    current initial ongoing prior previous
""")
# Endings that a word takes without becoming another; two words that differ in these alone are inflections.
_SUFFIXES = word_set("""
    a ae al ally ance ant ar ary ate ated ating ation ative cation d ded ding e ed ence ent er ery ian ic ical ied ify
    ing ion ity ive l ly ment or ory ous r ry s se sed sing sis sive sized tic um us y
""") | {""}
# These change a word when they are merely added: "colon", "colony".
_NOT_ADDED = word_set("a ae um us y or ar")
_MIN_STEM = 4

_PARTS = re.compile(r"\s*[;|\n•]\s*")
_ASIDE = re.compile(r"[(\[]([^()\[\]]*)[)\]]")
_SYMBOL = re.compile(r"\b(?:\w*\d\w*|[A-Z]{2,6})\b")  # of a gene or a drug scheme, or a number
_PIECES = re.compile(
    r"\s*(?:,(?!\d)|[/()\[\]&→]|->|(?<=\w)\+(?=\w)|(?<=\s)\+(?=\s)|(?<=\s)[–—-](?=\s)|:(?=\s))\s*"
    r"|\s+(?:and|or|plus|with|then|followed by|in combination with|after|before)\s+",
    re.IGNORECASE,
)
_STAGE_LABELS = "|".join(sorted(STAGE_LABELS))
_STAGE = re.compile(rf"(?:({_STAGE_LABELS})\W+)?({NUMERAL.pattern})", re.IGNORECASE)
_NON = re.compile(r"(?:\A|\W)non[\s\-\u2010-\u2013\u2212]*\Z", re.IGNORECASE)
# Words that say nothing of the patient: "progress" here is no progression.
_HEADINGS = frozenset({("progress", "note")})
# Gene and disease symbols that are everyday words when they are not in capitals.
_CAPITALS_ONLY = word_set("all met kit set ret rest max cat act was her er it us no as in or is at am pm who his aids")


@dataclass(frozen=True, slots=True)
class Evidence:
    """A span of the text: `text[start:end] == evidence.text`, in code points."""

    text: str
    start: int
    end: int
    match: Match


class _Run(NamedTuple):
    """Words number `first` to `last` of the text, as one find."""

    first: int
    last: int
    score: float = 1.0


class _Unit(NamedTuple):
    """A word of a value that must be found as one: a word, or several that hang together as "PD-L1" does."""

    forms: tuple[str, ...]
    joints: tuple[int, ...]

    @property
    def is_required(self) -> bool:
        """Whether no passage without it can be evidence."""
        form = "".join(self.forms)
        return len(form) <= _SHORT_WORD or not form.isalpha() or form in _OPPOSITES or form in _NEGATIONS


def find_evidence(text: str, value: str | None) -> list[Evidence]:
    """The evidence for one value; for several values of one text make one `Grounder`."""
    return Grounder(text).find(value)


class Grounder:
    """Finds evidence in one text, which it reads once.

    Making one takes time linear in the text (about 0.1 s for 100,000 characters), `find` a few milliseconds.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _words(self) -> Words:
        return scan(self._text)

    @cached_property
    def _offsets(self) -> list[int]:
        """Where each word's form starts in `_joined`, and its end."""
        return list(accumulate(map(len, self._words.forms), initial=0))

    @cached_property
    def _joined(self) -> str:
        return "".join(self._words.forms)

    @cached_property
    def _numbers(self) -> dict[int, int]:
        """From a place in `_joined` to the number of the word that starts there."""
        return {offset: number for number, offset in enumerate(self._offsets)}

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        """From a form to the numbers of its words, in order."""
        places = defaultdict(list)
        for number, form in enumerate(self._words.forms):
            places[form].append(number)
        return dict(places)

    @cached_property
    def _stems(self) -> dict[str, list[str]]:
        """From a form's first letter to all forms that start with it and can be inflected."""
        stems = defaultdict(list)
        for form in self._places:
            if len(form) >= _MIN_STEM and form.isalpha():
                stems[form[0]].append(form)
        return dict(stems)

    @cached_property
    def _content(self) -> list[int]:
        """How many words that are not function words stand before each word."""
        return list(accumulate((form not in _STOP_WORDS for form in self._words.forms), initial=0))

    @cached_property
    def _sentences(self) -> list[int]:
        """The number of each word's sentence."""
        return list(accumulate(joint == BROKEN for joint in self._words.joints))

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
            parts = [part for part in parts if not _is_weak(_units(scan(part)))]
        return [found for part in parts for found in self._pieces(part)]

    def _pieces(self, part: str) -> list[tuple[str, list[Evidence]]]:
        """The evidence of a part: as a whole, or else of its head and of what stands in brackets behind it.

        What is in brackets counts without a head only where it says much and the head holds no gene or number:
        "invasive ductal carcinoma" for "breast cancer (invasive ductal carcinoma)", but not "germline" for
        "BRCA2 (germline)".
        """
        if whole := self._whole(part):
            return [(part, whole)]
        asides = [aside for aside in _ASIDE.findall(part) if not _is_weak(_units(scan(aside)))]
        head = " ".join(_ASIDE.sub(" ", part).split())
        if head == part or not head:
            return self._list(part)
        found = self._list(head)
        grounded = any(spans for _, spans in found)
        may_stand_alone = _SYMBOL.search(head) is None
        for aside in asides:
            counts = grounded or (may_stand_alone and len(_units(scan(aside))) > 1)
            found += self._list(aside) if counts else [(aside, [])]
        if not all(spans for _, spans in found) and (passage := self._fuzzy(part, complete=True)):
            return [(part, passage)]
        return found

    def _list(self, part: str) -> list[tuple[str, list[Evidence]]]:
        """The evidence of a part without brackets: as a whole, or of its pieces between commas, "and" and such."""
        if whole := self._whole(part):
            return [(part, whole)]
        pieces = _split_pieces(part)
        found = [(piece, self._whole(piece)) for piece in pieces]
        if found and all(spans for _, spans in found):
            return found
        if len(found) < 2:
            return [(part, self._fuzzy(part))]
        # A passage in place of a list must hold all of it, or it would hide what is missing.
        if passage := self._fuzzy(part, complete=True):
            return [(part, passage)]
        return [(piece, spans or self._fuzzy(piece)) for piece, spans in found]

    def _whole(self, value: str) -> list[Evidence]:
        """Exact evidence, or else normalised."""
        if numeral := _bare_numeral(value):
            return self._stage(value, numeral)
        return self._exact(value) or self._normalized(value)

    def _exact(self, value: str) -> list[Evidence]:
        found: list[Evidence] = []
        start = self._text.find(value)
        while start >= 0 and len(found) < MAX_SPANS:
            if self._is_whole(start, start + len(value)):
                found.append(Evidence(value, start, start + len(value), "exact"))
            # Nothing else within this word can be whole; skipping it keeps the search linear.
            word = LETTERS.match(self._text, start)
            start = self._text.find(value, word.end() if word else start + 1)
        return found if found and _says_something(value) else []

    def _normalized(self, value: str) -> list[Evidence]:
        words = scan(value)
        capitals_only = _is_symbol(value)
        found: list[Evidence] = []
        for run in self._runs(words.forms, words.joints):
            evidence = self._evidence(run, "normalized")
            if evidence is None or (capitals_only and evidence.text.islower()):
                continue
            found.append(evidence)
            if len(found) == MAX_SPANS:
                break
        return found

    def _stage(self, value: str, numeral: str) -> list[Evidence]:
        """Evidence for a bare stage number: where the text calls it a stage, or a letter makes it plain ("IIIB")."""
        if plain := self._plain_stage(value):
            return plain
        staged = self._words.staged
        found = [self._evidence(run, "normalized") for run in self._runs([numeral], [BROKEN]) if run.first in staged]
        if not found and len(numeral) > 1 and value[0] in "IVX":
            found = list(self._exact(value))
        if not found and numeral.isdigit():
            # "IV" in "stage IVA"; never the other way round.
            within = sorted(
                number for number in staged if re.fullmatch(rf"{numeral}[a-d]\d?", self._words.forms[number])
            )
            found = [self._evidence(_Run(number, number), "fuzzy") for number in within]
        if not found and value.isdigit():
            found = list(self._exact(value))
        kept = [evidence for evidence in found if evidence is not None]
        return [
            Evidence(span.text, span.start, span.end, "exact" if span.text == value else span.match)
            for span in kept[:MAX_SPANS]
        ]

    def _plain_stage(self, value: str) -> list[Evidence]:
        """Exact evidence for a stage right after its label, which needs no scan of the text."""
        if not NUMERAL.fullmatch(value):
            return self._exact(value)
        plain = re.compile(rf"(?i:\b(?:{_STAGE_LABELS})\s)({re.escape(value)})(?!\w)")
        found = [match.span(1) for match in plain.finditer(self._text)]
        return [Evidence(value, start, end, "exact") for start, end in found if self._is_whole(start, end)][:MAX_SPANS]

    def _runs(self, forms: Sequence[str], joints: Sequence[int]) -> Iterator[_Run]:
        """Where the words `forms` stand together, whatever the hyphens and spaces between letters and digits."""
        wanted = "".join(forms)
        if not wanted:
            return
        cuts = dict(zip(accumulate(map(len, forms[:-1])), joints[1:], strict=False))
        joined, numbers = self._joined, self._numbers
        offset = joined.find(wanted)
        while offset >= 0:
            first, behind = numbers.get(offset), numbers.get(offset + len(wanted))
            if first is not None and behind is not None and self._same_cuts(wanted, cuts, first, behind):
                yield _Run(first, behind - 1)
            offset = joined.find(wanted, self._offsets[bisect_right(self._offsets, offset)])

    def _same_cuts(self, wanted: str, cuts: dict[int, int], first: int, behind: int) -> bool:
        """Whether the text's words are cut where the value's are, but for hyphens and digits ("HER-2", "HER2")."""
        offsets, joints = self._offsets, self._words.joints
        found = {offsets[number] - offsets[first]: joints[number] for number in range(first + 1, behind)}
        if BROKEN in found.values():
            return False
        if found.keys() == cuts.keys():
            return True
        for cut in found.keys() ^ cuts.keys():
            left, right = wanted[cut - 1].isdigit(), wanted[cut].isdigit()
            if left and right:
                return False
            if (
                not left
                and not right
                and found.get(cut, cuts.get(cut)) != JOINED
                and not wanted[cut + 1 : cut + 2].isdigit()
            ):
                return False
        return True

    def _fuzzy(self, part: str, *, complete: bool = False) -> list[Evidence]:
        """The best passage for a part that is not in the text as it is; with `complete` it must hold every word."""
        if _is_symbol(part) or _bare_numeral(part):
            return []
        units = _units(scan(part))
        if not units or len(units) > _MAX_UNITS or _is_weak(units):
            return []
        hits = [self._hits(unit) for unit in units]
        if any(unit.is_required and not found for unit, found in zip(units, hits, strict=True)):
            return []
        if sum(bool(found) for found in hits) / len(units) < (1 if complete else FUZZY_THRESHOLD):
            return []
        best = self._best_passage(units, hits, complete=complete)
        evidence = best and self._evidence(best, "fuzzy")
        return [evidence] if evidence else []

    def _hits(self, unit: _Unit) -> list[_Run]:
        """Where a unit stands, itself or varied, in order."""
        runs = list(self._runs(unit.forms, unit.joints))
        if len(unit.forms) == 1 and not unit.is_required:
            for form in self._variants(unit.forms[0]):
                runs += (_Run(number, number, _VARIANT_SCORE) for number in self._places[form])
        forms = self._words.forms
        runs = [run for run in runs if tuple(forms[run.first : run.last + 2]) not in _HEADINGS]
        return sorted(runs)

    def _variants(self, form: str) -> Iterator[str]:
        """The text's words that are inflections of `form`, or `form` with one typing error."""
        for other in self._stems.get(form[0], ()):
            if other == form or other in _OPPOSITES or other in _NEGATIONS:
                continue
            long = min(len(form), len(other)) >= _TYPO_MIN_CHARS
            if (long and OSA.distance(form, other, score_cutoff=1) <= 1) or _is_inflection(form, other):
                yield other

    def _best_passage(self, units: list[_Unit], hits: list[list[_Run]], *, complete: bool) -> _Run | None:
        """The passage of the highest score, the first of equals."""
        required = {number for number, unit in enumerate(units) if complete or unit.is_required}
        present = {number for number, runs in enumerate(hits) if runs}
        passages = _Passages(
            units, required, present, self._words, self._content, self._sentences, self._blockers(units)
        )
        events = sorted((run, number) for number, runs in enumerate(hits) for run in runs)
        # A passage must hold one of the rarest words, so only the neighbourhood of these is looked at.
        spare = int(len(units) * (1 - FUZZY_THRESHOLD) / (1 - _ELSEWHERE_SCORE)) + 1
        rarest = sorted((len(runs), number) for number, runs in enumerate(hits) if runs)[:spare]
        anchors = sorted({run.first for _, number in rarest for run in hits[number]})
        best: _Run | None = None
        for index, (run, _) in enumerate(events):
            nearest = bisect_left(anchors, run.first)
            if nearest == len(anchors) or anchors[nearest] - run.first > passages.reach:
                continue
            passage = passages.from_event(events, index)
            if passage and (best is None or passage.score > best.score):
                best = passage
        return best

    def _blockers(self, units: list[_Unit]) -> list[int]:
        """The numbers of words that no passage for `units` may hold, in order."""
        own = {form for unit in units for form in unit.forms}
        blocked = set().union(*(_OPPOSITES.get(form, ()) for form in own))
        if not own & _NEGATIONS:
            blocked |= _NEGATIONS
        return sorted(number for form in blocked - own for number in self._places.get(form, ()))

    def _evidence(self, run: _Run, match: Match) -> Evidence | None:
        """The span of a run of words, widened to whole grapheme clusters."""
        text, start, end = self._text, self._words.starts[run.first], self._words.ends[run.last]
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


class _Passages:
    """Scores passages of one text for the units of one value."""

    def __init__(
        self,
        units: list[_Unit],
        required: set[int],
        present: set[int],
        words: Words,
        content: list[int],
        sentences: list[int],
        blockers: list[int],
    ) -> None:
        self._units = units
        self._words = words
        self._content = content
        self._sentences = sentences
        self._blockers = blockers
        self._required = required
        self._present = present
        # More words than this cost more than the threshold leaves; function words are free, hence the doubling.
        length = sum(len(unit.forms) for unit in units)
        self.reach = 2 * (length + int(len(units) * (1 / FUZZY_THRESHOLD - 1) / _GAP_COST) + 1)

    def from_event(self, events: list[tuple[_Run, int]], index: int) -> _Run | None:
        """The best passage that starts with event number `index`."""
        start = events[index][0].first
        taken: dict[int, _Run] = {}
        best: _Run | None = None
        covered = start - 1
        for position in range(index, len(events)):
            run, unit = events[position]
            if run.first - start > self.reach or self._sentences[run.last] != self._sentences[start]:
                break
            if unit in taken or run.first <= covered or not self._is_in_order(unit, run, taken):
                continue
            taken[unit] = run
            covered = run.last
            score = self._score(start, run.last, taken)
            if score >= FUZZY_THRESHOLD and (best is None or score > best.score):
                best = _Run(start, run.last, score)
        return best

    def _score(self, first: int, last: int, taken: dict[int, _Run]) -> float:
        if not self._required <= taken.keys():
            return 0.0
        elsewhere = _ELSEWHERE_SCORE * len(self._present - taken.keys())
        blocker = bisect_left(self._blockers, first)
        if blocker < len(self._blockers) and self._blockers[blocker] <= last:
            return 0.0
        inside = self._content[last + 1] - self._content[first]
        gaps = max(inside - sum(run.last - run.first + 1 for run in taken.values()), 0)
        return (sum(run.score for run in taken.values()) + elsewhere) / (len(self._units) + _GAP_COST * gaps)

    def _is_in_order(self, unit: int, run: _Run, taken: dict[int, _Run]) -> bool:
        """Whether "positive" or "negative" says it of the word that the value means: after it, or by "positive for"."""
        if self._units[unit].forms[-1] not in _POLARITY or unit == 0:
            return True
        forms = self._words.forms
        if unit - 1 not in taken:
            return forms[run.last + 1 : run.last + 2] == ["for"]
        # "PR 80%, HER2 negative" gives PR a number, so "negative" is said of another.
        between = forms[taken[unit - 1].last + 1 : run.first]
        numbers = [place for place, form in enumerate(between) if form[0].isdigit()]
        return not numbers or all(form[0].isdigit() or form == "%" for form in between[numbers[0] :])


def _says_something(value: str) -> bool:
    """Whether a value is more than punctuation and connecting words; an emoji says something."""
    return bool(scan(value)) or any(unicodedata.category(character)[0] == "S" for character in value)


def _is_symbol(value: str) -> bool:
    """Whether a value in capitals means something else than the everyday word of the same letters."""
    return value.isupper() and value.lower() in _CAPITALS_ONLY


def _bare_numeral(value: str) -> str | None:
    """The number of a value that is a stage and nothing else ("IIIB", "stage 3", "III A"), as "3b"."""
    match = _STAGE.fullmatch(value)
    if match is None:
        return None
    label, bare = match[1], match[2]
    if bare[0].isdigit():
        return arabic(bare) if bare[0] in "01234" else None
    return arabic(bare) if label or bare[0].isupper() else None


def _split_pieces(part: str) -> list[str]:
    """The pieces of a part between commas, "and" and brackets, without those that are only numbers and units.

    "ER and PR positive" gives "ER positive" and "PR positive".
    """
    pieces = [piece for piece in _PIECES.split(part) if piece]
    forms = [scan(piece).forms for piece in pieces]
    last = forms[-1] if forms else []
    if len(last) == 2 and last[1] in _POLARITY:
        pieces = [
            f"{piece} {last[1]}" if len(words) == 1 and words[0] not in _POLARITY else piece
            for piece, words in zip(pieces, forms, strict=True)
        ]
    return [piece for piece in pieces if not _is_weak(_units(scan(piece)))]


def _units(words: Words) -> list[_Unit]:
    """The units of a value's words, function words left out unless there is nothing else."""
    units: list[_Unit] = []
    for number, form in enumerate(words.forms):
        if units and number and words.joints[number] == JOINED and _hangs_on(words.forms[number - 1], form):
            units[-1] = _Unit((*units[-1].forms, form), (*units[-1].joints, JOINED))
        else:
            units.append(_Unit((form,), (BROKEN,)))
    content = [unit for unit in units if not (len(unit.forms) == 1 and unit.forms[0] in _STOP_WORDS)]
    return list(dict.fromkeys(content or units))


def _hangs_on(before: str, form: str) -> bool:
    """Whether two words with a hyphen between them are one name: "PD-L1" and "T-DM1" are, "TMB-high" is not."""
    if {before, form} & _POLARITY or form == "%":
        return False
    return (
        len(before) <= 2 or len(form) <= 1 or before[-1:].isdigit() or form[:1].isdigit() or any(map(str.isdigit, form))
    )


def _is_weak(units: Iterable[_Unit]) -> bool:
    """Whether words say too little to be looked for as a piece of a value: numbers, units, "positive"."""
    return all(
        form in _UNITS or form in _POLARITY or form in _STOP_WORDS or not any(map(str.isalpha, form)) or len(form) == 1
        for unit in units
        for form in unit.forms
    )


def _is_inflection(one: str, other: str) -> bool:
    """Whether two forms share a stem of four letters or more and end in `_SUFFIXES`."""
    shared = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        shared += 1
    for stem in range(shared, max(_MIN_STEM, shared - 3) - 1, -1):
        endings = {one[stem:], other[stem:]}
        if endings <= _SUFFIXES and not ("" in endings and endings & _NOT_ADDED):
            return True
    return False


def _is_letter(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"


def _ends_in_number(before: str) -> bool:
    return len(before) == 2 and before[0].isdigit() and before[1] in ".,"
