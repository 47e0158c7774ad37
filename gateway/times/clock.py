"""Times of day: "at 9", "5:30 pm", "half past nine", "noon"."""

import re
from dataclasses import dataclass
from datetime import time

from gateway.times.vocabulary import NUMBERS, PART, PARTS, number

_HOUR = rf"(?P<hour>[0-9]{{1,2}}|{'|'.join(NUMBERS)})"
_WRITTEN = re.compile(
    rf"(?P<at>at )?{_HOUR}(?:(?P<mark>[:.])(?P<minute>[0-9]{{2}})(?::(?P<second>[0-9]{{2}}))?)?"
    r"(?P<oclock> o'?clock)?(?: ?(?P<half>am|pm))?"
)
_MINUTES = {"half": 30, "quarter": 15, "five": 5, "ten": 10, "twenty": 20, "twenty-five": 25}
_SPOKEN = re.compile(
    rf"(?:at )?(?:a )?(?P<minutes>{'|'.join(_MINUTES)}|[0-9]{{1,2}})(?: minutes)? "
    rf"(?P<side>past|to) {_HOUR}(?: ?(?P<half>am|pm))?"
)
_PART = re.compile(rf"(?P<rest>.+?) (?:in the (?P<part>{PART})|at (?P<night>night))")


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day as it was said: the minutes after midnight that it may mean.

    `by_24_hours` is the one of them that a clock of 24 hours shows, where several are possible. `is_midnight` is said
    of the word, which does not say which of a day's two ends it is.
    """

    minutes: frozenset[int]
    second: int = 0
    by_24_hours: int | None = None
    part: str | None = None
    is_midnight: bool = False

    def within(self, part: str | None) -> "Clock":
        """Return the clock with the part of the day that was said beside it; with no minutes where they disagree."""
        hours = PARTS[part] if part else None
        if hours is None:
            return self
        kept = {minute for minute in self.minutes if minute // 60 in hours}
        if len(self.minutes) > 1 and part == "morning":
            kept = {minute for minute in kept if minute >= 60}  # nobody means midnight by twelve in the morning
        return Clock(frozenset(kept), self.second, None, part, self.is_midnight)

    def time(self, minute: int) -> time:
        """Return the time of day of one of the minutes."""
        return time(minute // 60, minute % 60, self.second)


def read_clock(words: str, *, has_part: bool = False) -> Clock | None:
    """Read a time of day from normal words.

    Args:
        words: the words, without a day.
        has_part: a part of the day was said beside them, so that a number alone is an hour.

    Returns:
        The time, or None where the words are none.
    """
    match = _PART.fullmatch(words)
    if match is not None:
        inner = _read(match["rest"], has_part=True)
        return None if inner is None else inner.within(match["part"] or match["night"])
    return _read(words, has_part=has_part)


def _read(words: str, *, has_part: bool) -> Clock | None:
    if words.removeprefix("at ") in ("noon", "midday", "12 noon"):
        return Clock(frozenset({12 * 60}))
    if words.removeprefix("at ") in ("midnight", "12 midnight"):
        return Clock(frozenset({0}), is_midnight=True)
    match = _SPOKEN.fullmatch(words)
    if match is not None:
        return _spoken(match)
    match = _WRITTEN.fullmatch(words)
    if match is None:
        return None
    # A number alone may be anything, and with a point it may be a date.
    is_time = match["at"] or match["oclock"] or match["half"] or has_part
    if not (is_time or match["mark"] == ":"):
        return None
    minute, second = int(match["minute"] or 0), int(match["second"] or 0)
    if minute > 59 or second > 59:
        return None
    return _clock(match["hour"], match["half"], minute, second)


def _spoken(match: re.Match[str]) -> Clock | None:
    said = match["minutes"]
    minutes = _MINUTES[said] if said in _MINUTES else int(said)
    if not 0 < minutes < 60 or (said == "half" and match["side"] == "to"):
        return None
    shift = minutes if match["side"] == "past" else -minutes
    whole = _clock(match["hour"], match["half"], 0, 0)
    if whole is None:
        return None
    shifted = {minute: (minute + shift) % (24 * 60) for minute in whole.minutes}
    # "A quarter to one" is never written 00:45 by who means the day.
    plain = whole.by_24_hours if whole.by_24_hours is not None and number(match["hour"]) not in (1, 12) else None
    return Clock(frozenset(shifted.values()), by_24_hours=None if plain is None else shifted[plain])


def _clock(said: str, half: str | None, minute: int, second: int) -> Clock | None:
    hour = number(said)
    if hour > 23 or (half == "am" and hour > 12) or (half == "pm" and hour == 0):
        return None
    if half is not None:
        return Clock(frozenset({(hour % 12 + (12 if half == "pm" else 0)) * 60 + minute}), second)
    if hour == 0 or hour > 12 or said.startswith("0"):
        return Clock(frozenset({hour * 60 + minute}), second)
    halves = frozenset({hour % 12 * 60 + minute, (hour % 12 + 12) * 60 + minute})
    return Clock(halves, second, by_24_hours=hour * 60 + minute)
