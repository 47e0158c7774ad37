"""Words that turn a finding round: opposites, prefixes, and what a note says around the words that it denies.

The words are in `lexicon.yaml`. The method for denials is that of NegEx: a trigger, the few words that it reaches, and
words that end its reach (Chapman et al., "A simple algorithm for identifying negated findings and diseases in discharge
summaries", J. Biomed. Inform. 34, 2001).
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator

from gateway.grounding.attribution import is_of_another
from gateway.grounding.lexicon import LEXICON

OPPOSITES = LEXICON.opposites_of()
SAME_SIDE = LEXICON.variants_of()

_PREFIXES = LEXICON.hyphened_prefixes | LEXICON.other_prefixes
_SUFFIXES = LEXICON.suffixes | {""}
MIN_STEM = 4
"""Least letters that two inflections of a word share."""

_BEFORE_CHARS = 100
_LINE_CHARS = 120  # of a line of a form
_EMPTY_BOX = re.compile(r"\[\s?\]|[\u2610\u25a1\u2b1c]")
_BOX = re.compile(rf"{_EMPTY_BOX.pattern}|\[[xX\u2713\u2714]\]|[\u2611\u2612\u2705]")
_AFTER_CHARS = 120
_REACH = 6  # words
_MOST_PLACES = 50  # of a word in a text that are looked at
_HYPHEN_CHARS = frozenset("-\u200b\u200c\u200d\u2060\u00ad\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d")
_CLOSING = frozenset(")]")
_BEFORE_DENIED = frozenset(" \t\r\n\xa0:([=?,-—→\u2010\u2011\u2013\u2212")
_HYPHENS = r"\-\u00ad\u2010-\u2013\u2212\ufe63\uff0d"


def _any(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


def _any_phrase(phrases: Iterable[tuple[str, ...]]) -> str:
    return "|".join(r"\s+".join(map(re.escape, phrase)) for phrase in sorted(phrases, key=len, reverse=True))


_PREFIX_CHARS = 12  # holds a prefix with what stands around it
_PREFIX_ENDS = tuple(LEXICON.hyphened_prefixes)
_UNSPACED_BEFORE = re.compile(rf"(?:{_any(LEXICON.unspaced_denials)})\Z")
_UNSPACED_AFTER = re.compile(
    rf"\s?\w?\s?(?:(?:{_any(LEXICON.unspaced_fillers)})\s?)?(?:{_any(LEXICON.unspaced_denied)})"
)
_TOKEN = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*|\n\s*|[^\w\s]")
_FIRST_WORDS = {phrase[0] for phrase in LEXICON.denials | LEXICON.denied_headings} | {"0", "negative"}
_HINT = re.compile(rf"\b(?:{_any(_FIRST_WORDS)})\b|n['’]t\b")
# What each of them begins with: most text has none, and it is looked for in a fraction of the time.
_HINT_STARTS = tuple(
    sorted(
        {word[:5] for word in _FIRST_WORDS if word[:2] != "no" and len(word) > 1}
        | {"no", "n't", "n’t", "0 ", "0/", "r/o", "w/o"}
    )
)
_MINUS_SIGN = rf"[(\[]\s?[{_HYPHENS}⁻]\s?[)\]]"
# A sign before what it is about; behind another finding it would be about that.
_SIGN_BEFORE = re.compile(rf"(?:\A|[\n.;,•]\s*)\s*{_MINUS_SIGN}\s*(?:for\s+)?\Z")
# How an insertion between two commas begins that leaves the sentence as it is: "no sign of, or concern for, relapse".
# What stands directly before a finding that was not reached: "less than partial response", "short of a remission".
_NOT_REACHED = re.compile(
    r"\b(?:(?:less|lesser|worse|fewer|lower|other)\s+than|short\s+of|instead\s+of|not\s+reach\w*|nowhere\s+near|far\s+from|almost|nearly)\s+(?:(?:an?|the)\s+)?\Z",
    re.IGNORECASE,
)
_NOT_REACHED_CHARS = 24
_PROPOSED_CHARS = 32
_INSERTS = frozenset(("or", "nor", "but", "hence", "thus", "so"))
_LIST_GOES_ON = re.compile(r"\w+(?:,\s*\w+)*,?\s+and\s", re.IGNORECASE)
_STOPS = frozenset(".;:!?()[]•*=–—-")
_TRIGGERS: dict[str, list[tuple[str, ...]]] = {}
for _phrase in LEXICON.denials:
    _TRIGGERS.setdefault(_phrase[0], []).append(_phrase[1:])
# What stands behind "no longer" where it denies: "no longer resectable", "no longer any metastases".
_NO_LONGER: tuple[list[str], ...] = ([], ["in"], ["a"], ["any"], ["has"], ["have"], ["shows"], ["show"], ["with"])
_GOES_ON = re.compile(r"[^.;:\n]*?\b(?:or|nor)\b", re.IGNORECASE)
_IS_NOT = r"(?:not|never|cannot|no\s+longer|(?:is|are|was|were|has|have|had|could|did|do|does|ca)n['’]t)"
_FREED_OF = r"(?:metasta|lesion|nodule|deposit|involve)\w*|disease|mets|spread"
# "Olaparib was discussed; she refused": what a later part or sentence says of the same thing.
_REFUSAL = (
    r"\s*[.;,:—–-]?\s*(?:(?:but|however|yet|though|although|and)\b,?\s+)?"
    r"(?:(?:she|he|they|the|this|that|it|patient|pt|mrs?|ms|\w+ly|then|again|family|has|had|was|were|is|later)\b[.,]?\s+){0,4}"
    rf"(?:(?:{_any(LEXICON.refused)})\b(?!\s+(?:to\s+(?:proceed|start|receive|have|take|accept|go)|it\b|for\s+it|this))"
    r"|(?:did\s+not|didn['’]t|does\s+not|would\s+not|wouldn['’]t|never)\s+"
    r"(?:want|wish|accept|agree|consent|proceed|start|receive|take|pursue|happen|materiali[sz]e|opt)\b"
    r"|(?:was|were)\s+(?:not|never)\s+(?:given|started|received|administered|done|performed|pursued)\b"
    r"|(?:not|never)\s+(?:given|started|received|done)\b"
    r"|(?:would\s+(?:rather|prefer)|prefers?|wants?\s+to\s+(?:wait|think)|wished\s+to\s+wait|said\s+no|says\s+no|not\s+interested|no\s+interest|did\s+not\s+approve)\b"
    r"|(?:(?:her|his|the)\s+)?(?:insurance|insurer|payer)\s+(?:has\s+)?(?:denied|rejected|refused|declined)\b"
    r"|(?:unwilling|not\s+willing|reluctant|no\s+consent|against\s+it)\b)"
)
_REFUSED_LATER = (
    r"\s*(?:,?\s*(?:(?:is|was|were|had|has|have|been|also|again|then|\w+ly)\s+)+|[(:,]\s*)"
    rf"(?:{_any(LEXICON.proposed)})\b[^.;,:\n—]{{0,40}}{_REFUSAL}"
)
_PROPOSED_BEFORE = re.compile(
    rf"\b(?:{_any(LEXICON.proposed)}|(?:talked|spoke)\s+about)\s+(?:(?:an?|the|her|him|them|with)\s+){{0,2}}\Z",
    re.IGNORECASE,
)
_REFUSED_BEHIND = re.compile(_REFUSAL, re.IGNORECASE)
_NEVER = r"(?:given|received|administered|started|used|taken)\b(?!\s+again)"
# "Liver and spleen are normal": what is said of both.
_AND_OTHERS = r"(?:(?:,\s*[^\W\d_]+){0,3}\s*,?\s*(?:and|or|&)\s+[^\W\d_]+(?=\s+(?:are|were|both)\b))?"
_NOTHING = (
    r"(?:(?:any|focal|suspicious|pathological|abnormal|obvious|visible|metastatic|malignant)\s+){0,2}"
    r"(?:metasta\w+|mets|lesions?|abnormal\w*|uptake|involvement|nodules?|deposits?|spread)\b(?!\s+(?:in|of|elsewhere|outside|beyond)\b)"
)
_DENIED_AFTER = re.compile(
    rf"{_AND_OTHERS}\s*(?:[:(=→]|->)?\s*(?:(?:{_any(LEXICON.denied_fillers)})\b\s*[:(=]?\s*){{0,4}}"
    rf"(?:{_IS_NOT}\s+(?:(?:been|be|currently|yet|clearly|an|a|felt|deemed)\s+)*(?:{_any(LEXICON.not_done)})\b"
    rf"|(?:(?:is|are|was|were|been|be)\s+|(?<=[:=]\s))(?:{_any_phrase(LEXICON.denied_done)})\b"
    rf"|(?P<alone>{_any_phrase(LEXICON.denied)})\b(?!\s+(?:for|margins?|cell)\b))"
    rf"|,?\s+(?:which|that)\s+(?:(?:is|are|was|were|has|have|had|been|could|did)\s+)*{_IS_NOT}\s+(?:(?:been|be)\s+)*(?:{_any(LEXICON.not_done)})\b"
    rf"|{_REFUSED_LATER}"
    rf"|\s*[:(—]\s*(?:the\s+)?(?:patient|pt|she|he)\s+(?:has\s+)?(?:refused|declined|refuses|declines|rejected)\b"
    rf"|\s*(?:[:(—]|[{_HYPHENS}]\s)\s*(?:[^\W\d_]+[\s,;]+){{1,4}}{_IS_NOT}\s+(?:(?:been|be)\s+)*{_NEVER}"
    rf"|\s*(?:[:(—]|[{_HYPHENS}]\s|(?:was|is|on|held|withheld|deferred|postponed|planned|delayed)\s)[^.;\n]{{0,50}},\s*(?:and\s+|but\s+)?never\s+{_NEVER}"
    rf"|\s*\([^()\n]{{1,30}}\)\s*(?:was|were)?\s*(?:not|never)\s+{_NEVER}"
    rf"|{_AND_OTHERS}\s+(?:(?:{_any(LEXICON.denied_fillers)})\s+){{0,2}}(?:without|(?:shows?|showed|with|has|have|had|demonstrate[ds]?)\s+no)\s+{_NOTHING}"
    r"|\s+(?:(?:lesions?|nodules?|mass(?:es)?|foc(?:us|i)|lump|one|it)\s+)?(?:(?:is|was|are|were)\s+)?"
    r"(?:(?:proved|proven|turned\s+out|found|confirmed|shown|thought|felt|likely|most)\s+)*(?:(?:to\s+be|as|consistent\s+with|likely)\s+)?"
    rf"(?:an?\s+)?(?:(?:simple|probable|known|old)\s+)?(?P<harmless>{_any(LEXICON.harmless)})\b"
    rf"|\s+(?:(?:is|are|was|were|appears?|remains?)\s+)*free\s+(?:of|from)\s+(?:any\s+|all\s+)?(?:{_FREED_OF})\b"
    rf"|\s*,?\s*(?:(?:is|was|were|had|has|have|been)\s+)+(?:{_any(LEXICON.proposed)})(?:\s+for)?\b\s*,?\s*(?:but|however|and)\b,?\s+"
    rf"(?:(?:was|were|is|has|had|been|she|he|they|the|patient)\s+)*(?:{_IS_NOT}\s+(?:(?:been|be)\s+)*(?:{_any(LEXICON.not_done)})"
    rf"|{_any_phrase(LEXICON.denied_done)}|{_any_phrase(LEXICON.denied)})\b"
    rf"|\s*(?:[:=?,(]|->|→|[{_HYPHENS}—]\s)\s*(?:no|none|nil|absent)\b\s*(?:[.,;)\n]|\Z)"
    rf"|\s*(?:—|[{_HYPHENS}]\s)\s*{_IS_NOT}\s+(?:{_any(LEXICON.not_done)})\b"
    r"|\s*[:=?]\s*n\s*(?:[.,;)\n]|\Z)"
    r"|\s*[:=]\s*(?P<count>0)\s*(?:[.,;)\n](?!\d)|\Z)"
    rf"|(?P<suffix>[{_HYPHENS}]\s?(?:{_any(LEXICON.denied_suffixes)})\b|\s+free\b(?!\s+(?:of|from|air|fluid|flap)\b))"
    rf"|\s?[:=]?\s?(?P<sign>{_MINUS_SIGN})"
)


def is_inflection(one: str, other: str) -> bool:
    """Return whether two forms share a stem of four letters or more and end in `suffixes`."""
    shared = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        shared += 1
    for stem in range(shared, max(MIN_STEM, shared - 3) - 1, -1):
        endings = {one[stem:], other[stem:]}
        if endings <= _SUFFIXES and not ("" in endings and endings & LEXICON.not_added):
            return True
    return False


def has_reversed(form: str, vocabulary: str) -> bool:
    """Return whether a text holds a word that a prefix makes another than `form`: "unresectable" for "resectable".

    Args:
        form: a word's form.
        vocabulary: the text's words in lower case, each between line ends.
    """
    if len(form) < MIN_STEM or not form.isalpha():
        return False
    for prefix, rest in _splits(form):
        core = rest[: max(len(rest) - 2, MIN_STEM)]
        at = vocabulary.find(core)
        for _ in range(_MOST_PLACES):
            if at < 0:
                break
            start, end = vocabulary.rfind("\n", 0, at) + 1, vocabulary.find("\n", at)
            other = vocabulary[start:at]
            if other != prefix and (not other or other in _PREFIXES):
                word = vocabulary[at:end]
                if word == rest or is_inflection(word, rest):
                    return True
            at = vocabulary.find(core, end)
    return False


def _splits(form: str) -> Iterator[tuple[str, str]]:
    """Yield a word as it is, and without each prefix that it may have."""
    yield "", form
    for length in range(1, min(7, len(form) - MIN_STEM + 1)):
        if form[:length] in _PREFIXES:
            yield form[:length], form[length:]


def is_denied(text: str, start: int, end: int, forms: Callable[[], Collection[str]]) -> bool:
    """Return whether a text denies what it says at `text[start:end]`, or a prefix makes another word of it.

    Args:
        text: the text.
        start: where the words begin.
        end: where they end.
        forms: gives the value's. It is called only where there may be a denial. What denies by itself, as "HER2
            negative" does, is not denied by the words around it; a bare marker has no result that could deny it.
    """
    if _has_prefix(text, start) or _is_unticked(text, start, end):
        return True
    if max(text[start - 1 : start], text[start], text[end : end + 1]) > "\u1100" and (
        _UNSPACED_BEFORE.search(text[max(start - 4, 0) : start]) or _UNSPACED_AFTER.match(text, end)
    ):
        return True
    window = text[max(start - _BEFORE_CHARS, 0) : start]
    if window and window[-1] in ")] r" and _SIGN_BEFORE.search(window) and LEXICON.negations.isdisjoint(forms()):
        return True
    if not text[start].isdigit() and _NOT_REACHED.search(window[-_NOT_REACHED_CHARS:]):
        return True
    if _PROPOSED_BEFORE.search(window[-_PROPOSED_CHARS:]) and _REFUSED_BEHIND.match(text, end):
        return True
    if is_of_another(text, start, end, forms):
        return True
    if _may_hold_denial(window.lower()) and (
        LEXICON.negations.isdisjoint(forms())
        and _denied_before(window, text[start : end + _AFTER_CHARS], end - start, forms())
    ):
        return True
    if text[end : end + 1] in _CLOSING:
        end += 1  # "del(17p) not detected"
    if text[end : end + 1] not in _BEFORE_DENIED:
        return False
    match = _DENIED_AFTER.match(text[end : end + _AFTER_CHARS].lower())
    return match is not None and LEXICON.negations.isdisjoint(forms()) and _denies(match, forms())


def _may_hold_denial(window: str) -> bool:
    for start in _HINT_STARTS:  # not `any`: this runs for every place of every value
        if start in window:
            return _HINT.search(window) is not None
    return False


def _denies(match: re.Match[str], forms: Collection[str]) -> bool:
    """Return whether what stands behind a finding denies it."""
    if match["harmless"]:
        # "The lung nodule was a granuloma", but not "lung infection" of itself.
        return (
            re.search(r"\b(?:is|was|are|were|be|proved|with)\b", match[0]) is not None
            and match["harmless"] not in forms
        )
    if not (match["alone"] or match["sign"] or match["suffix"] or match["count"]):
        return True
    words = (match["alone"] or match["suffix"] or "").replace("-", " ").split()
    return not LEXICON.markers.issuperset(forms) and set(words).isdisjoint(forms)


def _has_prefix(text: str, start: int) -> bool:
    """Return whether a prefix stands before a word, with a hyphen or a space: "non-small", "non small"."""
    before = text[start - 1 : start]
    if not before.isspace() and before not in _HYPHEN_CHARS:
        return False
    lead = text[max(start - _PREFIX_CHARS, 0) : start].lower().rstrip()
    is_hyphened = lead[-1:] in _HYPHEN_CHARS
    if is_hyphened:
        lead = lead[:-1]
    if not lead.endswith(_PREFIX_ENDS):
        return False
    word = lead
    while word and not word.isalpha():
        word = word[1:]
    return word in (LEXICON.hyphened_prefixes if is_hyphened else LEXICON.spaced_prefixes)


def _is_unticked(text: str, start: int, end: int) -> bool:
    """Return whether words belong to an empty box of a form: "[ ] liver", or "liver [ ]" where boxes stand behind."""
    before, behind = text[max(start - _LINE_CHARS, 0) : start], text[end : end + _LINE_CHARS]
    if _EMPTY_BOX.search(before) is None and _EMPTY_BOX.search(behind) is None:
        return False
    before, behind = before.rpartition("\n")[2], behind.partition("\n")[0]
    first = _BOX.search(before)
    boxes = list(_BOX.finditer(before))[-1:]
    if not boxes or not first or not _leads_items(before, first):
        boxes = list(_BOX.finditer(behind))[:1]
    return bool(boxes) and _EMPTY_BOX.fullmatch(boxes[0][0]) is not None


def _leads_items(line: str, box: re.Match[str]) -> bool:
    """Return whether boxes stand before their items: the line, or what it is about, begins with one.

    "Metastases: [x] bone [ ] brain", but not "bone: [x] brain: [ ]".
    """
    if not any(map(str.isalnum, line[: box.start()])):
        return True
    return line[: box.start()].rstrip().endswith(":") and not line[box.end() :].partition("[")[0].rstrip().endswith(":")


def _denied_before(window: str, behind: str, length: int, forms: Collection[str]) -> bool:
    """Return whether a denial before words reaches them.

    Args:
        window: what stands before them.
        behind: they themselves and what stands behind.
        length: theirs, in code points.
        forms: the value's.
    """
    surfaces = _TOKEN.findall(window)
    tokens = [surface.lower() for surface in surfaces]
    reached = 0
    for index in range(len(tokens) - 1, -1, -1):
        token = tokens[index]
        if _is_trigger(tokens, index, forms):
            return True
        if token[0] == "\n":
            # A line that is wrapped goes on in lower case.
            following = (surfaces[index + 1 : index + 2] or [behind])[0]
            goes_on = token.count("\n") == 1 and following[:1].islower()
            if not goes_on and not (index and _is_trigger(tokens, index - 1, forms)):
                return False
        elif token == ":":  # noqa: S105 - a colon
            return _ends_with_any(tokens[:index], LEXICON.denied_headings)
        elif token == ",":  # noqa: S105 - a comma
            if not (
                _GOES_ON.match(" ".join(tokens[index + 1 :]) + behind[length:])
                or _ends_insertion(tokens, index)
                or _denies_list(tokens, index, behind, forms)
            ):
                return False
        elif tokens[index - 1 : index + 1] == ["neg", "."] or (
            token == "longer" and tokens[index + 1 : index + 2] in _NO_LONGER  # noqa: S105
        ):
            continue
        elif token in _STOPS or token in LEXICON.denial_takes:
            return False
        elif token in LEXICON.denial_ends and not (index and _is_plain_denial(tokens[index - 1])):
            if _ends_with_any(tokens[: index + 1], LEXICON.denials):
                return True
            if _denies_list(tokens, index, behind, forms) or _is_negative_examination(tokens, index):
                return LEXICON.negations.isdisjoint(forms)
            links = LEXICON.denial_links.get(token)
            if not links or index == 0 or tokens[index - 1] not in links:
                return False
        elif token[0].isalnum():
            reached += 1
            if reached > _REACH:
                return False
    return False


def _ends_insertion(tokens: list[str], index: int) -> bool:
    """Return whether a comma is the second of two: "evidence for, or suspicion of, metastases"."""
    for first in range(index - 1, max(index - _REACH, 0), -1):
        if tokens[first] == ",":
            return tokens[first + 1] in _INSERTS or tokens[first + 1].endswith("ly")
        if not tokens[first][0].isalnum():
            return False
    return False


def _denies_list(tokens: list[str], index: int, behind: str, forms: Collection[str]) -> bool:
    """Return whether a denial reaches over a list of markers: "negative for EGFR, ALK, and ROS1 fusions"."""
    is_list = "and" in tokens[index : index + 2] or _LIST_GOES_ON.match(behind)
    if not is_list or not LEXICON.polarity.isdisjoint(forms):
        return False
    at = index - 1
    while at > 0 and (tokens[at] in LEXICON.markers or tokens[at] in (",", "/", "and", "or")):
        at -= 1
    return at < index - 1 and (_is_trigger(tokens, at, forms) or (at > 0 and _is_trigger(tokens, at - 1, forms)))


def _is_negative_examination(tokens: list[str], index: int) -> bool:
    """Return whether a token is the "for" of "negative bone scan for" or "neg. for"."""
    if tokens[index] != "for":
        return False
    at = index - 1
    while at > 0 and (tokens[at] in LEXICON.examinations or tokens[at] in (".", "-")):
        at -= 1
    return at >= 0 and (tokens[at] in ("negative", "neg") or tokens[at].endswith("-negative"))


def _ends_with_any(tokens: list[str], phrases: Iterable[tuple[str, ...]]) -> bool:
    return any(tuple(tokens[-len(phrase) :]) == phrase for phrase in phrases)


def _is_plain_denial(token: str) -> bool:
    """Return whether a word denies the verb or preposition behind it too: "not given", "never received"."""
    return token in ("not", "never", "without") or token.endswith(("n't", "n’t"))


def _is_trigger(tokens: list[str], index: int, forms: Collection[str]) -> bool:
    token = tokens[index]
    if _is_plain_denial(token) and token not in forms:
        return True
    if token == "0":  # noqa: S105 - a number
        return _opens(tokens, index) and token not in forms
    if token == "negative" and index == len(tokens) - 1 and _opens(tokens, index):  # noqa: S105 - a result
        # "negative EGFR mutation status", but not "negative breast cancer" nor "ALK negative EGFR mutation".
        return next(iter(forms), "") in LEXICON.markers and not LEXICON.markers.issuperset(forms)
    phrases = _TRIGGERS.get(token)
    if not phrases or token in forms:
        return False
    return any(tuple(tokens[index + 1 : index + 1 + len(rest)]) == rest for rest in phrases)


def _opens(tokens: list[str], index: int) -> bool:
    """Return whether a token begins a statement: "with 0 metastases", but not "on day 0 metastases were seen"."""
    if index == 0 or tokens[index - 1] in LEXICON.statement_openers:
        return True
    is_in_number = index > 1 and tokens[index - 2].isdigit() and tokens[index - 1] in (".", ",", "/", ":", "-")
    return not tokens[index - 1][0].isalnum() and not is_in_number
