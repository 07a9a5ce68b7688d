"""Time stamps of log lines → milliseconds since the epoch.

A stamp without a zone is read in the zone of its log, one without a year in the last year that is not in the future of
the time at which the line was shipped. In the hour that a clock repeats in autumn the second pass is taken where the
line was shipped just after it, else the first. Hundreds of lines share a second, so each is converted once; and since
clocks change at full minutes alone, the other seconds of its minute are counted from it.
"""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from postwatch.producers.service.errors import BadInputError

_CACHED_SECONDS = 4096
_HOUR_MS = 3_600_000
AHEAD_MS = 86_400_000
"""A clock may be so far ahead of the one that says when a line was sent."""
MOST_MS = 1 << 42
"""The year 2109: what a row's version has room for."""
_SOON_MS = _HOUR_MS * 3 // 4
_MINUTE_MS = 60_000
_SECONDS = {f"{second:02}": second * 1000 for second in range(60)}
"""How a stamp ends → ms since its minute began."""
NOT_KNOWN = -1
_MONTHS = {name: number for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
_YEARS_TRIED = 8
"""One of them is a leap year."""


_NAMED_HOURS = {
    "UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "JST": 9,
    "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
}  # fmt: skip
ABBREVIATIONS = {name: f"{hours:+03}00" for name, hours in _NAMED_HOURS.items()}
"""Of RFC 5322, section 4.3, and of Europe: offsets that no season changes."""


def fraction_ms(fraction: str | None) -> int:
    """'.712345' or ',712' → 712."""
    return int((fraction[1:] + "00")[:3]) if fraction else 0


def find_zone(name: str, what: str) -> ZoneInfo:
    """The IANA zone of that name. Raises BadInputError; `what` says whose it is."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadInputError(
            f"{what}={name!r} is not a time zone: use an IANA name, such as UTC or Europe/Berlin"
        ) from error


class StampReader:
    """Reads stamps of one zone. All but the full ones depend on `sent_ms`, which the caller sets for each record."""

    def __init__(self, zone: ZoneInfo, sent_ms: int = 0) -> None:
        self._zone = zone
        self.seconds: dict[str, int] = {}
        """Stamps without fraction that were read not long ago: where a line begins with one, it is not read again."""
        self._minutes: dict[str, int] = {}
        """Such stamps without their seconds → the beginning of the minute."""
        self._sent_ms = sent_ms
        self._epoch = -1

    def shipped(self, sent_ms: int) -> None:
        """The lines that follow were shipped at this time, ms since the epoch."""
        self._sent_ms = sent_ms
        epoch = sent_ms // _HOUR_MS
        if epoch != self._epoch:
            self._epoch = epoch
            self.seconds.clear()
            self._minutes.clear()

    def find(self, stamp: str) -> int:
        """The time of a stamp without fraction and offset, of a minute that was read not long ago; else NOT_KNOWN."""
        at = self.seconds.get(stamp)
        if at is None:
            minute, second = self._minutes.get(stamp[:-2]), _SECONDS.get(stamp[-2:])
            if minute is None or second is None:
                return NOT_KNOWN
            return self._keep(stamp, minute + second, is_repeated=False)
        return at

    def read(self, second: str, fraction: str | None, offset: str | None) -> int:
        """'2026-11-23 13:42:18', '.712' and ' +0100' → ms since the epoch; with `T` and `+01:00` or `Z` as well.

        Raises ValueError on an impossible date.
        """
        if offset:
            key = second + offset
            known = self.seconds.get(key)
            at = self._keep(key, *self._convert(second, offset)) if known is None else known
        else:
            at = self.find(second)
            if at < 0:
                at = self._keep_minute(second, *self._convert(second, None))
        return at + fraction_ms(fraction) if fraction else at

    def read_without_year(self, stamp: str) -> int:
        """'Nov  3 17:27:12' or 'Nov 3 17:27:12' → ms since the epoch. Raises ValueError on a date that no year has."""
        at = self.find(stamp)
        return self._keep_minute(stamp, *self._guess_year(stamp)) if at < 0 else at

    def read_day(self, year: str | None, stamp: str, fraction: str | None) -> int:
        """'2026' or None, 'Nov  3 17:27:12' and '.712345'. Raises ValueError."""
        if year is None:
            return self.read_without_year(stamp) + fraction_ms(fraction)
        name, day, time = stamp.split()
        return self.read(f"{year}-{_MONTHS.get(name, 0):02}-{int(day):02} {time}", fraction, None)

    def read_named(self, second: str, fraction: str | None, zone: str) -> int:
        """As `read`, with the zone's abbreviation; one that is not known is this log's own zone. Raises ValueError."""
        if zone[0] in "+-":
            return self.read(second, fraction, zone if len(zone) > 3 else f"{zone}00")
        return self.read(second, fraction, ABBREVIATIONS.get(zone))

    def _guess_year(self, stamp: str) -> tuple[int, bool]:
        sent_ms = self._sent_ms
        try:
            month, day, time = stamp.split()
            clock = datetime.time.fromisoformat(time)
            date = _MONTHS[month], int(day)
        except KeyError as error:
            raise ValueError(f"no month {stamp[:3]}") from error
        latest = datetime.datetime.fromtimestamp((sent_ms + AHEAD_MS) / 1000, datetime.UTC).year
        for year in range(latest, latest - _YEARS_TRIED - 1, -1):
            try:
                moment = datetime.datetime.combine(datetime.date(year, *date), clock)
            except ValueError:  # 29 February
                continue
            at, is_repeated = self._convert_moment(moment, None)
            if at <= sent_ms + AHEAD_MS:
                return at, is_repeated
        raise ValueError(f"no year has {stamp}")

    def _convert(self, second: str, offset: str | None) -> tuple[int, bool]:
        return self._convert_moment(datetime.datetime.fromisoformat(second), offset)

    def _convert_moment(self, moment: datetime.datetime, offset: str | None) -> tuple[int, bool]:
        """The time, and whether the clock shows the stamp twice."""
        if offset:
            offset = offset.strip()
            zone = datetime.datetime.strptime(ABBREVIATIONS.get(offset, offset), "%z").tzinfo
            return round(moment.replace(tzinfo=zone).timestamp()) * 1000, False
        first = round(moment.replace(tzinfo=self._zone).timestamp()) * 1000
        second = round(moment.replace(tzinfo=self._zone, fold=1).timestamp()) * 1000
        if first < second <= self._sent_ms < second + _SOON_MS:
            return second, True
        return first, first < second

    def _keep(self, key: str, at: int, is_repeated: bool) -> int:
        if not 0 <= at < MOST_MS:
            raise ValueError(f"{key} is a time that no row can have")
        if is_repeated:
            return at  # the next line of that second may be of the other pass
        if len(self.seconds) >= _CACHED_SECONDS:
            self.seconds.clear()
        self.seconds[key] = at
        return at

    def _keep_minute(self, stamp: str, at: int, is_repeated: bool) -> int:
        self._keep(stamp, at, is_repeated)
        if not is_repeated and at < MOST_MS - _MINUTE_MS:
            if len(self._minutes) >= _CACHED_SECONDS:
                self._minutes.clear()
            self._minutes[stamp[:-2]] = at - _SECONDS[stamp[-2:]]
        return at
