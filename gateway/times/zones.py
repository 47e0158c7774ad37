"""The moment and the time zone that a person speaks at."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}")
# They are in the folder of zones, and mean whatever the machine is set to, nothing, or the same zones in another form.
_NO_ZONES = frozenset({"Factory", "localtime", "posixrules", "posix", "right"})


class MomentError(ValueError):
    """A moment or a time zone cannot be used. The text says what to give instead."""


def moment(now: datetime, timezone: str) -> datetime:
    """Return a moment in a time zone.

    Args:
        now: with an offset, any; or without one, and then as the zone's clocks show it.
        timezone: a name of the IANA time zone database.

    Raises:
        MomentError: there is no such zone, or its clocks show this time twice or never, or only outside of all years.
    """
    zone = _zone(timezone)
    try:
        if now.tzinfo is not None:
            return now.astimezone(zone)
        moments = moments_of(now, zone)
    except (OverflowError, ValueError):
        raise MomentError("this moment is outside the years 1 to 9999 in the time zone or in UTC") from None
    if len(moments) != 1:
        often = "twice" if moments else "never"
        raise MomentError(
            f"the clocks of the time zone show this time {often}; give it with its offset, such as +01:00"
        )
    return moments[0]


def moments_of(wall: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return when the clocks of a zone show a time: twice in the hour that comes again, never in the one left out.

    Args:
        wall: the time, without an offset.
        zone: the time zone.
    """
    found: list[datetime] = []
    for fold in (0, 1):
        candidate = wall.replace(tzinfo=zone, fold=fold)
        is_shown = candidate.astimezone(UTC).astimezone(zone).replace(tzinfo=None, fold=0) == wall
        # Two times of one zone are compared by their clocks alone.
        if is_shown and all(candidate.utcoffset() != other.utcoffset() for other in found):
            found.append(candidate)
    return found


def _zone(name: str) -> ZoneInfo:
    # To list all names takes many times as long as to look for one.
    try:
        if _NAME.fullmatch(name) and name.split("/")[0] not in _NO_ZONES:
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise MomentError(
        "unknown time zone; give a name of the IANA time zone database in its spelling, such as Europe/Berlin or UTC"
    )
