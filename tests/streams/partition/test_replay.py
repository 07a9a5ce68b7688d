"""What leaves a replay: whole rows of its own time, and nothing that the live join has sent already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, Message
from postwatch.producers.record import Heartbeat
from postwatch.streams.contracts.dead_letters import DeadLetter, LineOrigin
from postwatch.streams.contracts.heartbeat import NOTHING_JOINED, JoinedLines
from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.events import WHOLE, Arrival, Event
from postwatch.streams.partition.counts import JoinCounts
from postwatch.streams.partition.partition_join import PartitionJoin
from postwatch.streams.partition.ports import Confirm
from postwatch.streams.partition.replay import (
    FolderTable,
    ReplayCounts,
    ReplayedPartition,
    WholeRowsOutlet,
    hand_over,
)

from tests.streams.joining.test_joiner import BOOK, SERVER, part, removed, tried
from tests.streams.partition.test_partition_join import RULES

TIME_MS = 5_000


class Sent:
    """An outlet that must not be reached by anything but rows."""

    def __init__(self) -> None:
        self.rows: list[Outcome] = []

    def send_outcomes(self, partition: int, turns: Iterable[Sequence[Outcome]], confirm: Confirm) -> int:
        self.rows += [row for turn in turns for row in turn]
        return 1

    def send_heartbeat(self, server: str, beat: Heartbeat, joined: JoinedLines, confirm: Confirm) -> None:
        raise AssertionError("a heartbeat was sent again")

    def send_dead_letter(self, letter: DeadLetter, confirm: Confirm) -> None:
        raise AssertionError("a dead letter was sent again")


def rows_of(queue_id: str, arrival: Arrival | None, at: int) -> list[Outcome]:
    joiner = Joiner(BOOK)
    events: list[Event] = [tried(queue_id, at, "bob@far.example"), removed(queue_id, at)]
    joiner.add(SERVER, [arrival, *events] if arrival else events)
    rows, _ = joiner.take_dirty()
    return rows


def replayed(rows: Sequence[Outcome]) -> tuple[int, list[Outcome], ReplayCounts]:
    sent, counts = Sent(), ReplayCounts()
    confirms = WholeRowsOutlet(sent, TIME_MS, counts).send_outcomes(0, [rows], lambda: None)
    return confirms, sent.rows, counts


def test_a_whole_row_takes_back_what_was_told_under_no_account() -> None:
    rows = rows_of("A1", part("A1", 6_000, WHOLE, sender="ann@here.example"), 6_500)
    confirms, (row, retracted), counts = replayed(rows)
    assert (confirms, counts.rows) == (1, 1)
    assert (row.account, row.is_deleted) == ("ann@here.example", 0)
    assert (retracted.account, retracted.is_deleted, retracted.version) == ("", 1, row.version)


def test_what_arrived_before_or_was_not_seen_to_arrive_is_left_alone() -> None:
    early = rows_of("A1", part("A1", 4_000, WHOLE, sender="ann@here.example"), 6_500)
    partial = rows_of("A2", None, 6_500)
    assert replayed(early + partial) == (0, [], ReplayCounts(older_rows=2))


def test_heartbeats_and_dead_letters_are_not_sent_again() -> None:
    counts = ReplayCounts()
    confirmed: list[str] = []
    outlet = WholeRowsOutlet(Sent(), TIME_MS, counts)
    outlet.send_heartbeat(SERVER, Heartbeat(1, 0, 0, 1, "1"), NOTHING_JOINED, lambda: confirmed.append("beat"))
    outlet.send_dead_letter(DeadLetter(b"x", "line", LineOrigin(SERVER, "", -1)), lambda: confirmed.append("letter"))
    assert confirmed == ["beat", "letter"]
    assert counts.unreadable == 1


def fetched(kafka_offset: int) -> Message:
    return Message(topic="raw", partition=2, offset=kafka_offset, value=b"", timestamp=(1, TIME_MS))


def end_reached(kafka_offset: int) -> Message:
    """librdkafka tells this once; under load it comes with the last records, in one fetch."""
    return Message(topic="raw", partition=2, offset=kafka_offset, error=KafkaError(KafkaError._PARTITION_EOF))


@pytest.mark.parametrize(
    ("fetches", "is_read"),
    [
        ([[fetched(0), fetched(1)], [fetched(3)]], True),
        ([[fetched(0), fetched(2)]], False),
        ([[fetched(0), fetched(2)], [end_reached(4)]], True),
        ([[fetched(0), fetched(2), end_reached(4)]], True),  # the record at 3 is a marker
        ([[fetched(0), end_reached(1)], [fetched(1), end_reached(2)]], False),  # read faster than it was written
        ([[fetched(0), fetched(2)], [fetched(4)]], True),  # a busy partition, whose end is never reached
        ([[end_reached(4)]], True),  # all of it was aborted
    ],
)
def test_a_partition_is_read_once_nothing_before_its_end_can_come(
    fetches: list[list[Message]], is_read: bool, tmp_path: Path
) -> None:
    table = FolderTable(tmp_path / "2")
    join = PartitionJoin(2, RULES, JoinCounts(), WholeRowsOutlet(Sent(), 0, ReplayCounts()), table, 0)
    replayed_partition = ReplayedPartition(join, table, 4)
    for messages in fetches:
        hand_over(messages, {2: replayed_partition})
    assert replayed_partition.is_read == is_read
    replayed_partition.finish()
