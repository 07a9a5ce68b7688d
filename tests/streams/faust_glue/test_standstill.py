"""A partition that moves, or has nothing to do, is well; one that stands still is complained of, with the cause."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from postwatch.streams.faust_glue.standstill import STANDSTILL_MS, Progress, Reading

LATER = STANDSTILL_MS + 2_000


def watch(
    committed: Sequence[int | None], readings: Sequence[Reading], *, is_recovering: bool = False
) -> tuple[Progress, str]:
    """The partition is seen each second, for as long as there are values."""
    progress = Progress(0)
    complaint = ""
    for second, (offset, reading) in enumerate(zip(committed, readings, strict=True)):
        progress.see(offset, reading, second * 1000)
        complaint = progress.complaint(3, second * 1000, STANDSTILL_MS, is_recovering=is_recovering)
    return progress, complaint


SECONDS = LATER // 1000 + 1


def answered(position: int, end: int, stable_end: int | None = None) -> list[Reading]:
    return [Reading(position, end, end if stable_end is None else stable_end, at * 1000) for at in range(SECONDS)]


def test_an_idle_partition_is_well() -> None:
    progress, complaint = watch([7] * SECONDS, answered(7, 7))
    assert (progress.lag_records, complaint) == (0, "")


def test_a_partition_whose_commits_move_is_well_however_much_waits() -> None:
    progress, complaint = watch([7] * (SECONDS - 30) + [8] * 30, answered(9, 5_000))
    assert (progress.lag_records, complaint) == (4_992, "")
    assert progress.acknowledged_ms == (SECONDS - 30) * 1000


def test_a_partition_is_behind_by_the_age_of_what_was_read_while_kafka_has_more() -> None:
    progress = Progress(1_000)
    progress.see(7, Reading(9, 9, 9, 5_000), 5_000, 9)
    assert progress.lag_seconds == 0.0  # all is read, though not acknowledged
    progress.see(7, Reading(9, 12, 12, 6_000), 6_000)
    assert progress.lag_seconds == 5.0  # nothing came yet since it was assigned
    progress.read_ms = 4_500
    progress.see(7, Reading(9, 12, 12, 7_000), 7_000, 9)
    assert progress.lag_seconds == 2.5


def test_records_that_came_a_moment_ago_are_no_standstill() -> None:
    _, complaint = watch([7] * SECONDS, answered(7, 7)[:-10] + answered(9, 9)[-10:])
    assert complaint == ""


@pytest.mark.parametrize(
    ("committed", "readings", "words"),
    [
        (7, answered(9, 10), "partition 3: nothing acknowledged for 122 s, 3 records wait; look for errors in the log"),
        (None, answered(0, 10), "10 records wait"),
        (7, answered(8, 10, stable_end=8), "a transaction of their producer is open since offset 8: end it"),
        (7, answered(7, 7)[:1] * SECONDS, "Kafka answers no fetch: check its brokers"),
        (7, [Reading()] * SECONDS, "Kafka answers no fetch"),
    ],
)
def test_a_partition_that_stands_still_is_complained_of(
    committed: int | None, readings: list[Reading], words: str
) -> None:
    _, complaint = watch([committed] * SECONDS, readings)
    assert words in complaint


def test_a_table_that_is_restored_for_long_is_named() -> None:
    _, complaint = watch([7] * SECONDS, answered(7, 9), is_recovering=True)
    assert "is being restored from the changelog" in complaint
