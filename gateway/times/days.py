"""Days: "tomorrow", "next Friday", "the 31st", "4 December", "in two weeks"."""

import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from gateway.times.vocabulary import COUNT, MONTH, MONTHS, PART, WEEKDAY, WEEKDAYS, number

_DAY = timedelta(days=1)
_NEAR = {"today": 0, "tomorrow": 1, "yesterday": -1, "day after tomorrow": 2, "day before yesterday": -2}
_NUMBER = r"(?P<number>[0-9]{1,2})(?:st|nd|rd|th)?"
_WITH_PART = re.compile(rf"(?P<day>.+?)(?: in the)? (?P<part>{PART})")
# 29 February comes after eight years at the latest.
_YEARS = 9


@dataclass(frozen=True, slots=True)
class Day:
    """The dates that a day may mean: none where there is no such day. `part` is the part of the day that was said."""

    dates: frozenset[date]
    part: str | None = None


def read_day(words: str, today: date) -> Day | None:
    """Read a day from normal words.

    Args:
        words: the words, without a time of day.
        today: the day that they were said on.

    Returns:
        The day, or None where the words are none.

    Raises:
        OverflowError: the day is outside the years 1 to 9999.
    """
    words = words.removeprefix("on ")
    if words == "tonight":
        return Day(frozenset({today}), "night")
    match = _WITH_PART.fullmatch(words)
    if match is not None:
        dates = _dates("today" if match["day"] == "this" else match["day"], today)
        return None if dates is None else Day(dates, match["part"])
    dates = _dates(words, today)
    return None if dates is None else Day(dates)


def _dates(words: str, today: date) -> frozenset[date] | None:
    for form, read in _FORMS:
        match = form.fullmatch(words)
        if match is not None:
            found = read(match, today)
            return None if found is None else frozenset(found)
    return None


def _near(match: re.Match[str], today: date) -> Iterable[date]:
    return {today + _DAY * _NEAR[match["near"]]}


def _weekday(match: re.Match[str], today: date) -> Iterable[date]:
    """Return the dates that people mean by a day of the week; of "next Friday", which they do not agree on, all."""
    weekday = WEEKDAYS[match["weekday"]]
    ahead = today + _DAY * ((weekday - today.weekday()) % 7)
    match match["which"]:
        case None:
            return {ahead, ahead + 7 * _DAY} if ahead == today else {ahead}
        case "coming":
            return {ahead if ahead > today else ahead + 7 * _DAY}
        case "this":
            return {ahead, *(day for day in _in_week(weekday, today) if day >= today)}
        case "next":
            return {ahead if ahead > today else ahead + 7 * _DAY, *_in_week(weekday, today + 7 * _DAY)}
        case _:
            return {ahead - 7 * _DAY, *_in_week(weekday, today - 7 * _DAY)}


def _weekday_of_week(match: re.Match[str], today: date) -> Iterable[date]:
    weeks = {"this": 0, "next": 1, "last": -1}[match["which"]]
    return _in_week(WEEKDAYS[match["weekday"]], today + weeks * 7 * _DAY)


def _in_week(weekday: int, day: date) -> Iterator[date]:
    """Yield the day of the week in the week of `day`: once by weeks that begin on Monday, once by those on Sunday."""
    yield day - day.weekday() * _DAY + weekday * _DAY
    yield day - (day.weekday() + 1) % 7 * _DAY + (weekday + 1) % 7 * _DAY


def _written(match: re.Match[str], today: date) -> Iterable[date]:
    return _valid(int(match["year"]), int(match["month"]), int(match["number"]))


def _slashes(match: re.Match[str], today: date) -> Iterable[date]:
    """Return the dates of numbers whose order is the day first in some countries and the month first in others."""
    first, second = int(match["first"]), int(match["second"])
    if match["year"]:
        return {*_valid(int(match["year"]), second, first), *_valid(int(match["year"]), first, second)}
    return {*_to_come(second, first, today), *_to_come(first, second, today)}


def _of_month(match: re.Match[str], today: date) -> Iterable[date]:
    month, day = MONTHS[match["month"]], int(match["number"])
    dates = _valid(int(match["year"]), month, day) if match["year"] else _to_come(month, day, today)
    return _on_weekday(match, dates)


def _number(match: re.Match[str], today: date) -> Iterable[date]:
    """Return the next day with a number, whichever month has it; and today too, where it has the number."""
    day = int(match["number"])
    if match["which"]:
        month = _plus_months(today.replace(day=1), 1 if match["which"] == "next" else 0)
        return _on_weekday(match, (date_ for first in month for date_ in _valid(first.year, first.month, day)))
    found: list[date] = []
    for months in range(3):  # no two months in a row are short
        for first in _plus_months(today.replace(day=1), months):
            found += (each for each in _valid(first.year, first.month, day) if each >= today)
    return _on_weekday(match, found[:2] if found[:1] == [today] else found[:1])


def _on_weekday(match: re.Match[str], dates: Iterable[date]) -> Iterable[date]:
    weekday = match["weekday"]
    return [day for day in dates if weekday is None or day.weekday() == WEEKDAYS[weekday]]


def _shifted(match: re.Match[str], today: date) -> Iterable[date] | None:
    said = match.groupdict()
    anchor = said.get("anchor") or "now"
    anchors = frozenset({today}) if anchor == "now" else _dates(anchor, today)
    if anchors is None:
        return None
    count = number(match["count"]) * (-1 if said.get("ago") else 1)
    match match["unit"]:
        case "day":
            return {anchor + count * _DAY for anchor in anchors}
        case "week":
            return {anchor + 7 * count * _DAY for anchor in anchors}
        case "fortnight":
            return {anchor + 14 * count * _DAY for anchor in anchors}
        case unit:
            months = count * (12 if unit == "year" else 1)
            return {day for anchor in anchors for day in _plus_months(anchor, months)}


def _plus_months(day: date, months: int) -> Iterator[date]:
    """Yield the day with the same number some months later, if that month has it."""
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    if not date.min.year <= year <= date.max.year:
        raise OverflowError("the day is outside the years 1 to 9999")
    yield from _valid(year, month + 1, day.day)


def _to_come(month: int, day: int, today: date) -> list[date]:
    """Return the next date with this month and day, today included; none where no year has it."""
    dates = (each for year in range(today.year, today.year + _YEARS) for each in _valid(year, month, day))
    return [each for each in dates if each >= today][:1]


def _valid(year: int, month: int, day: int) -> Iterator[date]:
    if date.min.year <= year <= date.max.year and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]:
        yield date(year, month, day)


_NEAR_FORM = rf"(?:the )?(?P<near>{'|'.join(_NEAR)})"
_ANY_WEEKDAY = rf"(?P<weekday>{WEEKDAY})"
_MAYBE_WEEKDAY = rf"(?:{_ANY_WEEKDAY}(?: the)? )?"
_YEAR = r"(?: (?P<year>[0-9]{4}))?"
_UNIT = r"(?P<unit>day|week|fortnight|month|year)s?"
_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], date], Iterable[date] | None]], ...] = tuple(
    (re.compile(pattern), read)
    for pattern, read in (
        (_NEAR_FORM, _near),
        (rf"(?:(?:the )?(?P<which>this|next|last|coming) )?{_ANY_WEEKDAY}", _weekday),
        (rf"{_ANY_WEEKDAY}(?: of)? (?P<which>this|next|last) week", _weekday_of_week),
        (rf"(?P<which>this|next|last) week (?:on )?{_ANY_WEEKDAY}", _weekday_of_week),
        (r"(?P<year>[0-9]{4})[-/](?P<month>[0-9]{1,2})[-/](?P<number>[0-9]{1,2})", _written),
        (r"(?P<first>[0-9]{1,2})/(?P<second>[0-9]{1,2})(?:/(?P<year>[0-9]{4}))?", _slashes),
        (r"(?P<first>[0-9]{1,2})\.(?P<second>[0-9]{1,2})\.(?P<year>[0-9]{4})", _slashes),
        (rf"{_MAYBE_WEEKDAY}(?:the )?{_NUMBER} (?:of )?(?P<month>{MONTH}){_YEAR}", _of_month),
        (rf"{_MAYBE_WEEKDAY}(?P<month>{MONTH}) (?:the )?{_NUMBER}{_YEAR}", _of_month),
        (
            rf"{_MAYBE_WEEKDAY}(?:the )?(?P<number>[0-9]{{1,2}})(?:st|nd|rd|th)(?: of (?P<which>this|next) month)?",
            _number,
        ),
        (rf"in (?P<count>{COUNT}) {_UNIT}", _shifted),
        (rf"(?P<count>{COUNT}) {_UNIT} (?:from|after) (?P<anchor>.+)", _shifted),
        (rf"(?P<count>{COUNT}) {_UNIT} (?P<ago>ago)", _shifted),
    )
)
