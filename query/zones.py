"""Time zones: the one that a page shows its times in, and the reading of a time that people wrote in one.

Invariant: outside a page every time is UTC, so the API, exports and the terminal do not change with a browser.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from postwatch.query.errors import FilterError

UTC_NAME = "UTC"
_shown: ContextVar[tuple[str, tzinfo]] = ContextVar("postwatch_zone", default=(UTC_NAME, UTC))


@cache
def zone_names() -> tuple[str, ...]:
    """Every zone that people may choose, UTC first (IANA's tz database)."""
    names = (name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/")))
    return (UTC_NAME, *sorted(names))


def find_zone(name: str) -> tzinfo | None:
    """None: there is no such zone."""
    if name == UTC_NAME:
        return UTC
    return ZoneInfo(name) if name in zone_names() else None


def read_zone(text: str) -> tzinfo:
    """A zone's name → the zone; empty: UTC. Raises FilterError."""
    zone = find_zone(text.strip() or UTC_NAME)
    if zone is None:
        raise FilterError("%(text)s is not a time zone: use a name such as Europe/Berlin", text=repr(text))
    return zone


@contextlib.contextmanager
def showing(name: str) -> Iterator[None]:
    """Show the times of what is made inside in this zone; in UTC if there is none of that name."""
    token = _shown.set((name, find_zone(name) or UTC) if find_zone(name) else (UTC_NAME, UTC))
    try:
        yield
    finally:
        _shown.reset(token)


def zone_name() -> str:
    """The zone that times are shown in."""
    return _shown.get()[0]


def shown_moment(at_ms: int) -> datetime:
    """The moment in that zone."""
    return datetime.fromtimestamp(at_ms / 1000, _shown.get()[1])


def as_shown(text: str) -> str:
    """A moment that names its zone, as the clock of that zone shows it, to the second; other words stay."""
    try:
        found = datetime.fromisoformat(text)
        return text if found.tzinfo is None else f"{shown_moment(int(found.timestamp() * 1000)):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError):  # no time, or none of the shown zone's calendar
        return text


def read_moment(text: str, name: str, zone: tzinfo = UTC, is_end: bool = False) -> int | None:
    """'2026-11-20', '2026-11-20 14:30' or ISO 8601 with a zone → ms; empty → None. A time without a zone is one of
    `zone`. The end of a day is its last moment, also of a day of 23 or 25 hours. Of an hour that a clock shows twice,
    the first begins a window and the second ends one."""
    words = text.strip()
    if not words:
        return None
    try:
        found = datetime.fromisoformat(words)
        if is_end and len(words) == len("2026-11-20"):
            found += timedelta(days=1)
        elif is_end and found.tzinfo is None:
            found = found.replace(fold=1)
        moment = found if found.tzinfo else found.replace(tzinfo=zone)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise FilterError(
            "%(name)s %(text)s is not a time: use YYYY-MM-DD or YYYY-MM-DD HH:MM", name=name, text=repr(text)
        ) from error
