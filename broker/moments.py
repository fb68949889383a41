"""Moments as people type them, and read them."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def moment(text: str, zone: ZoneInfo, *, end_of_day: bool = False) -> float:
    """A day there (``2030-01-01``; with ``end_of_day`` the moment after it), or a moment in ISO 8601, which without an
    offset is by the clocks there; in seconds since 1970. Raises ValueError."""
    try:
        if len(text) == len("2030-01-01"):
            day = date.fromisoformat(text) + timedelta(days=1 if end_of_day else 0)
            return datetime.combine(day, time(), zone).timestamp()
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=zone)).timestamp()
    except (OverflowError, OSError) as error:
        raise ValueError("there is no such moment") from error


def local(seconds: float, zone: ZoneInfo) -> str:
    """Seconds since 1970 by the clocks there, with their offset: ``2030-01-01 20:00:00+01:00``."""
    return datetime.fromtimestamp(seconds, zone).isoformat(" ", timespec="seconds")
