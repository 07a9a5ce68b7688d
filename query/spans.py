"""From–to as people write it: the two moments of a question, in its zone, checked against each other."""

from __future__ import annotations

import re

from postwatch.query import filters
from postwatch.query.errors import FilterError, about
from postwatch.query.zones import read_moment, read_zone

_AGE = re.compile(r"(\d{1,5})([mhd])")
_UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


def read_age(since: str, now_ms: int) -> int | None:
    """'90m', '3h' or '14d' → so long ago, in ms; None: it is written in another way."""
    found = _AGE.fullmatch(since.strip().lower())
    return now_ms - int(found[1]) * _UNIT_MS[found[2]] if found else None


def read_span(since: str, until: str, zone: str) -> tuple[int | None, int | None]:
    """Both in ms; None: not given. Raises FilterError that names the field."""
    with about("zone"):
        in_zone = read_zone(zone)
    with about("since"):
        since_ms = read_moment(filters.clean_text(since, "since"), "since", in_zone)
    with about("until"):
        until_ms = read_moment(filters.clean_text(until, "until"), "until", in_zone, is_end=True)
    if since_ms is not None and until_ms is not None:
        check_span(since_ms, until_ms, since, until)
    return since_ms, until_ms


def check_span(since_ms: int, until_ms: int, since: str, until: str) -> None:
    """Raises FilterError, in the words that were asked with, where nothing lies between the moments."""
    if since_ms >= until_ms:
        with about("since"):
            raise FilterError(
                "since %(since)s is not before until %(until)s: nothing lies between them",
                since=repr(since),
                until=repr(until),
            )
