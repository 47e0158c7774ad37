"""A text becomes words that can be compared and that keep their offsets.

Words are compared by their folded forms and keep their offsets in the original text, so no normalisation can shift one.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, pairwise

import regex

from gateway.grounding.lexicon import LEXICON

# What is between a word and the one before it.
JOINED, SPACED, BROKEN = range(3)  # nothing or a hyphen between them; space or punctuation; the end of a sentence


_LAST_WORDS_CHARS = 40  # enough to see them
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")


def ends_sentence(before: str, stop: str, after: str) -> bool:
    """Return whether a full stop and its like, followed by white space, end a sentence.

    Args:
        before: the text before it, from the sentence's start or at least two words.
        stop: the full stop, or several, "!", "?".
        after: the first character that is not white space, or nothing at the end.
    """
    if stop != ".":
        return not after.islower()
    if after.islower():
        return False
    *_, earlier, last = "", "", *before.rsplit(maxsplit=2)
    last = last.lstrip("([\"'")
    if len(last) == 1 and last.isupper():
        # An initial: at the start or after a name or another initial, but not "hepatitis B." or "Stage I."
        return bool(earlier) and (earlier.lower() in _LABELS or not earlier[:1].isupper())
    if last.isdigit() and len(last) <= 3 and not earlier:
        return False  # a list number
    word = last.lower()
    return not (
        word in LEXICON.abbreviations or (word in LEXICON.numbered and after.isdigit()) or _DOTTED.fullmatch(last)
    )


_MARKS = "".join(
    # Found once at import, in some tens of milliseconds; no marks of living scripts lie outside of these blocks.
    chr(code)
    for code in chain(range(0x300, 0x3100), range(0xA660, 0xABFF), range(0xFB1E, 0xFE30), range(0x10000, 0x1F000))
    if unicodedata.category(chr(code))[0] == "M"
)
_JOINERS = "\u200c\u200d"
_CLUSTER = regex.compile(r"\X")
# Odd, so that a longer row of flags, which are pairs of letters, is not cut anywhere.
_CLUSTER_REACH = 65

_SCRIPT_DIGITS = "²³¹⁰⁴-⁹₀-₉"
# Scripts that put no space between words: each character stands for itself.
_UNSPACED = (
    "\u0e01-\u0e32\u0e40-\u0e46\u0e81-\u0eb2\u0ec0-\u0ec6\u1000-\u102a\u1780-\u17b3\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029"
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d"
    "\U00020000-\U0003ffff"
)
_PLUSES = "+\u207a\u208a\u2795\ufe62\uff0b"
_MINUSES = "-\u2010\u2011\u2013\u2212\u207b\u208b\u2796\ufe63\uff0d"
_SYMBOL = re.compile(rf"[{_PLUSES}]+|[{_MINUSES}]|[%&±]|[<>≤≥]=?")
# Between a receptor and its sign: "ER+", "ER +", "ER (+)". A sign with space before it needs something behind it that
# shows it for one, for "+" is "and" too, and "-" a dash.
_BEFORE_SIGN = re.compile(r"[^\S\r\n]?[:=|]?[^\S\r\n]?([(\[{（\"“]?)[^\S\r\n]?")
_OPENED = tuple('([{（"“')
_CLOSES = tuple(')]}）"”')
_VE = r"(?:ve\b)?"
_CLOSED = re.compile(rf"{_VE}[^\S\r\n]?[)\]}}）\"”]")
_ENDED = re.compile(rf"{_VE}[^\S\r\n]*(?:[,;:/|)\]\r\n]|\.(?!\d)|\Z)")
_LISTED = re.compile(r"\s*(?:[,;:/)\].]|\Z|\n|(?:and|or|to|through)\b)")  # behind a numeral of "stage II, III or IV"
_SPACED = re.compile(rf"{_VE}(?:[^\S\r\n]|\Z)")
# Signs of one row: "ER+PR+HER2-", "ER + PR + HER2 -".
_ROW = re.compile(
    rf"(?:[A-Z0-9][A-Za-z0-9]{{0,7}}[{_MINUSES}{_PLUSES}]){{1,8}}(?![A-Za-z0-9])"
    rf"|(?:[ ][A-Z][A-Za-z0-9]{{1,7}}:?[ ]?[{_MINUSES}{_PLUSES}]){{1,8}}[ ]*(?:[,;.)\]\r\n]|\Z)"
)
_SIGN_WORD_CHARS = 6  # receptors and genes; a longer word in capitals is a heading
_SCORED = re.compile(rf"(?:{'|'.join(sorted(LEXICON.scores))})?([0-4])", re.IGNORECASE)
_EITHER = {f"/{minus}" for minus in _MINUSES}  # "+/-"
_SCORE_WORDS = [[word] for word in LEXICON.scores]
_SCORE_REACH = 4  # words between HER2 and its score: "HER2 by IHC: 1+"
_AT_ONCE_CHARS = 8_000  # of a text that are read by one call, in a few milliseconds
_LONGEST_WORD = 1_000  # no value has a longer one, and a text can be made as one word
_CHECK_EVERY = 1_000  # words
_PLAIN_GAPS = frozenset(("", " ", "\n", ",", "/", "("))
_NUMBER = r"\d++(?:[.,]\d++)++|(?<![^\s(<>=~≤≥])[.]\d++|\d{1,3}(?:['’]\d{3})++(?!\d)"
# "ERpos", "METex14", "del17p" and "StageIV", two words each; "pT2N1M0" as many as it has parts.
_RESULT_FOLLOWS = (
    # Behind "cT3" or "pN1" a "c" is how the next part was found, elsewhere a letter as in "T1cN0".
    r"(?:y?cT(?:[0-4X]|is)[abd]?(?=cN[0-4X])|y?[pc]N[0-3X][abd]?(?:mi)?(?=c?M[01X])"
    r"|(?:y?[pcrau]|y|mr)?[TN](?:[0-4X]|is)[a-d]?(?:mi)?(?=(?:y?[pcu])?[NM][0-4X]))"
    r"|[A-Z][A-Z0-9]{1,5}(?=(?:pos|neg)\b|ex\d)|(?:[Dd]el|DEL)(?=\d{1,2}[pqPQ])|[Ss]tage(?=[IV]{1,3}[A-D]?\b)"
)
_ASCII_WORD = re.compile(rf"({_NUMBER}|{_RESULT_FOLLOWS}|[A-Za-z0-9]++)")
_LETTER = rf"[^\W_{_SCRIPT_DIGITS}{_UNSPACED}]"
_INSIDE = f"{_MARKS}{_JOINERS}\u00ad\u2060\ufeff"


# The second alternative says nothing that the fourth does not; it makes ASCII words in other texts fast. The fourth is
# slow to fail, so the third stands before it.
def _word_pattern(most: str) -> re.Pattern[str]:
    return re.compile(
        rf"({_NUMBER}|{_RESULT_FOLLOWS}|[A-Za-z0-9]++(?=[\x00-\x7f]|\Z)|[{_UNSPACED}][{_MARKS}]{most}"
        rf"|{_LETTER}++(?:[{_INSIDE}]{most}{_LETTER}++){most}[{_MARKS}]{most}|[{_SCRIPT_DIGITS}]+)"
    )


_WORD = _word_pattern("*+")
# A text can be one word of marks and letters in turn. These take half a microsecond each, and nothing else may run
# during one call, so a word of more is cut here, and `_Scanner` leaves out what follows.
_MOST_RUNS = 80
_WORD_START = _word_pattern(f"{{0,{_MOST_RUNS}}}+")
_WORD_GOES_ON = re.compile(f"[{_INSIDE}]|{_LETTER}")
_MARKS_FOLLOW = re.compile(f"[{_INSIDE}]{{0,{100 * _MOST_RUNS}}}+")
LETTERS = re.compile(f"{_LETTER}+")
"""A run of letters and digits, which a span may not cut."""
_UNSPACED_CHAR = re.compile(f"[{_UNSPACED}]")
_INVISIBLE = str.maketrans("", "", "\u200c\u200d\u00ad\u2060\ufeff")

# Of a line, or of a page in text from a PDF file.
_LINE_END = r"(?:(?:\r?\n){0,2}\f(?:\r?\n)?|\r?\n|[\r\v\x85\u2028\u2029])"
# A hyphen, also at the end of a line or with the space that PDF extraction leaves; or characters that are not seen.
_HYPHEN_GAP = re.compile(
    rf"(?:[-\u00ad\u2010-\u2013\u2212\ufe63\uff0d][ \t]*(?:{_LINE_END}[ \t]*)?|\u00ac[ \t]*{_LINE_END}[ \t]*"
    r"|[\u180e\u200b\u200e\u200f\u202a-\u202e\u2061-\u206f]+)\Z"
)
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n|\r[^\S\r\n]*\r|\n\s*[-*•‣◦▪–]\s|[\u2029。！？｡।۔؟]")
_FULL_STOP = re.compile(r"([.!?…]+)[\"'”’»)\]]*\s")

ROMAN = {
    numeral: str(number)
    for number, numeral in enumerate(("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x"), 1)
}
# T, N and M as they are put together, with what says how they were found: "pT2aN1M0".
_TNM = re.compile(r"(?:y?[cpa]|y?r[cp]?|y|u|mr)(?=[TNM](?:[0-4X]|is))")
# Behind the number of a lymphoma's stage: "IIE", "IIIS", "IIIBS". Not in lower case, for "is" is a word.
_LYMPHOMA = r"(?-i:[AB]?E|(?<=II)[AB]?E?S)"
NUMERAL = re.compile(rf"(viii|vii|iii|vi|iv|ix|ii|v|i|x|\d)(\s?[a-d]\d?|[\s-]?{_LYMPHOMA})?", re.IGNORECASE)
# With what says how it was found: "pIIIA", "ypII".
_PREFIXED_STAGE = re.compile(r"(?:y?[pc]|y)((?:IV|I{2,3})(?:[A-D]\d?)?|I[A-D]\d?)")
_LABELS = LEXICON.stage_labels | LEXICON.other_labels
_DIGITS = frozenset("01234")  # forms that may be a stage in words: "stage four"
_COMPOUND_ENDS = {end for _, end in LEXICON.compounds}
_EXON_19 = {("19", "deletion"), ("deletion", "19")}  # how most notes name it, without "exon"
_ORDINALS = {"first": "1", "second": "2", "third": "3", "fourth": "4"}
# Behind an ordinal and "stage": "fourth stage", but not "second-stage surgery" or "the first stage of the operation".
_STAGE_ENDS = re.compile(
    r"\s*(?:[.,;:)\n]|\Z|(?:at|on)\b|(?:[\w-]+\s+){0,3}?(?:disease|cancer|tumou?r|malignancy|lymphoma|\w+noma|\w+coma)\b)",
    re.IGNORECASE,
)
_SPECIAL = (
    LEXICON.connectives
    | _LABELS
    | _COMPOUND_ENDS
    | _DIGITS
    | LEXICON.levels.keys()
    | _ORDINALS.keys()
    | {"s", "p", "c", "one", "ve", "of", "out", "x", "19", "deletion"}
)
_ISE = re.compile(r"is(?=(?:e[ds]?|ing|ation)\Z)")
_EXON = re.compile(r"ex(?:on)?(\d{1,2})(del|ins|dup)?")
_AMINO_ACID = "|".join(LEXICON.amino_acids)
_COUNT = re.compile(r"\s?\d{1,2}\b(?!\s\d{3}\b)")
_OUT_OF = re.compile(r"(?:out\s+)?of\s+(?:the\s+)?\d", re.IGNORECASE)
_LONG_VARIANT = re.compile(rf"({_AMINO_ACID})(\d+)({_AMINO_ACID})")  # of HGVS
# What calls the numeral before it a stage, in Chinese and Japanese, and in Korean.
_STAGE_BEHIND, _STAGE_ENDING = "\u671f", "\uae30"
_STAGE_BEFORE = re.compile(r"(?:\u30b9\u30c6\u30fc\u30b8|\u75c5\u671f|\u5206\u671f|\ubcd1\uae30)[:\uff1a\s]?\Z")
_STAGE_BEFORE_CHARS = 5
# A hyphen at the end of a page, or of a line with an empty one behind it.
_BROKEN_FAR = re.compile(r"[-\u00ad\u2010\u2011][ \t]*(?:\r?\n[ \t]*){2}\Z")
_STAGE_LETTERS = "ABCDabcd"
_LABEL_REACH = 6  # words between a label and its numeral: "stage at presentation was IIIA"


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one text in order, as parallel lists; connecting words ("and", "&", "the") are left out."""

    forms: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    boundaries: list[int] = field(default_factory=list)
    staged: set[int] = field(default_factory=set)
    """Numbers of the words that are numerals after a stage label."""
    prefixes: dict[int, int] = field(default_factory=dict)
    """From the numbers of the words that are a TNM with a prefix ("pT2") to the prefix's length."""

    def __len__(self) -> int:
        """Return the number of words."""
        return len(self.forms)

    def append(self, form: str, start: int, end: int, boundary: int) -> None:
        """Add a word after all others."""
        self.forms.append(form)
        self.starts.append(start)
        self.ends.append(end)
        self.boundaries.append(boundary)


def starts_cluster(text: str, position: int) -> bool:
    """Return whether a span may start or end at `position` of `text` without cutting a grapheme cluster."""
    if position <= 0 or position >= len(text):
        return True
    before, after = text[position - 1], text[position]
    if before < "\u0300" and after < "\u0300":
        return not (before == "\r" and after == "\n")
    window = text[max(position - _CLUSTER_REACH, 0) : position + 1]
    cluster = _CLUSTER.match(window, len(window) - 2)
    return cluster is not None and cluster.end() == len(window) - 1


def cluster_around(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Return the span `start` to `end` widened to whole grapheme clusters; None where one is longer than any in use."""
    for _ in range(_CLUSTER_REACH):
        if starts_cluster(text, start):
            break
        start -= 1
    else:
        return None
    for _ in range(_CLUSTER_REACH):
        if starts_cluster(text, end):
            return start, end
        end += 1
    return None


def is_unspaced(character: str) -> bool:
    """Return whether `character` is of a script without spaces between words, so that a word may start anywhere."""
    return character > "\u0e00" and _UNSPACED_CHAR.match(character) is not None


def fold(surface: str) -> str:
    """Return the form in which a word is compared: without case, accents, ligatures, plural and British spelling."""
    if len(surface) > _LONGEST_WORD:
        return surface
    form = surface.lower() if surface.isascii() else _fold_unicode(surface)
    if form.isalpha():
        if len(form) >= 4 and form.isascii():
            if form[-1] == "s" and form not in LEXICON.no_plurals:
                form = _singular(form)
            if len(form) >= 6:
                form = _american(form)
    elif form[0] == "x" and form[1:].isdecimal():
        return form[1:]  # "x6" of cycles
    elif form.isascii() and form[0].isalpha():
        return _variant(form)
    elif not form.isalnum():
        number = re.sub(r"[,'’](?=\d{3}(?!\d))", "", form).replace(",", ".")
        if number.count(".") != 1:
            return number
        number = number.rstrip("0").rstrip(".")
        return f"0{number}" if number.startswith(".") else number or "0"
    return LEXICON.synonyms.get(form, form)


def _variant(form: str) -> str:
    """Return a variant in its usual form: "exon19deletion" of "ex19del", "v600e" of "val600glu"; else `form`."""
    if match := _EXON.fullmatch(form):
        kind = match[2] or ""
        return f"exon{match[1]}{LEXICON.synonyms.get(kind, kind)}"
    if match := _LONG_VARIANT.fullmatch(form):
        return f"{LEXICON.amino_acids[match[1]]}{match[2]}{LEXICON.amino_acids[match[3]]}"
    return LEXICON.synonyms.get(form, form)


def _fold_unicode(surface: str) -> str:
    """Return NFKD, case folded, without accents; Indic vowel signs and Thai tones stay, as they distinguish words."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", surface.translate(_INVISIBLE)).casefold())
    kept = []
    for character in decomposed:
        accent = unicodedata.combining(character)
        if accent >= 200 or 10 <= accent <= 36:
            continue
        kept.append(str(unicodedata.decimal(character, character)))
    return "".join(kept)


def _singular(form: str) -> str:
    if form.endswith("sis"):
        return form[:-2] + "e"  # "metastasis" meets "metastases"
    if form.endswith(("ss", "us", "is")):
        return form
    if form.endswith("ies") and len(form) > 4:
        return form[:-3] + "y"
    if form.endswith(("sses", "shes", "ches", "xes")):
        return form[:-2]
    return form[:-1]


def _unfolded(surface: str, form: str) -> str:
    """Return a form with the "s" that folding took for a plural's."""
    return surface.lower() if surface.lower() == f"{form}s" else form


def _american(form: str) -> str:
    if form.startswith("gastro") and len(form) > 7:
        return "gastro" + _american(form[6:])  # its "oe" is none of British spelling
    if len(form) > 7:
        form = _ISE.sub("iz", form)
        if form.endswith("logical"):
            form = form[:-2]  # "pathologic" and "pathological" are one word
    if "ae" in form or "oe" in form:
        form = form.replace("ae", "e").replace("oe", "e")
    return form[:-3] + "or" if form.endswith("our") else form


def normal_form(value: str) -> str:
    """Return one string for all spellings that `scan` takes for the same; the value itself where it has no words."""
    return " ".join(scan(value).forms) or value.strip()


def scan(text: str, check: Callable[[], None] = lambda: None) -> Words:
    """Return the words of `text`, without the connecting ones.

    "+" after a marker is "positive" and "-" "negative"; numerals after "stage" and its like are Arabic. Takes time
    linear in the text; `check` is called now and then, to end a scan that takes too long.
    """
    return _Scanner(text).run(check)


def _is_numeral(surface: str) -> bool:
    if surface[0] in "iIvVxX0123456789":
        return NUMERAL.fullmatch(surface) is not None
    # Roman numerals have characters of their own.
    return surface[0] > "\u2150" and NUMERAL.fullmatch(unicodedata.normalize("NFKC", surface)) is not None


def _is_stage(surface: str) -> bool:
    """Return whether a word is a stage in Korean: a numeral with an ending."""
    return surface[-1] == _STAGE_ENDING and len(surface) > 1 and _is_numeral(surface[:-1])


def _tnm_prefix(surface: str) -> int:
    """Return the length of the prefix of a TNM such as "pT2"; 0 for any other word."""
    if surface[0] not in "cpayrum" or surface.islower():
        return 0
    match = _TNM.match(surface)
    return match.end() if match else 0


class _Forms(dict[str, tuple[str, bool]]):
    """From a word as written to its form, and whether it is plain: neither left out nor changed by its neighbours.

    Lives as long as one scan: words of a note are not kept.
    """

    def __missing__(self, surface: str) -> tuple[str, bool]:
        form = fold(surface)
        entry = self[surface] = (
            form,
            not (
                form in _SPECIAL
                or _is_numeral(surface)
                or _tnm_prefix(surface)
                or _PREFIXED_STAGE.fullmatch(surface)
                or _is_stage(surface)
            ),
        )
        return entry


def _end_of_marks(text: str, start: int) -> int:
    match = _MARKS_FOLLOW.match(text, start)
    return match.end() if match else start


class _Scanner:
    """One pass over one text. Most words are plain and follow one space; `run` takes these by itself, for speed."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._words = Words()
        self._pending = BROKEN  # the boundary left by words that were left out
        self._label = -_LABEL_REACH - 1  # number of the last label that a numeral may belong to
        self._label_is_stage = False

    def _words_and_gaps(self, check: Callable[[], None]) -> Iterator[tuple[str, str]]:
        """Yield each word's surface with what stands before it."""
        text = self._text
        if len(text) <= _AT_ONCE_CHARS:
            pieces = (_ASCII_WORD if text.isascii() else _WORD).split(text)
            yield from zip(pieces[::2], pieces[1::2], strict=False)
            return
        # One call would keep all other threads waiting.
        at, cut_at = 0, -1
        for number, match in enumerate((_ASCII_WORD if text.isascii() else _WORD_START).finditer(text)):
            if number % _CHECK_EVERY == 0:
                check()
            start, end = match.span()
            # A word that was cut goes on: no word begins here.
            if cut_at < 0 or _end_of_marks(text, cut_at) != start:
                yield text[at:start], match[0]
                at = end
            cut_at = end if end - start >= _MOST_RUNS and _WORD_GOES_ON.match(text, end) else -1

    def run(self, check: Callable[[], None]) -> Words:
        """Return the words."""
        words = self._words
        add_form, add_start, add_end, add_boundary = (
            words.forms.append,
            words.starts.append,
            words.ends.append,
            words.boundaries.append,
        )
        forms = _Forms()
        at = 0
        for gap, surface in self._words_and_gaps(check):
            form, is_plain = forms[surface]
            start = at + len(gap)
            end = start + len(surface)
            if is_plain and gap == " " and not self._pending:
                add_form(form)
                add_start(start)
                add_end(end)
                add_boundary(SPACED)
            else:
                self._take(surface, form, self._take_symbols(at, start), start, end)
            at = end
        self._take_symbols(at, len(self._text))
        return words

    def _take_symbols(self, start: int, end: int) -> int:
        """Take the symbols between two words that count as words, and return the end of the last one."""
        if end - start < 2 and self._text[start:end] in _PLAIN_GAPS:
            return start
        text, at = self._text, start
        for match in _SYMBOL.finditer(text, start, end):
            symbol, begin = match[0], match.start()
            if symbol[0] in _PLUSES:
                form = self._plus(symbol, at, begin) or "+"
            elif symbol in _MINUSES:
                if not self._is_minus(at, begin):
                    continue  # a dash is part of the gap
                form = "negative"
            else:
                form = LEXICON.synonyms.get(symbol, symbol)
            behind = match.end()
            if text[begin - 1 : begin] in _OPENED and text[behind : behind + 1] in _CLOSES:
                behind += 1  # the brackets of "ER (+)" are part of the sign
            self._take(symbol, form, at, begin, behind)
            at = behind
        return at

    def _plus(self, symbol: str, at: int, begin: int) -> str | None:
        """Return what a row of "+" at `begin` says of the word that ends at `at`, or None where it is "and".

        Behind a score it is what the score says: only 3 is positive, and 2 equivocal. HER2 that is 1+ is negative; of
        other markers 1+ is neither.
        """
        text, behind = self._text, begin + len(symbol)
        dotted = self._end_of_initials(at)
        gap = _BEFORE_SIGN.fullmatch(text, dotted, begin)
        if gap is None or not self._words.ends or self._words.ends[-1] != at:
            return None
        attached = begin == dotted and not text[behind : behind + 1].isalnum()
        attached = attached or (begin == dotted and _SPACED.match(text, behind) is not None)
        is_alone = self._words.boundaries[-1] != JOINED or self._words.forms[-2:-1] in _SCORE_WORDS
        if is_alone and (score := _SCORED.fullmatch(text, self._words.starts[-1], at)):
            followed = attached or _ENDED.match(text, behind) or (gap[1] and _CLOSED.match(text, behind))
            return self._scored(int(score[1])) if followed else None
        if text[behind : behind + 2] in _EITHER:
            return None
        if gap[1]:
            is_sign = _CLOSED.match(text, behind) is not None or text[behind : behind + 1] in (",", ";")
        elif attached:
            is_sign = True
        else:
            is_sign = self._is_marker(at) and bool(
                (begin > dotted and _ENDED.match(text, behind))
                or _ROW.match(text, behind)
                or text[behind : behind + 2] == "ve"
            )
        if not is_sign:
            return None
        return self._scored(len(symbol)) if len(symbol) > 1 and self._is_her2() else "positive"

    def _is_minus(self, at: int, begin: int) -> bool:
        """Return whether a minus at `begin` says "negative" of the word that ends at `at`."""
        text, behind = self._text, begin + 1
        dotted = self._end_of_initials(at)
        gap = _BEFORE_SIGN.fullmatch(text, dotted, begin)
        if gap is None or not self._words.ends or self._words.ends[-1] != at:
            return False
        if gap[1]:
            return _CLOSED.match(text, behind) is not None
        if not self._is_marker(at):
            return False
        if _ENDED.match(text, behind) or text[behind : behind + 2] == "ve":
            return begin > dotted or text[behind : behind + 1] not in ("\r", "\n")  # a word may be broken there
        form = self._words.forms[-1]
        if begin == dotted and _SPACED.match(text, behind):
            return form in LEXICON.markers or not text[behind + 1 : behind + 2].isalnum()
        return form in LEXICON.receptors and _ROW.match(text, behind) is not None

    def _end_of_initials(self, at: int) -> int:
        """Return where the word that ends at `at` ends with the full stop of "E.R."."""
        text = self._text
        return at + 1 if text[at : at + 1] == "." and text[at - 2 : at - 1] == "." else at

    def _scored(self, score: int) -> str:
        if score >= 3:
            return "positive"
        if score == 2:
            return "equivocal"
        return "negative" if self._is_her2() else f"{score}+"

    def _is_her2(self) -> bool:
        forms = self._words.forms[-_SCORE_REACH - 1 :]
        return "her2" in forms or "erbb2" in forms or ("her", "2") in pairwise(forms)

    def _take(self, surface: str, form: str, at: int, start: int, end: int) -> None:
        """Take a word or symbol; `at` is the end of the one before."""
        text, words = self._text, self._words
        gap = text[at:start]
        boundary = max(self._pending, self._boundary_of(gap, at, surface))
        if (
            form in LEXICON.connectives
            and (form != "a" or surface == "a")
            and not self._is_stage_letter(surface, gap, end)
        ):
            self._pending = max(boundary, SPACED)
            return
        self._pending = boundary
        if form in ("of", "out") and words.forms and words.forms[-1].isdecimal() and _OUT_OF.match(text, start):
            self._pending = max(boundary, SPACED)
            return  # "3 of 12" is "3/12"
        if form == "s" and gap in ("'", "’", "´"):
            return  # genitive
        if surface == "ve" and words.ends and words.ends[-1] == start and words.forms[-1] in LEXICON.polarity:
            words.ends[-1] = end  # "+ve"
            return
        if surface in ("p", "c") and text[end : end + 1] == "." and text[end + 1 : end + 2].isalnum():
            return  # HGVS: "p.V600E" is "V600E"
        if form == "x" and words.forms and _COUNT.match(text, end):
            self._pending = max(boundary, SPACED)
            return  # "x 6" is "x6"
        self._pending = JOINED
        if boundary == JOINED and gap[1:] and words.ends and words.ends[-1] == at:
            # The first part of a word that is broken here is no plural.
            words.forms[-1] = _unfolded(text[words.starts[-1] : at], words.forms[-1])
        if form in _COMPOUND_ENDS and boundary < BROKEN and len(gap) <= 2 and words.forms:
            compound = LEXICON.compounds.get((words.forms[-1], form))
            if compound is not None:
                words.forms[-1], words.ends[-1] = compound, end
                if words.forms[-2:-1] and (first := LEXICON.compounds.get((words.forms[-2], form))):
                    words.forms[-2] = first  # "estrogen and progesterone receptors"
                return
        if gap == "." and boundary == JOINED and words.forms[-1] + form in LEXICON.markers:
            words.forms[-1] += form
            words.ends[-1] = end
            return
        if words.forms[-2:-1] == ["egfr"] and (words.forms[-1], form) in _EXON_19 and boundary < BROKEN:
            words.forms[-1], words.ends[-1] = "exon19deletion", end
            return
        if gap == "/" and surface.isdecimal() and (name := _another_of(words.forms[-1:], surface)):
            form = name  # "BRCA1/2"
        if form in LEXICON.levels and boundary < BROKEN and len(gap) == 1 and words.forms[-1] in LEXICON.leveled:
            form = LEXICON.levels[form]
        if _is_stage(surface) or (_is_numeral(surface) and self._is_stage_around(start, end)):
            words.staged.add(len(words))
            form = arabic(unicodedata.normalize("NFKC", surface).removesuffix(_STAGE_ENDING))
        elif _is_numeral(surface) or form in _DIGITS or (form == "one" and self._label == len(words) - 1):
            form = self._numeral("1" if form == "one" else form, boundary, gap, end)
        elif match := _PREFIXED_STAGE.fullmatch(surface):
            words.staged.add(len(words))
            form = arabic(match[1])
        elif form in _ORDINALS and self._is_labelled_ordinal(gap, end):
            words.staged.add(len(words))
            form = _ORDINALS[form]
        if prefix := _tnm_prefix(surface):
            words.prefixes[len(words)] = prefix
        ordinal = _ORDINALS.get(words.forms[-1]) if form == "stage" and boundary < BROKEN and words.forms else None
        if ordinal and _STAGE_ENDS.match(text, end):
            words.forms[-1] = ordinal
            words.staged.add(len(words) - 1)
        words.append(form, start, end, boundary)
        if form in _LABELS:
            self._label, self._label_is_stage = (
                len(words) - 1,
                form in LEXICON.stage_labels or words.forms[-2:-1] == ["who"],
            )

    def _is_labelled_ordinal(self, gap: str, end: int) -> bool:
        """Return whether an ordinal is a stage: "stage: fourth", but not "stage: second line"."""
        words = self._words
        if not self._label_is_stage or self._label < len(words) - 2:
            return False
        is_said = any(sign in gap for sign in ":=") or words.forms[-1] in ("is", "was")
        return is_said and _ENDED.match(self._text, end) is not None

    def _is_stage_around(self, start: int, end: int) -> bool:
        """Return whether Chinese, Japanese or Korean beside a numeral calls it a stage."""
        text = self._text
        return text[end : end + 1] == _STAGE_BEHIND or (
            (text[start - 1 : start] > "\u3000" or text[start - 2 : start - 1] > "\u3000")
            and _STAGE_BEFORE.search(text, max(start - _STAGE_BEFORE_CHARS, 0), start) is not None
        )

    def _is_stage_letter(self, surface: str, gap: str, end: int) -> bool:
        """Return whether an "a" is that of "stage three a": nothing follows that it could be the article of."""
        if surface != "a" or gap != " " or len(self._words) - 1 not in self._words.staged:
            return False
        return _ENDED.match(self._text, end) is not None

    def _is_marker(self, end: int) -> bool:
        """Return whether a sign may say something of the word that ends at `end`: it is a short one in capitals."""
        surface = self._text[self._words.starts[-1] : end]
        if self._words.forms[-1] in LEXICON.receptors:
            return not surface.islower() or len(surface) > _SIGN_WORD_CHARS  # also "estrogen receptor"
        if self._words.forms[-1] in LEXICON.markers and any(map(str.isdigit, surface)):
            return True  # "p16"
        return len(surface) <= _SIGN_WORD_CHARS and surface.isupper() and not _is_numeral(surface)

    def _boundary_of(self, gap: str, at: int, surface: str) -> int:
        if gap in (" ", ", "):
            return SPACED
        if gap == "." and _is_initial(surface) and _is_initial(self._text[max(at - 2, 0) : at].lstrip(". (")):
            return JOINED  # "E.R."
        if not gap or _HYPHEN_GAP.match(gap) or (surface[0].islower() and _BROKEN_FAR.match(gap)):
            return JOINED
        if _BLANK_LINE.search(gap):
            return BROKEN
        full_stop = _FULL_STOP.match(gap)
        if full_stop and ends_sentence(self._text[max(at - _LAST_WORDS_CHARS, 0) : at], full_stop[1], surface[0]):
            return BROKEN
        return SPACED

    def _numeral(self, form: str, boundary: int, gap: str, end: int) -> str:
        """Return `form` with an Arabic number where a label says that it is a numeral."""
        words, number = self._words, len(self._words)
        if boundary == BROKEN or number - self._label > _LABEL_REACH:
            return form
        if number - 1 in words.staged and "," in gap and not _LISTED.match(self._text, end):
            return form  # "stage II, IV contrast"
        follows = number - self._label == 1 or words.forms[-1] in LEXICON.copulas or number - 1 in words.staged
        if not (follows or gap.endswith("(")) or BROKEN in words.boundaries[self._label + 1 :]:
            return form
        if self._label_is_stage:
            words.staged.add(number)
        return arabic(form)


def _is_initial(surface: str) -> bool:
    return len(surface) == 1 and surface.isupper()


def _another_of(before: list[str], digits: str) -> str | None:
    """Return the marker that a number behind "/" stands for, whose name differs from the one before in its number."""
    if not before or before[0] not in LEXICON.markers:
        return None
    name = before[0].rstrip("0123456789") + digits
    return name if name in LEXICON.markers and name != before[0] else None


def arabic(numeral: str) -> str:
    """Return "IIIb" or "3 B" as "3b"; anything else folded.

    >>> arabic("IIIb")
    '3b'
    """
    match = NUMERAL.fullmatch(numeral.strip())
    if match is None:
        return fold(numeral)
    number = match[1].lower()
    return ROMAN.get(number, number) + (match[2] or "").strip().lower()
