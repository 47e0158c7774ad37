"""Segments of a text, and the passages in them that hold a value's words.

A segment is one or more sentences; no passage leaves its sentence. A segment is read only when it may hold the words
in question, so most of a note is never read.
"""

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from rapidfuzz.distance import OSA

from gateway.grounding.lexicon import LEXICON
from gateway.grounding.opposition import MIN_STEM, OPPOSITES, SAME_SIDE, is_inflection
from gateway.grounding.quantities import is_part_of_quantity
from gateway.grounding.words import BROKEN, JOINED, SPACED, Words, ends_sentence, scan

FUZZY_THRESHOLD = 0.8
"""Least score of fuzzy evidence: matched / (words of the value + 0.1 for each other word in the passage).

A matched word counts 1, its inflection or one typing error (one edit in seven letters or more) 0.9, a word that stands
elsewhere in the text 0.25. Function words ("of", "with") count on neither side. So of up to three words all must be
there, and of five one may be missing where no other word stands between the rest.
"""
_GAP_COST = 0.1
_VARIANT_SCORE = 0.9
ELSEWHERE_SCORE = 0.25
_TYPO_MIN_CHARS = 7  # shorter words are too often another word: "ileum" and "ilium"
MAX_TERMS = 32  # a longer part is prose, not a value
_SHORT_WORD = 3  # a gene, a unit, an abbreviation: must be there unchanged

_SEGMENT_CHARS = 100  # fewer segments would each cost more to read, more would cost more to choose from
_SENTENCE_END = re.compile(r"[.!?]\s++(?=[A-Z])")
# Written in more ways than one, so their letters or digits need not be there.
_MANY_SPELLINGS = frozenset(
    (
        *LEXICON.synonyms.values(),
        *LEXICON.levels.values(),
        *(name for (_, end), name in LEXICON.compounds.items() if not name.endswith(end)),
        "1",
        "equivocal",
    )
)
_VARIANT = re.compile(r"[a-z](\d+)[a-z]")
# What all spellings of a compound hold: "ras" of "K-RAS" and "KRAS".
_COMPOUND_STEMS = {name: end for (_, end), name in sorted(LEXICON.compounds.items(), reverse=True)}
_INITIALS = re.compile(r"\b([A-Z])\.(?=[A-Z]\b)")  # "E.R."
_HYPHENS = re.compile(r"-\s*")
_MARKER_STARTS = frozenset(
    name[:length] for name in LEXICON.markers for length in range(2, len(name)) if name[length:][-1].isdigit()
)
_DIGITS_BEFORE = re.compile(r"\d+\Z")
_DIGITS = re.compile(r"\d+")
_THREE_DIGITS = re.compile(r"\d{3}(?:\.\d+)?")
# Within a TNM in one word; "c" and "a" may be a letter of the part before, as in "T1cN0".
_INNER_PREFIX = re.compile(r"(?<=[0-4xs])y?p(?=[nm](?:[0-4x]))|(?<=[0-4xs][a-d])y?p(?=[nm](?:[0-4x]))")
_POLARITY = [[word] for word in LEXICON.polarity]
_OPENS_RESULT = re.compile(r"[,;:.(\n]|\band\b|&")  # what may stand before "positive ER"
_BOTH = frozenset(("both", "all"))
_COUNTED = frozenset(
    ("group", "grade", "stage", "day", "week", "month", "year", "arm", "level", "ecog", "phase", "age", "aged")
)
_LABELS = LEXICON.stage_labels | LEXICON.other_labels
_LEADING_LETTERS = re.compile(r"[a-z]*")


class Hit(NamedTuple):
    """Words number `first` to `last` of the text, where something was looked for."""

    first: int
    last: int
    score: float = 1.0


class Term(NamedTuple):
    """A unit of comparison in a value: a word, or several that hang together as "PD-L1" does."""

    forms: tuple[str, ...]
    boundaries: tuple[int, ...]
    is_symbol: bool = False
    """Whether it stands in capitals where others do not, as a gene or a drug scheme does."""

    @property
    def can_be_mistyped(self) -> bool:
        """Whether a word that starts otherwise may be this one with a typing error."""
        return not self.is_required and len(self.forms[0]) >= _TYPO_MIN_CHARS - 1

    @property
    def is_required(self) -> bool:
        """Whether no passage without it can be evidence."""
        form = "".join(self.forms)
        return (
            self.is_symbol
            or len(form) <= _SHORT_WORD
            or not form.isalpha()
            or form in OPPOSITES
            or form in LEXICON.negations
            or form in LEXICON.markers
        )

    @property
    def is_detail(self) -> bool:
        """Whether it is a number or a variant, which belongs to one marker alone."""
        return any(map(str.isdigit, "".join(self.forms))) and "".join(self.forms) not in LEXICON.markers


class Wanted(NamedTuple):
    """What passages are looked for."""

    terms: list[Term]
    markers: frozenset[str]
    """The value's."""
    complete: bool
    """Whether every term must be in the passage."""
    may_lack: Callable[[int], bool]
    """Whether a passage without the term of this number may count: the text does not say its opposite."""
    is_list: bool
    """Whether the value holds what separates items, so that a passage may too."""
    is_elsewhere: Callable[[int], bool]
    """Whether the term of this number, which a passage lacks, stands elsewhere in the text."""
    is_denied: Callable[[int, int], bool]
    """Whether the text denies what it says between two offsets."""


def segments(text: str, check: Callable[[], None] = lambda: None) -> Iterator["Segment"]:
    """Yield the segments of a text, in order; `check` is called now and then, to end a search that takes too long."""
    start = 0
    for match in _SENTENCE_END.finditer(text):
        end = match.end()
        if end - start < _SEGMENT_CHARS:
            continue
        if ends_sentence(text[max(start, match.start() - 40) : match.start()], match[0][0], text[end]):
            yield Segment(text, start, end, check)
            start = end
    yield Segment(text, start, len(text), check)


def letters_of(text: str) -> str:
    """Return a text in lower case and American spelling, for a quick check; its offsets are not the text's.

    Hyphens are left out, also those at the ends of lines, as they may stand anywhere in a word, and the full stops of
    "E.R.".
    """
    if "-" in text:
        text = _HYPHENS.sub("", text)
    if "." in text:
        text = _INITIALS.sub(r"\1", text)
    return american(text.lower())


def american(text: str) -> str:
    """Return a text in lower case in American spelling."""
    return text.replace("ae", "e").replace("oe", "e")


def stem(form: str) -> str:
    """Return letters that `Segment.letters` holds wherever an ASCII text has a word of this form or an inflection."""
    if form in _MANY_SPELLINGS:
        return ""
    if form in _COMPOUND_STEMS:
        return _COMPOUND_STEMS[form].rstrip("0123456789")
    if form[0].isdigit():
        return form[0] if form[-1].isdigit() and not form.startswith("0.") else ""
    if form.startswith("exon"):
        return ""
    if variant := _VARIANT.fullmatch(form):
        return variant[1]
    letters = _LEADING_LETTERS.match(form)
    leading = letters[0] if letters else ""
    return leading[: max(min(4, len(leading) - 1), 2)] or form


class Segment:
    """The words of one segment of a text, code points `start` to `end`, and ways to find some of them."""

    def __init__(self, text: str, start: int, end: int, check: Callable[[], None]) -> None:
        """Make the segment `text[start:end]`; nothing is read yet."""
        self._check = check
        self._text = text[start:end]
        self._start = start
        self.letters = letters_of(self._text) if self._text.isascii() else None
        """The segment's `letters_of`, or None where it is not ASCII and must always be read."""

    def may_hold(self, stems: Iterable[str]) -> bool:
        """Return whether the segment must be read for words of all these stems."""
        letters = self.letters
        if letters is not None:
            for stem in stems:  # not `all`: this runs for every sentence and every value
                if stem not in letters:
                    return False
        return True

    @cached_property
    def words(self) -> Words:
        """Its words, with offsets into the whole text."""
        words, start = scan(self._text, self._check), self._start
        if start:
            words.starts[:] = [offset + start for offset in words.starts]
            words.ends[:] = [offset + start for offset in words.ends]
        return words

    @cached_property
    def _offsets(self) -> list[int]:
        """Where each word's form starts in `_joined`, and its end."""
        return list(accumulate(map(len, self.words.forms), initial=0))

    @cached_property
    def _joined(self) -> str:
        return "".join(self.words.forms)

    @cached_property
    def _numbers(self) -> dict[int, int]:
        """From an offset in `_joined` to the number of the word that starts there; a TNM starts at its "T" too."""
        numbers = {offset: number for number, offset in enumerate(self._offsets)}
        for number, length in self.words.prefixes.items():
            numbers.setdefault(self._offsets[number] + length, number)
        return numbers

    @cached_property
    def markers(self) -> dict[int, str]:
        """From the numbers of the words that are a marker, or a part of one, to its name."""
        return markers_in(self.words)

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        """From a form to the numbers of its words, in order."""
        places = defaultdict(list)
        for number, form in enumerate(self.words.forms):
            places[form].append(number)
        return dict(places)

    @cached_property
    def _stems(self) -> dict[str, list[str]]:
        """From a form's first letter to all forms that start with it and can be inflected."""
        stems = defaultdict(list)
        for form in self._places:
            if len(form) >= MIN_STEM and form.isalpha():
                stems[form[0]].append(form)
        return dict(stems)

    @cached_property
    def _content(self) -> list[int]:
        """How many words that are not function words stand before each word."""
        return list(accumulate((form not in LEXICON.stop_words for form in self.words.forms), initial=0))

    @cached_property
    def _sentences(self) -> list[int]:
        """The number of each word's sentence."""
        return list(accumulate(boundary == BROKEN for boundary in self.words.boundaries))

    @cached_property
    def _bare(self) -> "Segment":
        """The same segment with no prefix before any part of a TNM."""
        words = self.words
        if not words.prefixes:
            return self
        bare = Segment("", 0, 0, self._check)
        bare._text, bare._start = self._text, self._start
        forms = [_INNER_PREFIX.sub("", form[words.prefixes.get(n, 0) :]) for n, form in enumerate(words.forms)]
        bare.words = Words(forms, words.starts, words.ends, words.boundaries, words.staged)
        return bare

    def find_all(self, forms: Sequence[str], boundaries: Sequence[int], *, bare: bool = False) -> Iterator[Hit]:
        """Yield where the words `forms` stand together, whatever the hyphens and spaces between letters and digits.

        Args:
            forms: the words.
            boundaries: what is before each.
            bare: whether to look for a TNM whatever the prefixes of its parts.
        """
        if bare and self._bare is not self:
            yield from self._bare.find_all(forms, boundaries)
            return
        pattern = "".join(forms)
        if not pattern:
            return
        cuts = dict(zip(accumulate(map(len, forms[:-1])), boundaries[1:], strict=False))
        joined, numbers = self._joined, self._numbers
        offset = joined.find(pattern)
        while offset >= 0:
            self._check()
            first, behind = numbers.get(offset), numbers.get(offset + len(pattern))
            if first is not None and behind is not None and self._same_cuts(pattern, cuts, offset, first, behind):
                yield Hit(first, behind - 1)
            offset = joined.find(pattern, self._offsets[bisect_right(self._offsets, offset)])

    def _same_cuts(self, pattern: str, cuts: dict[int, int], start: int, first: int, behind: int) -> bool:
        """Return whether the text's words are cut as the value's are, but for digits and hyphens ("HER-2", "HER2")."""
        offsets, boundaries = self._offsets, self.words.boundaries
        own = {offsets[number] - start: boundaries[number] for number in range(first + 1, behind)}
        if BROKEN in own.values():
            return False
        if own.keys() == cuts.keys():
            return True
        for cut in own.keys() ^ cuts.keys():
            left, right = pattern[cut - 1].isdigit(), pattern[cut].isdigit()
            if left and right:
                number = first + 1 + sorted(own).index(cut) if cut in own else None
                if self.groups_thousands(number) if number else cuts[cut] == SPACED and _groups(pattern, cut):
                    continue
                return False
            if (
                not left
                and not right
                and own.get(cut, cuts.get(cut)) != JOINED
                and not pattern[cut + 1 : cut + 2].isdigit()
            ):
                return False
        return True

    def groups_thousands(self, number: int) -> bool:
        """Return whether the space before a word is within a number, as in "1 200" and not in "day 1 200 mg"."""
        words = self.words
        if number < 1 or number >= len(words) or words.boundaries[number] != SPACED:
            return False
        before, after = words.forms[number - 1], words.forms[number]
        return (
            words.starts[number] - words.ends[number - 1] == 1
            and before.isdecimal()
            and len(before) <= 3
            and _THREE_DIGITS.fullmatch(after) is not None
            and not (number > 1 and words.forms[number - 2] in LEXICON.counters)
            and self._text[words.ends[number - 1] - self._start].isspace()
        )

    def _is_part_of_quantity(self, hit: Hit, *, below: bool) -> bool:
        start, end = self.words.starts[hit.first] - self._start, self.words.ends[hit.last] - self._start
        return is_part_of_quantity(self._text, start, end, below=below)

    def between(self, first: int, second: int) -> str:
        """Return what stands in the text between two words."""
        return self._text[self.words.ends[first] - self._start : self.words.starts[second] - self._start]

    def mixes(self, hit: Hit) -> bool:
        """Return whether a hit joins a marker with what is of another: "MYC; loss" in "gain of MYC; loss of PTEN"."""
        return any(
            (number - 1 in self.markers and ";" in self.between(number - 1, number)) or self.is_of_next(number)
            for number in range(hit.first + 1, hit.last + 1)
        )

    def is_of_next(self, number: int) -> bool:
        """Return whether a result is of the marker behind it: "negative" in "PR, negative HER2"."""
        forms = self.words.forms
        return (
            forms[number] in LEXICON.polarity
            and number > 0
            and number + 1 in self.markers
            and "," in self.between(number - 1, number)
            and self.between(number, number + 1) == " "
            and forms[number + 2 : number + 3] not in _POLARITY
        )

    def leads(self, number: int, marker: int) -> bool:
        """Return whether a result before a list of markers is of one of them: "positive ER and PR"."""
        forms = self.words.forms
        if number > 0 and self.words.boundaries[number] < BROKEN:
            before = self.between(number - 1, number)
            opens = _OPENS_RESULT.search(before) or forms[number - 1] in LEXICON.statement_openers
            is_heading = self.between(number, number + 1) == ": " and number - 1 not in self.markers
            if not (opens or is_heading) or (":" in before and number - 1 in self.markers):
                return False
        if self.between(number, number + 1) not in (" ", ": ") or any(
            n not in self.markers or ";" in self.between(n - 1, n) for n in range(number + 1, marker + 1)
        ):
            return False
        # "positive ER, PR negative"
        behind = marker + 1
        while behind in self.markers:
            behind += 1
        return forms[behind : behind + 1] not in _POLARITY or self.is_of_next(behind)

    def _hits(self, term: Term, *, below: bool) -> list[Hit]:
        """Return where a term stands, itself or varied, in order; `below`: a number may have "<" before it."""
        hits = list(self.find_all(term.forms, term.boundaries))
        if len(term.forms) == 2 and LEXICON.markers.issuperset(term.forms):
            hits += self.find_all(term.forms[::-1], term.boundaries)  # the genes of a fusion stand in either order
        if term.forms[0].isdecimal():
            # Not the last digits of a longer number.
            hits = [hit for hit in hits if not self.groups_thousands(hit.first)]
        if term.forms[-1][0].isdigit() or term.forms[0][0].isdigit():
            hits = [hit for hit in hits if not self._is_part_of_quantity(hit, below=below)]
        if len(term.forms) == 1 and (not term.is_required or term.forms[0] in OPPOSITES):
            for form in self._variants(term.forms[0]):
                hits += (Hit(number, number, _VARIANT_SCORE) for number in self._places[form])
        forms = self.words.forms
        if term.forms[-1].isdecimal():
            hits = [hit for hit in hits if not self.groups_thousands(hit.last + 1)]  # "10" of "10 000"
        hits = [hit for hit in hits if tuple(forms[hit.first : hit.last + 2]) not in LEXICON.headings]
        return sorted(hits)

    def _variants(self, form: str) -> Iterator[str]:
        """Yield the text's words that are inflections of `form`, or `form` with one typing error."""
        side = SAME_SIDE.get(form, frozenset())
        for other in self._stems.get(form[0], ()):
            if other == form or other in LEXICON.negations or other in LEXICON.markers:
                continue
            if (side or other in OPPOSITES) and other not in side:
                continue
            long = min(len(form), len(other)) >= _TYPO_MIN_CHARS
            # "mutant" and "mutation" stand on one side and share no ending that inflections have.
            is_listed = other in side and other[:MIN_STEM] == form[:MIN_STEM]
            if is_listed or (long and OSA.distance(form, other, score_cutoff=1) <= 1) or is_inflection(form, other):
                yield other

    def passage(self, wanted: Wanted) -> Hit | None:
        """Return the best passage for a value's terms, the first of equals."""
        self._check()
        terms, complete = wanted.terms, wanted.complete
        below = any(form in ("<", "<=", "less", "lower") for term in terms for form in term.forms)
        hits = [self._hits(term, below=below) for term in terms]
        if any(term.is_required and not own for term, own in zip(terms, hits, strict=True)):
            return None
        matched = sum(map(bool, hits))
        if matched + ELSEWHERE_SCORE * (len(terms) - matched) < len(terms) * (1 if complete else FUZZY_THRESHOLD):
            return None
        passages = _Passages(wanted, self, self._content, self._sentences, self._blockers(terms))
        events = sorted((hit, number) for number, hits in enumerate(hits) for hit in hits)
        # A passage must hold one of the rarest words, so only their neighbourhood is searched.
        spare = int(len(terms) * (1 - FUZZY_THRESHOLD) / (1 - ELSEWHERE_SCORE)) + 1
        rarest = sorted((len(hits), number) for number, hits in enumerate(hits) if hits)[:spare]
        anchors = sorted({hit.first for _, number in rarest for hit in hits[number]})
        best: Hit | None = None
        for index, (hit, _) in enumerate(events):
            self._check()
            nearest = bisect_left(anchors, hit.first)
            if nearest == len(anchors) or anchors[nearest] - hit.first > passages.reach:
                continue
            passage = passages.from_event(events, index)
            if passage and (best is None or passage.score > best.score):
                best = passage
        return best

    def _blockers(self, terms: list[Term]) -> list[int]:
        """Return the numbers of words that no passage for `terms` may hold, in order."""
        own = {form for term in terms for form in term.forms}
        blocked = LEXICON.negations.union(*(OPPOSITES.get(form, ()) for form in own))
        return sorted(number for form in blocked - own for number in self._places.get(form, ()))


class _Passages:
    """Scores passages of one text for the terms of one value."""

    def __init__(
        self, wanted: Wanted, segment: Segment, content: list[int], sentences: list[int], blockers: list[int]
    ) -> None:
        self._wanted = wanted
        self._terms = wanted.terms
        self._segment = segment
        self._words = segment.words
        self._content = content
        self._sentences = sentences
        self._blockers = blockers
        self._required = {number for number, term in enumerate(wanted.terms) if wanted.complete or term.is_required}
        # More words than this cost more than the threshold leaves; function words are free, hence the doubling.
        length = sum(len(term.forms) for term in self._terms)
        self.reach = 2 * (length + int(len(self._terms) * (1 / FUZZY_THRESHOLD - 1) / _GAP_COST) + 1)

    def from_event(self, events: list[tuple[Hit, int]], index: int) -> Hit | None:
        """Return the best passage that starts with event number `index`."""
        start = events[index][0].first
        used: dict[int, Hit] = {}
        best: Hit | None = None
        covered = start - 1
        for position in range(index, len(events)):
            hit, term = events[position]
            if hit.first - start > self.reach or self._sentences[hit.last] != self._sentences[start]:
                break
            if term in used or hit.first <= covered or not self._is_in_order(term, hit, used):
                continue
            used[term] = hit
            covered = hit.last
            score = self._score(start, hit.last, used)
            if (
                score >= FUZZY_THRESHOLD
                and (best is None or score > best.score)
                and all(number in used or self._wanted.may_lack(number) for number in range(len(self._terms)))
                and self._belongs_together(used)
                and not any(self._is_of_another(number, used) for number in used)
                and not self._is_cut(start, hit.last)
                and not any(self._is_counted(number, hit) for number, hit in used.items())
                and not self._wanted.is_denied(self._words.starts[start], self._words.ends[hit.last])
            ):
                best = Hit(start, hit.last, score)
        return best

    def _score(self, first: int, last: int, used: dict[int, Hit]) -> float:
        if not self._required <= used.keys():
            return 0.0
        elsewhere = 0.0
        if len(used) < len(self._terms):
            missing = [number for number in range(len(self._terms)) if number not in used]
            elsewhere = ELSEWHERE_SCORE * sum(map(self._wanted.is_elsewhere, missing))
        blocker = bisect_left(self._blockers, first)
        if blocker < len(self._blockers) and self._blockers[blocker] <= last:
            return 0.0
        inside = self._content[last + 1] - self._content[first]
        gaps = max(inside - sum(hit.last - hit.first + 1 for hit in used.values()), 0)
        return (sum(hit.score for hit in used.values()) + elsewhere) / (len(self._terms) + _GAP_COST * gaps)

    def _is_in_order(self, term: int, hit: Hit, used: dict[int, Hit]) -> bool:
        """Return whether a word of which the order counts has it.

        "Positive" and "negative" follow the value's word, or lead a list or "for"; "stage B" is not "B, stage".
        """
        if (
            term
            and term - 1 not in used
            and self._terms[term - 1].forms[-1] in _LABELS
            and _is_level(self._terms[term])
        ):
            return False
        if self._terms[term].forms[-1] not in LEXICON.polarity or term == 0:
            return True
        forms = self._words.forms
        if forms[hit.last - 1] in _BOTH:
            return True
        if term - 1 not in used:
            own = next((n for n in range(hit.last + 1, min(hit.last + 6, len(forms))) if self._is_own(n)), None)
            if forms[hit.last + 1 : hit.last + 2] == ["for"]:
                return own is None or all(
                    ";" not in self._segment.between(n - 1, n) for n in range(hit.last + 1, own + 1)
                )
            return own is not None and self._segment.leads(hit.last, own)
        if self._segment.is_of_next(hit.last):
            return False
        # "PR 80%, HER2 negative" gives PR a number, so "negative" refers to another.
        between = forms[used[term - 1].last + 1 : hit.first]
        numbers = [index for index, form in enumerate(between) if form[0].isdigit()]
        return not numbers or all(form[0].isdigit() or form == "%" for form in between[numbers[0] :])

    def _belongs_together(self, used: dict[int, Hit]) -> bool:
        """Return whether each word belongs to a marker of the value, and not to another's between or before."""
        if not self._wanted.markers:
            return True
        own = sorted(hit for hit in used.values() if any(map(self._is_own, range(hit.first, hit.last + 1))))
        for number, hit in used.items():
            if hit in own:
                continue
            before = [marker for marker in own if marker.last < hit.first]
            if before:
                if not self._follows(before[-1], hit, self._terms[number]):
                    return False
            elif any(map(self._is_foreign, self._before(hit, 3 if self._terms[number].is_detail else 1))):
                # "MYC gain; loss of PTEN"
                is_apart = set(",;") & set(self._segment.between(hit.first - 1, hit.first))
                leads = self._words.forms[hit.last + 1 : hit.last + 2] == ["of"] or self._segment.is_of_next(hit.last)
                if not (is_apart and leads):
                    return False
        return True

    def _is_cut(self, first: int, last: int) -> bool:
        """Return whether a passage for a level runs over a semicolon: "stage III; lung cancer"."""
        if self._wanted.is_list or not any(term.forms[-1] in _LABELS for term in self._terms):
            return False
        return any(";" in self._segment.between(number - 1, number) for number in range(first + 1, last + 1))

    def _is_counted(self, term: int, hit: Hit) -> bool:
        """Return whether a number says which of something that the value does not name: "5" of "grade group 5"."""
        if hit.first == 0 or not self._terms[term].forms[0].isdecimal():
            return False
        before = self._words.forms[hit.first - 1]
        return (
            before in _COUNTED
            and self._words.boundaries[hit.first] < BROKEN
            and all(before not in other.forms for other in self._terms)
        )

    def _is_of_another(self, term: int, used: dict[int, Hit]) -> bool:
        """Return whether a word such as "left" stands before something else: "breast cancer, left lung nodule"."""
        hit, words, behind = used[term], self._words, used[term].last + 1
        if self._terms[term].forms[-1] not in LEXICON.place_words or behind >= len(words):
            return False
        if words.forms[behind] in LEXICON.stop_words or self._sentences[behind] != self._sentences[hit.last]:
            return False
        leads = any(other > term and used[other].last < hit.first for other in used)
        return (
            leads
            and all(other.first != behind for other in used.values())
            and not self._segment.between(hit.last, behind).strip(" -\n\t\r")
        )

    def _before(self, hit: Hit, count: int) -> list[int]:
        """Return the numbers of the words of the sentence before a hit, `count` of them at most."""
        sentence = self._sentences[hit.first]
        return [n for n in range(max(hit.first - count, 0), hit.first) if self._sentences[n] == sentence]

    def _is_own(self, number: int) -> bool:
        """Return whether a word is a marker that the value names."""
        return self._segment.markers.get(number) in self._wanted.markers

    def _is_foreign(self, number: int) -> bool:
        """Return whether a word is a marker that the value does not name."""
        return self._segment.markers.get(number, "") not in ("", *self._wanted.markers)

    def _follows(self, marker: Hit, hit: Hit, term: Term) -> bool:
        """Return whether what stands behind a marker is of it: "ER" in "ER, PR positive", not in "ER low, PR 5%"."""
        forms = self._words.forms
        between = range(marker.last + 1, hit.first)
        if term.is_detail and "%" in forms[hit.last + 1 : hit.last + 2] and "%" in (forms[n] for n in between):
            return False  # another's percentage stands between
        if term.is_detail and self._is_of_another_score(between, hit):
            return False
        if forms[hit.last + 1 : hit.last + 2] == ["of"] and term.forms[0] in OPPOSITES:
            # "gain of MYC; loss of PTEN"
            return not set(",;") & set(self._segment.between(hit.first - 1, hit.first))
        foreign = [number for number in between if self._is_foreign(number)]
        if foreign and forms[hit.first - 1] in _BOTH:
            return True
        if not foreign:
            return True
        return not term.is_detail and all(
            number in self._segment.markers or forms[number] in LEXICON.stop_words
            for number in range(marker.last + 1, foreign[-1])
        )

    def _is_of_another_score(self, between: range, hit: Hit) -> bool:
        """Return whether a number is of a score that the value does not name: "55" of "TPS 55%, CPS 60" for a CPS."""
        own = {form for term in self._terms for form in term.forms} & LEXICON.score_names
        if not own:
            return False
        forms = self._words.forms
        named = [form for form in (forms[n] for n in between) if form in LEXICON.score_names][-1:]
        named = named or [form for form in forms[hit.last + 1 : hit.last + 3] if form in LEXICON.score_names][:1]
        return bool(named) and named[0] not in own


def _is_level(term: Term) -> bool:
    """Return whether a term is a letter or a number by itself, as behind "stage"."""
    return len(term.forms) == 1 and (len(term.forms[0]) == 1 or term.forms[0].isdecimal())


def _groups(digits: str, cut: int) -> bool:
    """Return whether a cut in a row of digits may stand between thousands and hundreds."""
    before, behind = _DIGITS_BEFORE.search(digits[:cut]), _DIGITS.match(digits, cut)
    return before is not None and behind is not None and len(before[0]) <= 3 and len(behind[0]) % 3 == 0


def markers_in(words: Words) -> dict[int, str]:
    """Return from the numbers of the words that are a marker, or a part of one ("PD-L1"), to the marker's name."""
    forms, found = words.forms, dict[int, str]()
    for first, form in enumerate(forms):
        if form in LEXICON.markers:
            found[first] = form
        elif form in _MARKER_STARTS:
            for last in (first + 1, first + 2):
                name = "".join(forms[first : last + 1])
                if name in LEXICON.markers and last < len(forms):
                    found |= dict.fromkeys(range(first, last + 1), name)
    return found


def terms_of(words: Words, value: str = "") -> list[Term]:
    """Return the terms of a value's words, without function words unless there is nothing else.

    Args:
        words: the value's.
        value: the value, where words in capitals are to be told from others.
    """
    terms: list[Term] = []
    is_mixed = any(map(str.islower, value))
    for number, form in enumerate(words.forms):
        joined = number and words.boundaries[number] == JOINED and _hangs_on(words.forms[number - 1], form)
        if terms and number and _is_ratio(words, number, value):
            terms[-1] = Term((*terms[-1].forms, form), (*terms[-1].boundaries, words.boundaries[number]))
        elif terms and joined:
            terms[-1] = Term((*terms[-1].forms, form), (*terms[-1].boundaries, JOINED), terms[-1].is_symbol)
        else:
            surface = value[words.starts[number] : words.ends[number]] if is_mixed else ""
            terms.append(Term((form,), (BROKEN,), len(surface) > 1 and surface.isupper()))
    content = [term for term in terms if not (len(term.forms) == 1 and term.forms[0] in LEXICON.stop_words)]
    if any(len(term.forms) > 1 and LEXICON.markers.issuperset(term.forms) for term in terms):
        content = [term for term in content if term.forms != ("fusion",)]  # two genes are nothing else
    return list(dict.fromkeys(content or terms))


def _is_ratio(words: Words, number: int, value: str) -> bool:
    """Return whether a word is the second of two numbers whose order counts: "4+3", "3/8", "3 of 8"."""
    if not value or not (words.forms[number].isdecimal() and words.forms[number - 1].isdecimal()):
        return False
    return value[words.ends[number - 1] : words.starts[number]].strip() in ("+", "/", "of", "out of")


def _hangs_on(before: str, form: str) -> bool:
    """Return whether two words with a hyphen between them are one name: "PD-L1" and "T-DM1" are, "TMB-high" is not."""
    if {before, form} & LEXICON.polarity or form == "%":
        return False
    return (
        len(before) <= 2 or len(form) <= 1 or before[-1:].isdigit() or form[:1].isdigit() or any(map(str.isdigit, form))
    )


def is_weak(terms: Iterable[Term]) -> bool:
    """Return whether words say too little to be an item of a value: numbers, units, "positive"."""
    return all(
        form in LEXICON.measures
        or form in LEXICON.polarity
        or form in LEXICON.stop_words
        or not any(map(str.isalpha, form))
        or len(form) == 1
        for term in terms
        for form in term.forms
    )
