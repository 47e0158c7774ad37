"""When a value counts as right: three rules, from strict to lenient.

- `exact`: the strings are equal, character by character.
- `normalised`: they are equal once both are normalised (`normalise`): Unicode compatibility forms (NFKC), case, white
  space, quotation marks, all kinds of dashes, a dash between letters or digits and a space, a full stop at the end,
  and the words and signs that join the items of a list: ";", "," (but not in "1,200"), and between spaces "and", "&",
  "+", "plus". What stands in brackets keeps its separators.
- `items`: the value is the set of its items (`items`), cut at the same separators and at "then" and "followed by"; each
  expected item that is given is right, each other given item a false positive, each other expected one a false
  negative. The order does not count, nor does a repetition.

Equal under one rule is equal under each later one.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from gateway.grounding.brackets import cut

RULES = ("exact", "normalised", "items")

# Space around it belongs to the separator; several in a row (", and") are one.
_JOINER = re.compile(r"(?:\s*(?:;|,(?!\d))\s*|\s+(?:and|plus|&|\+)\s+)(?:(?:and|plus|&|\+)\s+|[;,]\s*)*")
_SEQUENCE = re.compile(r"(?:\A|\s+)(?:then|followed by)\s+")
_DASH_WITHIN = re.compile(r"(?<=\w)-(?=\w)")
_QUOTES = str.maketrans(dict.fromkeys("‘’‚‛′`´", "'") | dict.fromkeys("“”„‟″", '"'))
_SEPARATOR = "; "


@lru_cache(maxsize=65536)
def normalise(value: str) -> str:
    """Return a value as the rule `normalised` compares it.

    >>> normalise("Nivolumab + Ipilimumab,  and  PD\u2011L1.")
    'nivolumab; ipilimumab; pd l1'
    """
    plain = unicodedata.normalize("NFKC", value).translate(_QUOTES)
    plain = "".join("-" if c == "\u2212" or unicodedata.category(c) == "Pd" else c for c in plain)
    # Case folding can undo the composition, so it is made again.
    plain = " ".join(unicodedata.normalize("NFKC", plain.casefold()).split())
    plain = _DASH_WITHIN.sub(" ", plain).rstrip(".").strip()
    return _with_one_separator(plain)


@lru_cache(maxsize=65536)
def items(value: str) -> frozenset[str]:
    """Return the items of a value, normalised; a value that is nothing but separators is one item.

    >>> sorted(items("brain, bone and liver (segments II and IV)"))
    ['bone', 'brain', 'liver (segments ii and iv)']
    """
    whole = normalise(value)
    parts = (part.strip() for item in whole.split(_SEPARATOR) for part in cut(item, _SEQUENCE))
    return frozenset(part for part in parts if part) or frozenset({whole})


def _with_one_separator(value: str) -> str:
    parts = (part.strip() for part in cut(value, _JOINER))
    return _SEPARATOR.join(part for part in parts if part) or value
