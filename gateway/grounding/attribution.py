"""What a note says of another person, or as a mere possibility.

"Her mother had breast cancer", "melanoma (sister)", "docetaxel would be an option".
"""

import re
from collections.abc import Callable, Collection

from gateway.grounding.lexicon import LEXICON

_BEFORE_CHARS = 100
_BEHIND_CHARS = 60


def _any(words: Collection[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_RELATIVE = rf"(?<!old\s)\b(?:{_any(LEXICON.relatives)})\b(?!\s+(?:donor|mary))"
_WHOSE = (
    r"(?:(?:her|his|their|the|an?|one|two|three|both|patient['’]s|maternal|paternal|first|second|degree|half|great|older"
    r"|younger|elder)[\s-]+)"
)
_FILLER = (
    r"(?:being|also|both|all|reportedly|was|were|is|had|has|have|been|being|previously|recently|later|apparently)\s+"
)
_HAS = _any(LEXICON.relatives_have)
_HISTORY = r"\b(?:family\s+(?:medical\s+|cancer\s+)?(?:history|hx)|fam\.?\s+h(?:x|istory)|fhx?|familial\s+history)\b"
_ABOUT_RELATIVE = re.compile(
    rf"(?:{_HISTORY}|{_RELATIVE}(?:\s*,?\s*(?:and|or|&|/)\s*{_WHOSE}{{0,2}}(?:{_any(LEXICON.relatives)})\b)*"
    rf"(?:\s*\([^()\n]{{0,30}}\)|,[^,.;\n]{{0,30}},)?(?:\s*[:–—-]\s|\s+(?:{_FILLER}){{0,3}}(?:{_HAS})\b))"
    r"(?P<between>[^.;\n]*)\Z",
    re.IGNORECASE,
)
_ABOUT_PATIENT = re.compile(
    r"\b(?:patient|pt|she|he|her\s+own|his\s+own|herself|himself|index|proband|i|but|however)\b", re.IGNORECASE
)
_OF_RELATIVE = re.compile(
    r"\s*(?:at\s+(?:the\s+)?(?:age\s+(?:of\s+)?)?\d{1,3}\s*|\d{1,3}\s*)?(?:[(\[]\s*|(?:runs?\s+|is\s+(?:common|known|prevalent)\s+)?in\s+"
    r"|(?:[^\W\d_]+\s+){0,5}?(?:(?:biopsy|tumou?r|case|history|diagnosis|specimen|sample)\s+)?of\s+)"
    rf"{_WHOSE}{{0,4}}(?:{_any(LEXICON.relatives | {'family'})})\b(?=\s*(?:[),.;:/&]|and\b|or\b|at\b|aged?\b|\d|\Z))",
    re.IGNORECASE,
)
_ARTICLES = (
    r"(?:(?:an?|the|with|adding|starting|changing|switching|to|of|for|further|possible|second-line|third-line)\s+){0,3}"
)
_MAYBE_BEFORE = re.compile(
    r"(?:(?:(?:\A|[.;:\n,(]\s*|\b(?:would|could|might|will|should|then|to|please|can|we)\s+)consider(?:ation\s+of)?"
    r"|\b(?:would|could|might)\s+(?:then\s+|also\s+)?(?:discuss|offer|start|give|add|use|try|recommend|favou?r|suggest|switch\s+to))"
    rf"\s+{_ARTICLES}"
    r"|\b(?:if|in\s+case\s+of|in\s+the\s+event\s+of)\b[^.;:\n]{0,60}:\s*"
    r"|\b(?:if|in\s+case\s+of|in\s+the\s+event\s+of)\b[^.;\n]{0,70}?,\s*(?:(?:we|then|will|would|plan|to|can|could|may)\s+){0,3}"
    r"(?:start|give|switch|add|use|offer|try|proceed|consider|change|move|treat|discuss)\s+(?:(?:to|with|an?|the)\s+){0,2})\Z",
    re.IGNORECASE,
)
_MAYBE_BEHIND = re.compile(
    r"(?:\s+|(?=,\s*if\b))(?:(?:would|could|might|may)\s+(?:then\s+|also\s+)?(?:be|remain|become)\s+(?:then\s+|also\s+)?"
    r"(?:(?:an?|the|our|her|his)\s+)?(?:(?:next|possible|reasonable|alternative|good|further|later|treatment|therapeutic)\s+)*"
    r"(?:options?|choice|considered|offered|given|used|tried|discussed|added|started|next|needed|required|appropriate|possible"
    r"|possibility|reasonable|indicated|preferred|alternative|step|line)\b"
    r"|(?:is|are|remains?)\s+(?:only\s+)?(?:an?\s+)?(?:(?:future|possible|later|further|alternative|reserve)\s+)*(?:options?|possibility|next\s+(?:step|line|choice))\b"
    r"|,?\s*(?:only\s+)?(?:if|should)\s+(?:she|he|the|disease|there|it|progress\w*|relaps\w+|recur\w*|needed|required|tolerated"
    r"|symptomatic|positive|approved|available|eligible|covered)\b)",
    re.IGNORECASE,
)
# What each of these patterns holds: most text has none of them, and they are looked for in a fraction of the time.
_HINTS = tuple(
    sorted(
        {word[:5] for word in LEXICON.relatives}
        | {
            "famil",
            "fam",
            "fh",
            "if ",
            "if\n",
            "shoul",
            "consi",
            "would",
            "could",
            "might",
            "may",
            "optio",
            "possi",
            "case",
            "event",
        }
    )
)


def is_of_another(text: str, start: int, end: int, forms: Callable[[], Collection[str]]) -> bool:
    """Return whether `text[start:end]` is said of a relative of the patient, or as something that may come to be.

    Args:
        text: the text.
        start: where the words begin.
        end: where they end.
        forms: gives the value's; one that names a relative or the family may be said of them.
    """
    before, behind = text[max(start - _BEFORE_CHARS, 0) : start], text[end : end + _BEHIND_CHARS]
    if not _may_hold(f"{before}\n{behind}".lower()):
        return False
    if _MAYBE_BEFORE.search(before) or _MAYBE_BEHIND.match(behind):
        return True
    about = _ABOUT_RELATIVE.search(before)
    is_relative = (about is not None and _ABOUT_PATIENT.search(about["between"]) is None) or _OF_RELATIVE.match(behind)
    return bool(is_relative) and (LEXICON.relatives | {"family"}).isdisjoint(forms())


def _may_hold(window: str) -> bool:
    return any(hint in window for hint in _HINTS)
