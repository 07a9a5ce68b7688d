"""Time stamps of log lines → milliseconds since the epoch.

A stamp without a zone is read in the zone of its log. In the hour that a clock repeats in autumn, the first pass is
taken: the log does not tell which one it was. Hundreds of lines share a second, so each second is converted once.
"""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from postwatch.producers.errors import SettingsError

_CACHED_SECONDS = 4096


def find_zone(name: str, setting: str) -> ZoneInfo:
    """The IANA zone of that name. Raises SettingsError that names `setting`."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(
            f"{setting}={name!r} is not a time zone: use an IANA name, such as UTC or Europe/Berlin"
        ) from error


class StampReader:
    """Reads '2026-11-23 13:42:18' stamps of one zone."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._seconds: dict[str, int] = {}

    def read(self, second: str, fraction: str | None, offset: str | None) -> int:
        """'2026-11-23 13:42:18', '.712' and ' +0100' → ms since the epoch. Raises ValueError on an impossible date."""
        key = second + offset if offset else second
        at = self._seconds.get(key)
        if at is None:
            moment = datetime.datetime.fromisoformat(second)
            zone = datetime.datetime.strptime(offset.strip(), "%z").tzinfo if offset else self._zone
            at = round(moment.replace(tzinfo=zone).timestamp()) * 1000
            if len(self._seconds) >= _CACHED_SECONDS:
                self._seconds.clear()
            self._seconds[key] = at
        if fraction:
            return at + int((fraction[1:] + "00")[:3])
        return at
