"""Numbers that mean something else with what stands beside them: "49%" of "1-49%", "12" of "3/12", "1%" of "<1%"."""

import re

_REACH = 24  # characters around a number that are looked at
_NUMBER = r"\d+(?:[.,]\d+)?"
# A number by itself, none of a name: not "1" of "PD-L1-50%" or "67" of "Ki-67-20%".
_ALONE = rf"(?<![\w.,])(?<![^\W\d_]-)(?<!\d[-/]){_NUMBER}"
_NO_GENE = r"(?<![A-Z]{2}\s)"  # not "1" of "BRCA 1/2"
_HYPHEN = r"[-\u2010\u2011\u2012\u2013\u2212]"
_BEFORE_SECOND = re.compile(
    rf"(?:{_ALONE}\s?%?(?:{_HYPHEN}|\s\u2013\s|\s+(?:out\s+)?of\s+(?:the\s+)?)"
    rf"|{_NO_GENE}{_ALONE}\s?/\s?"
    rf"|{_ALONE}(?:\+|\s\+\s?)"
    rf"|\bbetween\s+{_NUMBER}\s?%?\s+and\s+)\Z"
)
_BELOW = re.compile(r"(?:<\s?|\b(?:less|lower)\s+than\s+)\Z", re.IGNORECASE)
_FIRST = re.compile(rf"{_ALONE}\Z")
_BEHIND_FIRST = re.compile(rf"\s?%?(?:{_HYPHEN}|\s\u2013\s)\d|(?:\+|\s\+\s?)\d")
_BETWEEN = re.compile(r"\bbetween\s+\Z")
_AND = re.compile(r"\s?%?\s+and\s+\d")
# Dates and times of treatment end in one.
_YEAR = re.compile(r"(?:19|20)\d\d(?!\d)")


def is_part_of_quantity(text: str, start: int, end: int, *, below: bool = False) -> bool:
    """Return whether a span begins or ends with a number that says something else with what stands beside the span.

    "1-49%", "1 \u2013 49%", "between 1 and 49%", "4+3": neither end may stand alone. "3/12", "3 of 12": the second
    may not.

    Args:
        text: the text.
        start: where the span begins.
        end: where it ends.
        below: whether "less than" is asked for, so that a number may have "<" before it.
    """
    return _is_second(text, start, below=below) or _is_first(text, start, end)


def _is_second(text: str, start: int, *, below: bool) -> bool:
    if not text[start].isdigit() or _YEAR.match(text, start):
        return False
    begin = max(start - _REACH, 0)
    if not below and _BELOW.search(text, begin, start):
        return True
    return _BEFORE_SECOND.search(text, begin, start) is not None


def _is_first(text: str, start: int, end: int) -> bool:
    stop = end
    while stop > start and text[stop - 1] in "% ":
        stop -= 1
    if not text[stop - 1].isdigit():
        return False
    number = _FIRST.search(text, max(start, stop - _REACH), stop)
    if number is None or _YEAR.fullmatch(number[0]):
        return False
    if _BEHIND_FIRST.match(text, end):
        return True
    begin = number.start()
    return bool(_BETWEEN.search(text, max(begin - _REACH, 0), begin) and _AND.match(text, end))
