"""Stretches of a text, and the passages in them that hold a value's words.

A stretch is one or more sentences, and no passage leaves its sentence. A stretch is read only when it may hold what is
looked for, so most of a note is never taken apart.
"""

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from rapidfuzz.distance import OSA

from gateway.grounding.lexicon import LEXICON
from gateway.grounding.words import BROKEN, JOINED, Words, ends_sentence, scan

FUZZY_THRESHOLD = 0.8
"""Least score of fuzzy evidence: found / (words of the value + 0.1 for each other word in the passage).

A found word counts 1, its inflection or one typing error (one edit in seven letters or more) 0.9, a word that stands
elsewhere in the text 0.25. Function words ("of", "with") count on neither side. So of up to three words all must be
found, and of five one may be missing where no other word stands between the rest.
"""
_GAP_COST = 0.1
_VARIANT_SCORE = 0.9
ELSEWHERE_SCORE = 0.25
_TYPO_MIN_CHARS = 7  # shorter words are too often another word: "ileum" and "ilium"
MAX_UNITS = 32  # a longer part is prose, not a value
_SHORT_WORD = 3  # a gene, a unit, an abbreviation: must be found as it is

_OPPOSITES = LEXICON.opposites_of()
_SUFFIXES = LEXICON.suffixes | {""}
_MIN_STEM = 4

_STRETCH_CHARS = 100  # fewer stretches would each cost more to read, more would cost more to choose from
_SENTENCE_END = re.compile(r"[.!?]\s++(?=[A-Z])")
# Written in more ways than one, so their letters or digits need not be there.
_MANY_SPELLINGS = frozenset(LEXICON.synonyms.values()) | {"1"}
_LEADING_LETTERS = re.compile(r"[a-z]*")


class Run(NamedTuple):
    """Words number `first` to `last` of the text, as one find."""

    first: int
    last: int
    score: float = 1.0


class Unit(NamedTuple):
    """A word of a value that must be found as one: a word, or several that hang together as "PD-L1" does."""

    forms: tuple[str, ...]
    joints: tuple[int, ...]

    @property
    def can_be_mistyped(self) -> bool:
        """Whether a word that starts otherwise may be this one with a typing error."""
        return not self.is_required and len(self.forms[0]) >= _TYPO_MIN_CHARS - 1

    @property
    def is_required(self) -> bool:
        """Whether no passage without it can be evidence."""
        form = "".join(self.forms)
        return len(form) <= _SHORT_WORD or not form.isalpha() or form in _OPPOSITES or form in LEXICON.negations


def stretches(text: str) -> Iterator["Stretch"]:
    """The stretches of a text, in order."""
    start = 0
    for match in _SENTENCE_END.finditer(text):
        end = match.end()
        if end - start < _STRETCH_CHARS:
            continue
        if ends_sentence(text[max(start, match.start() - 40) : match.start()], match[0][0], text[end]):
            yield Stretch(text, start, end)
            start = end
    yield Stretch(text, start, len(text))


def letters_of(text: str) -> str:
    """A text in lower case and American spelling, for a first look; places in it are not the text's."""
    return text.lower().replace("ae", "e").replace("oe", "e")


def stem(form: str) -> str:
    """What ASCII text holds, in `Stretch.letters`, wherever it holds a word of this form or an inflection of it."""
    if form in _MANY_SPELLINGS:
        return ""
    if form[0].isdigit():
        return form[0] if form[-1].isdigit() else ""
    letters = _LEADING_LETTERS.match(form)
    leading = letters[0] if letters else ""
    return leading[: max(min(4, len(leading) - 1), 2)] or form


class Stretch:
    """The words of one stretch of a text, code points `start` to `end`, and ways to find some of them."""

    def __init__(self, text: str, start: int, end: int) -> None:
        self._text = text[start:end]
        self._start = start
        self.letters = letters_of(self._text) if self._text.isascii() else None
        """The stretch's `letters_of`, or None where it is not ASCII and must always be read."""

    def may_hold(self, stems: Iterable[str]) -> bool:
        """Whether the stretch need be read for words of all these stems."""
        letters = self.letters
        if letters is not None:
            for wanted in stems:  # not `all`: this is asked of every sentence for every value
                if wanted not in letters:
                    return False
        return True

    @cached_property
    def words(self) -> Words:
        """Its words, with offsets into the whole text."""
        words, start = scan(self._text), self._start
        if start:
            words.starts[:] = [place + start for place in words.starts]
            words.ends[:] = [place + start for place in words.ends]
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
        """From a place in `_joined` to the number of the word that starts there."""
        return {offset: number for number, offset in enumerate(self._offsets)}

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
            if len(form) >= _MIN_STEM and form.isalpha():
                stems[form[0]].append(form)
        return dict(stems)

    @cached_property
    def _content(self) -> list[int]:
        """How many words that are not function words stand before each word."""
        return list(accumulate((form not in LEXICON.stop_words for form in self.words.forms), initial=0))

    @cached_property
    def _sentences(self) -> list[int]:
        """The number of each word's sentence."""
        return list(accumulate(joint == BROKEN for joint in self.words.joints))

    def runs(self, forms: Sequence[str], joints: Sequence[int]) -> Iterator[Run]:
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
                yield Run(first, behind - 1)
            offset = joined.find(wanted, self._offsets[bisect_right(self._offsets, offset)])

    def _same_cuts(self, wanted: str, cuts: dict[int, int], first: int, behind: int) -> bool:
        """Whether the text's words are cut where the value's are, but for hyphens and digits ("HER-2", "HER2")."""
        offsets, joints = self._offsets, self.words.joints
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

    def _hits(self, unit: Unit) -> list[Run]:
        """Where a unit stands, itself or varied, in order."""
        runs = list(self.runs(unit.forms, unit.joints))
        if len(unit.forms) == 1 and not unit.is_required:
            for form in self._variants(unit.forms[0]):
                runs += (Run(number, number, _VARIANT_SCORE) for number in self._places[form])
        forms = self.words.forms
        runs = [run for run in runs if tuple(forms[run.first : run.last + 2]) not in LEXICON.headings]
        return sorted(runs)

    def _variants(self, form: str) -> Iterator[str]:
        """The text's words that are inflections of `form`, or `form` with one typing error."""
        for other in self._stems.get(form[0], ()):
            if other == form or other in _OPPOSITES or other in LEXICON.negations:
                continue
            long = min(len(form), len(other)) >= _TYPO_MIN_CHARS
            if (long and OSA.distance(form, other, score_cutoff=1) <= 1) or _is_inflection(form, other):
                yield other

    def passage(self, units: list[Unit], present: set[int], *, complete: bool) -> Run | None:
        """The best passage for a value's units, the first of equals.

        Args:
            units: the value's.
            present: the numbers of the units that stand anywhere in the text.
            complete: whether every unit must be in the passage.
        """
        hits = [self._hits(unit) for unit in units]
        if any(unit.is_required and not found for unit, found in zip(units, hits, strict=True)):
            return None
        found = sum(map(bool, hits))
        if found + ELSEWHERE_SCORE * (len(units) - found) < len(units) * (1 if complete else FUZZY_THRESHOLD):
            return None
        required = {number for number, unit in enumerate(units) if complete or unit.is_required}
        passages = _Passages(
            units, required, present, self.words, self._content, self._sentences, self._blockers(units)
        )
        events = sorted((run, number) for number, runs in enumerate(hits) for run in runs)
        # A passage must hold one of the rarest words, so only the neighbourhood of these is looked at.
        spare = int(len(units) * (1 - FUZZY_THRESHOLD) / (1 - ELSEWHERE_SCORE)) + 1
        rarest = sorted((len(runs), number) for number, runs in enumerate(hits) if runs)[:spare]
        anchors = sorted({run.first for _, number in rarest for run in hits[number]})
        best: Run | None = None
        for index, (run, _) in enumerate(events):
            nearest = bisect_left(anchors, run.first)
            if nearest == len(anchors) or anchors[nearest] - run.first > passages.reach:
                continue
            passage = passages.from_event(events, index)
            if passage and (best is None or passage.score > best.score):
                best = passage
        return best

    def _blockers(self, units: list[Unit]) -> list[int]:
        """The numbers of words that no passage for `units` may hold, in order."""
        own = {form for unit in units for form in unit.forms}
        blocked = set().union(*(_OPPOSITES.get(form, ()) for form in own))
        if not own & LEXICON.negations:
            blocked |= LEXICON.negations
        return sorted(number for form in blocked - own for number in self._places.get(form, ()))


class _Passages:
    """Scores passages of one text for the units of one value."""

    def __init__(
        self,
        units: list[Unit],
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

    def from_event(self, events: list[tuple[Run, int]], index: int) -> Run | None:
        """The best passage that starts with event number `index`."""
        start = events[index][0].first
        taken: dict[int, Run] = {}
        best: Run | None = None
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
                best = Run(start, run.last, score)
        return best

    def _score(self, first: int, last: int, taken: dict[int, Run]) -> float:
        if not self._required <= taken.keys():
            return 0.0
        elsewhere = ELSEWHERE_SCORE * len(self._present - taken.keys())
        blocker = bisect_left(self._blockers, first)
        if blocker < len(self._blockers) and self._blockers[blocker] <= last:
            return 0.0
        inside = self._content[last + 1] - self._content[first]
        gaps = max(inside - sum(run.last - run.first + 1 for run in taken.values()), 0)
        return (sum(run.score for run in taken.values()) + elsewhere) / (len(self._units) + _GAP_COST * gaps)

    def _is_in_order(self, unit: int, run: Run, taken: dict[int, Run]) -> bool:
        """Whether "positive" or "negative" says it of the word that the value means: after it, or by "positive for"."""
        if self._units[unit].forms[-1] not in LEXICON.polarity or unit == 0:
            return True
        forms = self._words.forms
        if unit - 1 not in taken:
            return forms[run.last + 1 : run.last + 2] == ["for"]
        # "PR 80%, HER2 negative" gives PR a number, so "negative" is said of another.
        between = forms[taken[unit - 1].last + 1 : run.first]
        numbers = [place for place, form in enumerate(between) if form[0].isdigit()]
        return not numbers or all(form[0].isdigit() or form == "%" for form in between[numbers[0] :])


def units_of(words: Words) -> list[Unit]:
    """The units of a value's words, function words left out unless there is nothing else."""
    units: list[Unit] = []
    for number, form in enumerate(words.forms):
        if units and number and words.joints[number] == JOINED and _hangs_on(words.forms[number - 1], form):
            units[-1] = Unit((*units[-1].forms, form), (*units[-1].joints, JOINED))
        else:
            units.append(Unit((form,), (BROKEN,)))
    content = [unit for unit in units if not (len(unit.forms) == 1 and unit.forms[0] in LEXICON.stop_words)]
    return list(dict.fromkeys(content or units))


def _hangs_on(before: str, form: str) -> bool:
    """Whether two words with a hyphen between them are one name: "PD-L1" and "T-DM1" are, "TMB-high" is not."""
    if {before, form} & LEXICON.polarity or form == "%":
        return False
    return (
        len(before) <= 2 or len(form) <= 1 or before[-1:].isdigit() or form[:1].isdigit() or any(map(str.isdigit, form))
    )


def is_weak(units: Iterable[Unit]) -> bool:
    """Whether words say too little to be looked for as a piece of a value: numbers, units, "positive"."""
    return all(
        form in LEXICON.measures
        or form in LEXICON.polarity
        or form in LEXICON.stop_words
        or not any(map(str.isalpha, form))
        or len(form) == 1
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
        if endings <= _SUFFIXES and not ("" in endings and endings & LEXICON.not_added):
            return True
    return False
