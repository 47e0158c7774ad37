"""Resolves a time as it was said against the moment and the time zone that it was said in.

What is not in the forms that `days` and `clock` know, or may mean several times, is not resolved: a wrong time does
more harm than none (docs/decisions/0028-times-by-rules.md).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from gateway.times.clock import Clock, read_clock
from gateway.times.days import Day, read_day
from gateway.times.vocabulary import COUNT, MONTH, normal, number
from gateway.times.zones import moments_of

# Nobody says a time in more; what is longer is not looked at, so that none takes long.
_MOST_CHARS, _MOST_WORDS = 80, 16
_RECURS = re.compile(
    r"\b(?:every|each|daily|hourly|nightly|weekly|fortnightly|monthly|yearly|annually|weekdays|"
    r"(?:once|twice|times) an?|(?:mon|tues|wednes|thurs|fri|satur|sun)days|mornings|afternoons|evenings|nights)\b"
)
_SPAN = re.compile(
    rf"\b(?:between|until|till|by|before|after|since|from|during|through|within|weekend|or|and)\b|"
    rf"(?:in |on )?(?:the )?(?:(?:this|next|last|coming) )?(?:week|fortnight|month|year|{MONTH}|[0-9]{{4}})\Z|"
    rf"(?:in )?(?:the )?(?:early|late|beginning|start|middle|end)\b"
)
_UNITS = {"hour": 3600, "hr": 3600, "minute": 60, "min": 60, "second": 1, "sec": 1}
_FIRST, _SECOND = (
    rf"(?P<{name}>{COUNT}|half an)(?P<{name}_half> and a half)? (?P<{name}_unit>{'|'.join(_UNITS)})s?"
    rf"(?P<{name}_more> and a half)?"
    for name in ("first", "second")
)
_LENGTH = rf"{_FIRST}(?: (?:and )?{_SECOND})?"
_INSTANT = re.compile(rf"(?:in {_LENGTH}|(?P<now>now|right now))")
_INSTANT_AFTER = re.compile(rf"{_LENGTH} (?:(?P<ago>ago)|from now)")


@dataclass(frozen=True, slots=True)
class Remark:
    """Why a time was not resolved, or what its resolution left out: a fixed word and a sentence."""

    code: str
    detail: str


AMBIGUOUS = Remark("time_ambiguous", "the words may mean several times")
BY_24_HOURS = Remark("time_by_24_hours", "neither am nor pm was said: the hour is that of a clock of 24 hours")
PART_OF_DAY = Remark("time_part_of_day", "only the day is resolved: a part of a day is no time")
RECURS = Remark("time_recurs", "the words mean a time that comes again and again")
SPAN = Remark("time_span", "the words mean a span, or more than one time")
SKIPPED = Remark("time_skipped", "the clocks of the time zone are set forward past this time")
TWICE = Remark("time_twice", "the clocks of the time zone are set back and show this time twice")
UNKNOWN = Remark("time_unknown", "the words are not understood as a time, or there is no such time")


@dataclass(frozen=True, slots=True)
class Resolution:
    """A date (`2026-11-29`) or a time with its offset (`2026-11-29T09:00:00+01:00`), or None; and a remark."""

    value: str | None
    remark: Remark | None = None


def resolve(words: str, now: datetime) -> Resolution:
    """Resolve a time.

    Args:
        words: the time as it was said, in English. What names no year or day is the next that comes.
        now: when and where it was said; its `tzinfo` is a `ZoneInfo`.
    """
    if len(words) > _MOST_CHARS:
        return Resolution(None, UNKNOWN)
    said = normal(words)
    if said.count(" ") >= _MOST_WORDS:
        return Resolution(None, UNKNOWN)
    try:
        return _instant(said, now) or _of_day(said, now) or Resolution(None, _why_not(said))
    except OverflowError:
        return Resolution(None, UNKNOWN)


def _why_not(said: str) -> Remark:
    return RECURS if _RECURS.search(said) else SPAN if _SPAN.search(said) else UNKNOWN


def _instant(said: str, now: datetime) -> Resolution | None:
    """Resolve what is counted in hours, minutes and seconds from now."""
    match = _INSTANT.fullmatch(said) or _INSTANT_AFTER.fullmatch(said)
    if match is None:
        return None
    found = match.groupdict()
    seconds = 0.0 if found.get("now") else sum(_seconds(found, each) for each in ("first", "second") if found[each])
    length = timedelta(seconds=-seconds if found.get("ago") else seconds)
    zone = now.tzinfo
    return _shown((now.astimezone(UTC) + length).astimezone(zone))


def _seconds(found: dict[str, str], name: str) -> float:
    count = 0.5 if found[name] == "half an" else number(found[name])
    half = 0.5 if found[f"{name}_half"] or found[f"{name}_more"] else 0
    return (count + half) * _UNITS[found[f"{name}_unit"]]


def _of_day(said: str, now: datetime) -> Resolution | None:
    """Resolve a day, a time of day, or both in either order."""
    day = read_day(said, now.date())
    if day is not None:
        return _day_alone(day)
    clock = read_clock(said)
    if clock is not None:
        return _clock_alone(clock, now)
    for first, second in _halves(said):
        for day_words, clock_words in ((first, second), (second, first)):
            day = read_day(day_words, now.date())
            clock = None if day is None else read_clock(clock_words, has_part=day.part is not None)
            if day is not None and clock is not None:
                return _both(day, clock, now)
    return None


def _halves(said: str) -> Iterator[tuple[str, str]]:
    words = said.split(" ")
    for index in range(1, len(words)):
        yield " ".join(words[:index]), " ".join(words[index:])


def _day_alone(day: Day) -> Resolution:
    if len(day.dates) != 1:
        return Resolution(None, AMBIGUOUS if day.dates else UNKNOWN)
    return Resolution(next(iter(day.dates)).isoformat(), PART_OF_DAY if day.part else None)


def _both(day: Day, clock: Clock, now: datetime) -> Resolution:
    if day.part and clock.part and day.part != clock.part:
        return Resolution(None, UNKNOWN)
    clock = clock.within(day.part)
    if len(day.dates) != 1:
        return Resolution(None, AMBIGUOUS if day.dates else UNKNOWN)
    date_ = next(iter(day.dates))
    if clock.is_midnight:
        # The end of a night is one time; the midnight of a day is either of its ends.
        return _at(date_ + timedelta(days=1), time(), now) if clock.part == "night" else Resolution(None, AMBIGUOUS)
    minute, remark = _minute(clock)
    return Resolution(None, remark) if minute is None else _at(date_, clock.time(minute), now, remark)


def _clock_alone(clock: Clock, now: datetime) -> Resolution:
    """Resolve a time of day to the next time that the clocks show it."""
    if len(clock.minutes) > 1:
        return Resolution(None, AMBIGUOUS)  # which comes first is no sign of which is meant
    minute, remark = (0, None) if clock.is_midnight else _minute(clock)
    if minute is None:
        return Resolution(None, remark)
    wall, today = clock.time(minute), now.date()
    moments = moments_of(datetime.combine(today, wall), _zone(now))
    # Of two the first may be over; then the second is meant, or tomorrow's.
    is_to_come = any(moment.astimezone(UTC) > now.astimezone(UTC) for moment in moments) or (
        not moments and wall > now.time()
    )
    return _at(today if is_to_come else today + timedelta(days=1), wall, now, remark)


def _minute(clock: Clock) -> tuple[int | None, Remark | None]:
    """Return the minute after midnight that a clock means, or None, and a remark."""
    if not clock.minutes:
        return None, UNKNOWN
    if len(clock.minutes) > 1:
        return clock.by_24_hours, AMBIGUOUS if clock.by_24_hours is None else BY_24_HOURS
    minute = next(iter(clock.minutes))
    # Two at night is of the next date for some, and of this for others.
    return (None, AMBIGUOUS) if clock.part == "night" and minute < 6 * 60 else (minute, None)


def _at(date_: date, wall: time, now: datetime, remark: Remark | None = None) -> Resolution:
    moments = moments_of(datetime.combine(date_, wall), _zone(now))
    if len(moments) != 1:
        return Resolution(None, TWICE if moments else SKIPPED)
    return _shown(moments[0], remark)


def _zone(now: datetime) -> ZoneInfo:
    if not isinstance(now.tzinfo, ZoneInfo):
        raise TypeError("now must be in a time zone")
    return now.tzinfo


def _shown(moment: datetime, remark: Remark | None = None) -> Resolution:
    offset = moment.utcoffset()
    if offset is None or offset % timedelta(minutes=1):
        # Local mean time, of before there were zones: no offset of ISO 8601.
        return Resolution(None, UNKNOWN)
    return Resolution(moment.isoformat(timespec="seconds"), remark)
