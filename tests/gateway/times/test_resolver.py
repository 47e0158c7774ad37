"""Times as people say them, each with what it means or with the reason that it is not resolved."""

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.times.resolver import resolve
from gateway.times.vocabulary import MONTHS, NUMBERS, PARTS, WEEKDAYS
from gateway.times.zones import MomentError, moment

# A Saturday.
NOW = moment(datetime.fromisoformat("2026-11-28T09:00"), "Europe/Berlin")


def said(words: str, now: datetime = NOW) -> tuple[str | None, str | None]:
    """Return what words are resolved to, and the code of the remark."""
    resolution = resolve(words, now)
    return resolution.value, None if resolution.remark is None else resolution.remark.code


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("today", "2026-11-28"),
        ("Tomorrow.", "2026-11-29"),
        ("yesterday", "2026-11-27"),
        ("the day after tomorrow", "2026-11-30"),
        ("day before yesterday", "2026-11-26"),
        ("Friday", "2026-12-04"),
        ("on Friday", "2026-12-04"),
        ("next Friday", "2026-12-04"),
        ("this Friday", "2026-12-04"),
        ("Monday next week", "2026-11-30"),
        ("next week on Tuesday", "2026-12-01"),
        ("the 31st", "2026-12-31"),
        ("on the 30th", "2026-11-30"),
        ("on the 5th of next month", "2026-12-05"),
        ("Friday the 4th", "2026-12-04"),
        ("4 December", "2026-12-04"),
        ("the 4th of December", "2026-12-04"),
        ("Friday, December 4th, 2026", "2026-12-04"),
        ("Nov 28", "2026-11-28"),
        ("27 November", "2027-11-27"),
        ("2026-12-04", "2026-12-04"),
        ("24/12", "2026-12-24"),
        ("12/24/2026", "2026-12-24"),
        ("31.12.2026", "2026-12-31"),
        ("29 February", "2028-02-29"),
        ("February 29th", "2028-02-29"),
        ("in 3 days", "2026-12-01"),
        ("two weeks from tomorrow", "2026-12-13"),
        ("a week from Friday", "2026-12-11"),
        ("in a month", "2026-12-28"),
        ("a year ago", "2025-11-28"),
    ],
)
def test_a_day_stays_a_day(words: str, value: str) -> None:
    assert said(words) == (value, None)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("tomorrow at 9 am", "2026-11-29T09:00:00+01:00"),
        ("9am tomorrow", "2026-11-29T09:00:00+01:00"),
        ("tomorrow, 9 A.M.", "2026-11-29T09:00:00+01:00"),
        ("tomorrow at 09:00", "2026-11-29T09:00:00+01:00"),
        ("Friday at 7 pm", "2026-12-04T19:00:00+01:00"),
        ("5.30pm on Monday", "2026-11-30T17:30:00+01:00"),
        ("tomorrow at 14:30", "2026-11-29T14:30:00+01:00"),
        ("tomorrow at 0:30", "2026-11-29T00:30:00+01:00"),
        ("tomorrow evening at 7", "2026-11-29T19:00:00+01:00"),
        ("7 tonight", "2026-11-28T19:00:00+01:00"),
        ("tomorrow at 9 in the morning", "2026-11-29T09:00:00+01:00"),
        ("3 in the afternoon on Monday", "2026-11-30T15:00:00+01:00"),
        ("Friday night at 8", "2026-12-04T20:00:00+01:00"),
        ("half past nine tomorrow morning", "2026-11-29T09:30:00+01:00"),
        ("a quarter to ten pm on Monday", "2026-11-30T21:45:00+01:00"),
        ("noon on Monday", "2026-11-30T12:00:00+01:00"),
        ("tomorrow at 12 pm", "2026-11-29T12:00:00+01:00"),
        ("tomorrow at 12 am", "2026-11-29T00:00:00+01:00"),
        ("in two days at 9 am", "2026-11-30T09:00:00+01:00"),
        ("1 July at noon", "2027-07-01T12:00:00+02:00"),
        # A time alone is the next one.
        ("at noon", "2026-11-28T12:00:00+01:00"),
        ("8 am", "2026-11-29T08:00:00+01:00"),
        ("at 9 am", "2026-11-29T09:00:00+01:00"),
        ("midnight", "2026-11-29T00:00:00+01:00"),
        ("tonight at midnight", "2026-11-29T00:00:00+01:00"),
        # Counted from now.
        ("now", "2026-11-28T09:00:00+01:00"),
        ("in two hours", "2026-11-28T11:00:00+01:00"),
        ("in 90 minutes", "2026-11-28T10:30:00+01:00"),
        ("in half an hour", "2026-11-28T09:30:00+01:00"),
        ("in an hour and a half", "2026-11-28T10:30:00+01:00"),
        ("in 2 hours and 30 minutes", "2026-11-28T11:30:00+01:00"),
        ("two hours ago", "2026-11-28T07:00:00+01:00"),
        ("24 hours from now", "2026-11-29T09:00:00+01:00"),
    ],
)
def test_a_time_has_its_offset(words: str, value: str) -> None:
    assert said(words) == (value, None)


@pytest.mark.parametrize(
    ("words", "value", "code"),
    [
        ("tomorrow at 9", "2026-11-29T09:00:00+01:00", "time_by_24_hours"),
        ("tomorrow at 9:15", "2026-11-29T09:15:00+01:00", "time_by_24_hours"),
        ("4 December at half past nine", "2026-12-04T09:30:00+01:00", "time_by_24_hours"),
        ("tomorrow morning", "2026-11-29", "time_part_of_day"),
        ("tonight", "2026-11-28", "time_part_of_day"),
        ("Thursday in the afternoon", "2026-12-03", "time_part_of_day"),
    ],
)
def test_a_remark_says_what_was_not_said(words: str, value: str, code: str) -> None:
    assert said(words) == (value, code)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("every Monday", "time_recurs"),
        ("Mondays at 9 am", "time_recurs"),
        ("daily", "time_recurs"),
        ("twice a day", "time_recurs"),
        ("last week", "time_span"),
        ("the weekend", "time_span"),
        ("next month", "time_span"),
        ("May", "time_span"),
        ("2027", "time_span"),
        ("by Friday", "time_span"),
        ("until tomorrow at 9 am", "time_span"),
        ("between 9 and 10 am", "time_span"),
        ("Friday or Saturday", "time_span"),
        ("Saturday", "time_ambiguous"),  # today, or in a week
        ("the 28th at 5 pm", "time_ambiguous"),
        ("next Sunday", "time_ambiguous"),  # tomorrow, or that of next week
        ("last Friday", "time_ambiguous"),
        ("01/12/2026", "time_ambiguous"),
        ("at 9", "time_ambiguous"),
        ("at 2:30", "time_ambiguous"),
        ("tomorrow at midnight", "time_ambiguous"),  # its beginning or its end
        ("tomorrow night at 2", "time_ambiguous"),
        ("at a quarter to one tomorrow", "time_ambiguous"),
        ("tomorrow at 25:00", "time_unknown"),
        ("tomorrow at 9:60", "time_unknown"),
        ("tomorrow at 13 am", "time_unknown"),
        ("tomorrow morning at 9 pm", "time_unknown"),
        ("30 February", "time_unknown"),
        ("29 February 2027", "time_unknown"),
        ("Friday the 13th", "time_unknown"),  # the next 13th is a Sunday
        ("Tuesday 4 December", "time_unknown"),
        ("the 31st of this month", "time_unknown"),
        ("soon", "time_unknown"),
        ("9", "time_unknown"),
        ("two hours", "time_unknown"),  # how long, not when
        ("tomorrow at 9 am UTC", "time_unknown"),
        ("tomorrow at 9 am," + " that is" * 10, "time_unknown"),
        ("in 9999 years", "time_unknown"),
        ("in 9999 weeks from 31 December 9999", "time_unknown"),
        ("", "time_unknown"),
    ],
)
def test_what_would_be_a_guess_is_not_resolved(words: str, code: str) -> None:
    assert said(words) == (None, code)


@pytest.mark.parametrize(
    ("now", "zone", "words", "value", "code"),
    [
        # Monday: "next Friday" is in four days for some, and in eleven for others.
        ("2026-11-30T09:00", "UTC", "next Friday", None, "time_ambiguous"),
        ("2026-11-30T09:00", "UTC", "this Friday", "2026-12-04", None),
        # Clocks are set forward at 2:00, and back at 3:00.
        ("2026-03-28T20:00", "Europe/Berlin", "tomorrow at 2:30 am", None, "time_skipped"),
        ("2026-03-28T20:00", "Europe/Berlin", "at 2:30 am", None, "time_skipped"),
        ("2026-03-28T20:00", "Europe/Berlin", "tomorrow at 3 am", "2026-03-29T03:00:00+02:00", None),
        ("2026-10-24T20:00", "Europe/Berlin", "tomorrow at 2:30 am", None, "time_twice"),
        ("2026-10-24T20:00", "Europe/Berlin", "in 8 hours", "2026-10-25T03:00:00+01:00", None),
        ("2026-03-28T20:00", "Europe/Berlin", "in 8 hours", "2026-03-29T05:00:00+02:00", None),
        # Half an hour, at Lord Howe Island.
        ("2026-04-04T20:00", "Australia/Lord_Howe", "tomorrow at 1:45 am", None, "time_twice"),
        # A day that a country left out has no time at all.
        ("2011-12-29T20:00", "Pacific/Apia", "tomorrow at noon", None, "time_skipped"),
        ("2028-02-28T09:00", "UTC", "tomorrow", "2028-02-29", None),
        ("2028-02-29T09:00", "UTC", "in a year", None, "time_unknown"),
        ("2027-01-31T09:00", "UTC", "in a month", None, "time_unknown"),
        ("2027-01-31T09:00", "UTC", "the 30th", "2027-03-30", None),
        ("2026-12-31T23:59", "UTC", "noon", "2027-01-01T12:00:00+00:00", None),
        ("9999-12-31T09:00", "UTC", "tomorrow", None, "time_unknown"),
        # Before there were time zones offsets had seconds, which ISO 8601 does not have.
        ("1850-01-01T09:00", "Europe/Berlin", "tomorrow at noon", None, "time_unknown"),
    ],
)
def test_the_moment_decides(now: str, zone: str, words: str, value: str | None, code: str | None) -> None:
    assert said(words, moment(datetime.fromisoformat(now), zone)) == (value, code)


def test_a_moment_with_an_offset_is_the_same_moment_in_the_zone() -> None:
    now = moment(datetime(2026, 11, 28, 20, tzinfo=UTC), "Asia/Tokyo")
    assert now == datetime(2026, 11, 28, 20, tzinfo=UTC)
    assert said("today", now) == ("2026-11-29", None)
    # In the repeated hour the offset says which one it is.
    now = moment(datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Africa/Lagos")), "Europe/Berlin")
    assert said("now", now) == ("2026-10-25T02:30:00+01:00", None)
    assert said("at 2:45 am", now) == (None, "time_twice")


@pytest.mark.parametrize(
    "name",
    ["", "Europe", "Europe/", "europe/berlin", "localtime", "right/UTC", "posixrules", "tzdata.zi", "leapseconds",
     "A" * 999, "../UTC", "/etc/localtime", "UTC\0", "\ud800", "Europe/Berlin ", "+01:00"],
)  # fmt: skip
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(MomentError, match="unknown time zone; give a name"):
        moment(datetime.now(UTC), name)


def test_every_time_zone_is_known() -> None:
    now = datetime.now(UTC)
    for name in available_timezones() - {"localtime", "Factory", "posixrules"}:
        assert moment(now, name) == now


_WORDS = st.lists(
    st.sampled_from(
        [*NUMBERS, *WEEKDAYS, *MONTHS, *PARTS, "at", "on", "the", "in", "a", "half", "past", "to", "from", "next",
         "9:30", "31st", "am", "pm", "week", "hours", "today", "tomorrow", "of", "noon", "midnight", "2026", "99", "0"]
    ),
    max_size=20,
)  # fmt: skip


@settings(max_examples=50)
@given(words=_WORDS.map(" ".join) | st.text(max_size=120), hours=st.integers(0, 24 * 366))
def test_whatever_is_said_gives_iso_8601_or_a_reason(words: str, hours: int) -> None:
    resolution = resolve(words, (NOW.astimezone(UTC) + timedelta(hours=hours)).astimezone(NOW.tzinfo))
    if resolution.value is None:
        assert resolution.remark is not None
    elif "T" in resolution.value:
        assert datetime.fromisoformat(resolution.value).utcoffset() in (timedelta(hours=1), timedelta(hours=2))
    else:
        assert datetime.strptime(resolution.value, "%Y-%m-%d").date().isoformat() == resolution.value  # noqa: DTZ007


@pytest.mark.parametrize("words", ["9 " * 1000, "a week from " * 6 + "friday", "in 5 hours and " * 5, "the " * 16])
def test_no_words_take_long(words: str) -> None:
    started = time.process_time()
    resolve(words, NOW)
    assert time.process_time() - started < 0.5
