"""Queue ids that carry a time, and those that don't."""

from __future__ import annotations

import datetime

import pytest
from postwatch.streams.parsers.queue_ids import arrival_time, queued_at, refusal_id


def _ms(text: str) -> int:
    return int(datetime.datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("queue_id", "time"),
    [
        ("1wtYVW-0000000GFxD-3Ryp", "2026-08-10T22:30:10+00:00"),
        ("1RwtJa-0009RI-2d", "2012-02-13T10:39:22+00:00"),
        ("4jYCZM64N0z6HRR", "2026-11-23T17:27:55.855+00:00"),
    ],
)
def test_the_time_in_an_id(queue_id: str, time: str) -> None:
    assert queued_at(queue_id) == _ms(time)


@pytest.mark.parametrize(
    "queue_id", ["AD272CC0D1", "1AEA312A", "5df87c9250bba470", "4jYCZMzzzzz6HRR", "", refusal_id("x")]
)
def test_an_id_without_a_time(queue_id: str) -> None:
    assert queued_at(queue_id) == 0


_DAY_MS = 86_400_000
_ID = "1wtYVW-0000000GFxD-3Ryp"
_AT = _ms("2026-08-10T22:30:10+00:00")


@pytest.mark.parametrize(
    ("queue_id", "at", "time"),
    [
        (_ID, _AT + 2000, _AT),
        (_ID, _AT + 400 * _DAY_MS, _AT),  # deferred, or an old message that was thawed
        (_ID, _AT - _DAY_MS, _AT),
        (_ID, _AT - _DAY_MS - 1, _AT - _DAY_MS - 1),
        ("AD272CC0D1", _AT, _AT),  # an id without a time
        ("124Bxg-0009RI-2d", _AT, _ms("2000-01-01T00:00:00+00:00")),
        ("124Bxf-0009RI-2d", _AT, _AT),  # the second before
        ("zzzzzz-0009RI-2d", _AT, _AT),  # the year 3769
    ],
)
def test_a_time_that_can_not_be_that_of_the_arrival_is_not_taken(queue_id: str, at: int, time: int) -> None:
    assert arrival_time(queued_at(queue_id), at) == time
