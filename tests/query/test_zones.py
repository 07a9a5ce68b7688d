from __future__ import annotations

from datetime import UTC, datetime

import pytest
from postwatch.query.errors import FilterError
from postwatch.query.wording import utc_time
from postwatch.query.zones import (
    as_shown,
    find_zone,
    read_moment,
    read_zone,
    showing,
    shown_moment,
    zone_name,
    zone_names,
)

HOUR_MS = 3_600_000


def _at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("zone", "day", "start", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00", 23),
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00", 25),
        ("Europe/Berlin", "2026-11-20", "2026-11-19T23:00", 24),
        ("America/New_York", "2026-03-08", "2026-03-08T05:00", 23),
        ("America/New_York", "2026-11-01", "2026-11-01T04:00", 25),
        ("Asia/Jakarta", "2026-03-29", "2026-03-28T17:00", 24),
        ("UTC", "2026-03-29", "2026-03-29T00:00", 24),
    ],
)
def test_a_day_is_as_long_as_it_is_in_its_zone(zone: str, day: str, start: str, hours: int) -> None:
    since_ms = read_moment(day, "since", read_zone(zone))
    until_ms = read_moment(day, "until", read_zone(zone), is_end=True)
    assert since_ms == _at(start)
    assert until_ms == _at(start) + hours * HOUR_MS


def test_an_hour_that_is_shown_twice_is_within_the_window_both_times() -> None:
    berlin = read_zone("Europe/Berlin")
    assert read_moment("2026-10-25 02:30", "since", berlin) == _at("2026-10-25T00:30")
    assert read_moment("2026-10-25 02:30", "until", berlin, is_end=True) == _at("2026-10-25T01:30")
    assert read_moment("2026-03-29 02:30", "since", berlin) == _at("2026-03-29T01:30")  # which no clock shows


def test_a_time_that_names_its_zone_is_of_that_zone() -> None:
    assert read_moment("2026-11-20T13:00+02:00", "since", read_zone("Asia/Jakarta")) == _at("2026-11-20T11:00")
    assert read_moment("2026-11-20T13:00Z", "until", read_zone("Asia/Jakarta"), is_end=True) == _at("2026-11-20T13:00")
    assert read_moment("", "since") is None


@pytest.mark.parametrize("text", ["24.11.2026", "x", "9999-12-31", "2026-13-01", "2026-11-20 25:00"])
def test_what_is_no_time_is_refused_by_name(text: str) -> None:
    with pytest.raises(FilterError, match=r"since .* is not a time: use YYYY-MM-DD"):
        read_moment(text, "since", read_zone("Asia/Jakarta"), is_end=True)


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "europe/berlin", "localtime", "x" * 999, "\x00"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    assert find_zone(name) is None
    with pytest.raises(FilterError, match="is not a time zone: use a name such as Europe/Berlin"):
        read_zone(name)


def test_a_page_shows_its_times_in_its_zone_and_all_else_in_utc() -> None:
    noon = _at("2026-07-01T12:00")
    assert utc_time(noon) == "2026-07-01 12:00:00"
    with showing("America/New_York"):
        assert (zone_name(), utc_time(noon)) == ("America/New_York", "2026-07-01 08:00:00")
        assert shown_moment(noon).utcoffset() is not None
    with showing("Mars/Olympus"):
        assert (zone_name(), utc_time(noon)) == ("UTC", "2026-07-01 12:00:00")
    assert zone_name() == "UTC"


def test_a_link_s_moments_stand_in_a_form_as_the_clock_shows_them() -> None:
    with showing("Europe/Berlin"):
        assert as_shown("2026-11-29T10:54:36.611Z") == "2026-11-29 11:54:36"
        for words in ("", "3h", "2026-11-29 10:54", "9999-12-31T23:59:59Z", "<b>"):
            assert as_shown(words) == words


def test_every_zone_that_is_offered_is_one() -> None:
    assert zone_names()[0] == "UTC"
    assert {"Europe/Berlin", "Asia/Jakarta", "America/New_York"} <= set(zone_names())
    assert all(find_zone(name) is not None for name in zone_names())
