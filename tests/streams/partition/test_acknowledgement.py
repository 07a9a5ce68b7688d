"""What an acknowledgement waits for, one thing at a time: here outcomes, letters and table entries arrive as told.

The model of Kafka in test_partition_join.py confirms in the order of sending, and so hides what isn't awaited.
"""

from __future__ import annotations

from postwatch.producers.record import Heartbeat
from postwatch.streams.contracts.dead_letters import DeadLetter
from postwatch.streams.partition.partition_join import RANGES_KEY
from postwatch.streams.partition.ports import Confirm

from tests.streams.joining.test_golden import HOSTING_DAY, LOGS, lines_of
from tests.streams.partition.test_partition_join import Kafka, Record, Worker, make_records

CLOSED_AT_ONCE = [line for line in lines_of(HOSTING_DAY) if "-0003aB-1X" in line]
STUCK = [line for line in lines_of(HOSTING_DAY) if "-0003dA-1c" in line][:3]


class SlowWorker(Worker):
    """Letters and table entries wait in `letters` and `entries` until they are confirmed."""

    def __init__(self) -> None:
        self.letters: list[Confirm] = []
        self.entries: list[tuple[bytes, Confirm]] = []
        super().__init__(Kafka())

    def send_dead_letter(self, letter: DeadLetter, confirm: Confirm) -> None:
        self.letters.append(confirm)

    def put(self, key: bytes, value: bytes, confirm: Confirm) -> None:
        self.local[key] = value
        self.entries.append((key, confirm))

    def confirm_entries(self) -> None:
        entries, self.entries = self.entries, []
        for _, confirm in entries:
            confirm()

    def writes_marks(self, now: int) -> bool:
        """Whether nothing but the marks is waited for any more."""
        self.join.tend(now, 0)
        return RANGES_KEY in dict(self.entries)


def test_a_parked_message_is_in_the_changelog_first() -> None:
    worker = SlowWorker()
    worker.take(make_records(STUCK, []))
    worker.join.tend(60_001, 0)
    worker.kafka.confirm_all()
    assert worker.counts.parked == 1
    assert not worker.writes_marks(60_300)
    worker.confirm_entries()
    assert worker.writes_marks(60_600)
    assert worker.acknowledged == []
    worker.confirm_entries()
    assert worker.acknowledged == [0]


def test_a_dead_letter_is_in_kafka_first() -> None:
    worker = SlowWorker()
    worker.take(make_records(["2026-03-02 08:01:10 1vwyDG-0003aB-1X => nonsense"], []))
    assert len(worker.letters) == 1
    assert not worker.writes_marks(1_000)
    worker.letters[0]()
    assert worker.writes_marks(1_300)


def test_a_fetch_waits_for_those_before_it() -> None:
    worker = SlowWorker()
    worker.take(make_records(STUCK + CLOSED_AT_ONCE, [len(STUCK)])[:1])
    worker.take(make_records(STUCK + CLOSED_AT_ONCE, [len(STUCK)])[1:])
    worker.kafka.confirm_all()
    assert not worker.writes_marks(1_000)


def test_an_arrival_waits_for_the_outcomes_of_its_end() -> None:
    worker = SlowWorker()
    arrival, end = make_records(CLOSED_AT_ONCE, [1])
    worker.take([arrival])
    worker.kafka.confirm_all()
    worker.take([end])
    assert not worker.writes_marks(1_000)
    worker.kafka.confirm_all()
    assert worker.writes_marks(1_300)


def test_what_a_filter_gave_back_holds_the_fetch_of_its_first_arrival() -> None:
    log = next(log for log in LOGS if log.stem == "filtered-day")
    lines = [line for line in lines_of(log) if "51B0C4C0D1: " in line or " 7D00C4C0E2: " in line]
    first_arrival, until_it_is_removed, _ = make_records(lines, [3, 10])
    worker = SlowWorker()
    worker.take([first_arrival])
    worker.take([until_it_is_removed])
    worker.kafka.confirm_all()
    assert not worker.writes_marks(1_000)


def test_records_that_were_taken_are_skipped() -> None:
    worker = SlowWorker()
    beats = [Record(offset, b"mx1", b"", Heartbeat(offset, 0, 0, 1, "1").encode()) for offset in range(3)]
    worker.take(beats[:2])
    worker.take(beats)
    worker.kafka.confirm_all()
    assert [beat.sent_ms for _, beat in worker.kafka.beats] == [0, 1, 2]
    assert worker.counts.repeated_records == 2
