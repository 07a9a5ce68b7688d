"""The worker around a rebalance: it seeks back over offset gaps, and leaves partitions of other workers alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from faust.types import TP
from postwatch.producers.service.health import Health
from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.faust_glue.lease import Lease
from postwatch.streams.faust_glue.standstill import STANDSTILL_MS, Reading
from postwatch.streams.faust_glue.transport import Span
from postwatch.streams.faust_glue.worker import JoinWorker

from tests.streams.partition.test_partition_join import RULES, make_records

PLACE = TP("mail.raw", 0)


class Done:
    """A send that the changelog has taken."""

    offset = 0

    def cancelled(self) -> bool:
        return False

    def exception(self) -> None:
        return None

    def result(self) -> Done:
        return self


@dataclass
class FakeFaust:
    """App, consumer, table and outlet in one; the changelog takes entries when it is told to."""

    committed: dict[TP, int | None]
    earliest: int = 0
    known: Reading = field(default_factory=Reading)
    seeks: list[int] = field(default_factory=list)
    sent: list[Callable[[Done], None]] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    entries: dict[bytes, bytes] = field(default_factory=dict)
    rebalancing: bool = False
    is_assigned: bool = True
    asked: Callable[[], None] = lambda: None
    in_recovery = False
    bytes_in_flight = 0

    @property
    def consumer(self) -> FakeFaust:
        return self

    @property
    def data(self) -> FakeFaust:
        return self

    def assignment(self) -> set[TP]:
        return {PLACE} if self.is_assigned else set()

    async def earliest_offsets(self, *places: TP) -> dict[TP, int]:
        self.asked()
        return dict.fromkeys(places, self.earliest)

    def reading(self, place: TP) -> Reading:
        return self.known

    async def seek(self, place: TP, offset: int) -> None:
        self.seeks.append(offset)

    def _db_for_partition(self, partition: int) -> FakeFaust:
        return self

    def send_outcomes(self, partition: int, turns: Iterable[Sequence[Outcome]], confirm: Callable[[], None]) -> int:
        assert not any(turns), "lines of these tests make no rows"
        return 0

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.entries[key] = value

    def keys(self) -> list[bytes]:
        return list(self.entries)

    offset_key = b"offset"

    key_serializer = value_serializer = None

    @property
    def changelog_topic(self) -> FakeFaust:
        return self

    def get_topic_name(self) -> str:
        return "changelog"

    def persisted_offset(self, place: TP) -> None:
        return None

    def set_persisted_offset(self, place: TP, kafka_offset: int) -> None:
        pass

    def send_soon(self, **_: object) -> FakeFaust:
        return self

    def add_done_callback(self, sent: Callable[[Done], None]) -> None:
        self.sent.append(sent)

    def changelog_takes_all(self) -> None:
        while self.sent:
            self.sent.pop(0)(Done())


@dataclass
class FakeFetch:
    """A fetch as Faust's message, event and stream."""

    value: Span | None
    faust: FakeFaust
    tp = PLACE
    partition = PLACE.partition

    def __post_init__(self) -> None:
        assert self.value is not None
        self.last_offset = self.value.end - 1

    @property
    def message(self) -> FakeFetch:
        return self

    def ack(self, consumer: FakeFaust) -> None:
        consumer.acknowledged.append(self.last_offset)

    def noack(self) -> FakeFetch:
        return self

    async def events(self) -> AsyncIterator[FakeFetch]:
        yield self


def make_worker(faust: FakeFaust, clock: Callable[[], float] = lambda: 0.0, health: Health | None = None) -> JoinWorker:
    lease = Lease(6.0, clock)
    lease.renew(0.0)
    worker = JoinWorker(faust, faust, PLACE.topic, RULES, health or Health(), lease)
    outlet: Any = faust
    worker.use_outlet(lambda loop: outlet)
    return worker


def make_fetch(faust: FakeFaust, *offsets: int, begin: int = -1, end: int = -1) -> FakeFetch:
    """A fetch of records at these offsets, with lines that matter to nobody, and of markers around them."""
    if not offsets:
        return FakeFetch(Span([], begin, end), faust)
    records = make_records([f"line {offset}" for offset in offsets], range(1, len(offsets)))
    for record, offset in zip(records, offsets, strict=True):
        record.offset = offset
    return FakeFetch(Span(records, offsets[0] if begin < 0 else begin, max(end, offsets[-1] + 1)), faust)


def consume(worker: JoinWorker, faust: FakeFaust, *offsets: int, begin: int = -1, end: int = -1) -> None:
    asyncio.run(worker.consume(make_fetch(faust, *offsets, begin=begin, end=end)))


def test_a_fetch_is_acknowledged_once_the_processed_ranges_are_written() -> None:
    faust = FakeFaust({PLACE: 3})
    worker = make_worker(faust)
    consume(worker, faust, 3, 4)
    worker.tend()
    assert faust.acknowledged == []
    faust.changelog_takes_all()
    assert faust.acknowledged == [4]
    assert worker.partitions[0].next_offset == 5


def test_a_new_group_begins_where_the_log_begins() -> None:
    faust = FakeFaust({PLACE: None}, earliest=7)
    worker = make_worker(faust)
    consume(worker, faust, 7)
    assert worker.partitions[0].next_offset == 8
    assert faust.seeks == []


def test_an_offset_gap_is_sought_back_and_nothing_behind_it_is_taken() -> None:
    faust = FakeFaust({PLACE: 3})
    worker = make_worker(faust)
    consume(worker, faust, 5)
    assert faust.seeks == [3]
    assert (worker.offset_gaps, worker.counts.records, worker.partitions[0].next_offset) == (1, 0, 3)
    consume(worker, faust, 3, 4, 5)
    assert (worker.counts.records, worker.partitions[0].next_offset) == (3, 6)


def test_offsets_of_markers_are_no_gap() -> None:
    """Control records of transactions, and aborted records: aiokafka's position passed them, so nothing is missing."""
    faust = FakeFaust({PLACE: 3})
    worker = make_worker(faust)
    consume(worker, faust, 5, begin=3, end=8)
    assert (faust.seeks, worker.offset_gaps, worker.counts.records) == ([], 0, 1)
    assert worker.partitions[0].next_offset == 8
    worker.tend()
    faust.changelog_takes_all()
    assert faust.acknowledged == [7]


def test_an_offset_gap_before_a_marker_is_sought_back() -> None:
    faust = FakeFaust({PLACE: 3})
    worker = make_worker(faust)
    consume(worker, faust, begin=5, end=6)
    assert (faust.seeks, worker.partitions[0].next_offset) == ([3], 3)
    worker.tend()
    assert faust.acknowledged == []


def test_a_marker_that_nothing_follows_is_acknowledged_behind_what_came_before() -> None:
    faust = FakeFaust({PLACE: 3})
    worker = make_worker(faust)
    consume(worker, faust, 3)
    consume(worker, faust, begin=4, end=6)
    worker.tend()
    assert faust.acknowledged == []  # the record before it is not safe yet
    faust.changelog_takes_all()
    worker.tend()
    assert faust.acknowledged == [3, 5]
    worker.tend()
    assert faust.acknowledged == [3, 5]


def test_a_partition_that_has_nothing_but_markers_is_acknowledged() -> None:
    faust = FakeFaust({PLACE: None}, earliest=0)
    worker = make_worker(faust)
    consume(worker, faust, begin=0, end=3)
    worker.tend()
    assert faust.acknowledged == [2]


def test_a_marker_of_a_revoked_partition_is_not_acknowledged() -> None:
    faust = FakeFaust({PLACE: 3})
    worker = make_worker(faust)
    consume(worker, faust, begin=3, end=4)
    revoke(worker)
    worker.tend()
    assert faust.acknowledged == []


def test_a_partition_that_stands_still_is_no_health(monkeypatch: pytest.MonkeyPatch) -> None:
    faust = FakeFaust({PLACE: 3}, known=Reading(3, 9, 9, 1_000))
    health = Health()
    worker = make_worker(faust, health=health)
    now = 1_000
    monkeypatch.setattr("postwatch.streams.faust_glue.worker.now_ms", lambda: now)
    worker.tend()
    assert health.complaints() == {}
    now += 10 * STANDSTILL_MS
    faust.known = Reading(3, 9, 9, now)
    worker.tend()
    assert "partition 0: nothing acknowledged for 1200 s, 6 records wait" in health.complaints()["standstill"]
    faust.committed[PLACE] = 9
    worker.tend()
    assert health.complaints() == {}


def test_what_kafka_no_longer_has_is_counted_and_passed() -> None:
    faust = FakeFaust({PLACE: 3}, earliest=5)
    worker = make_worker(faust)
    consume(worker, faust, 5)
    assert faust.seeks == []
    assert (worker.lost_records, worker.partitions[0].next_offset) == (2, 6)


def revoke(worker: JoinWorker, meanwhile: Callable[[], None] = lambda: None) -> None:
    """The group asks for all partitions back; `meanwhile` happens while it waits."""

    async def rebalance() -> None:
        revoking = asyncio.ensure_future(worker.revoke_all())
        await asyncio.sleep(0.05)
        meanwhile()
        await revoking

    asyncio.run(rebalance())


def test_a_revoked_partition_is_forgotten_and_acknowledges_nothing() -> None:
    faust = FakeFaust({PLACE: 3})
    worker = make_worker(faust)
    consume(worker, faust, 3)
    worker.tend()
    revoke(worker, faust.changelog_takes_all)
    assert worker.partitions == {}
    assert faust.acknowledged == []


def test_a_successor_waits_until_the_entries_on_their_way_have_arrived() -> None:
    faust = FakeFaust({PLACE: 3})
    worker = make_worker(faust)
    consume(worker, faust, 3)
    worker.tend()
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(worker.revoke_all(), 0.2))
    revoke(worker, faust.changelog_takes_all)
    revoke(worker)


def test_entries_that_do_not_arrive_in_time_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    faust, times = FakeFaust({PLACE: 3}), [0.0]
    worker = make_worker(faust, lambda: times[0])
    consume(worker, faust, 3)
    worker.tend()

    def end(reason: str) -> None:
        raise SystemExit(reason)

    monkeypatch.setattr("postwatch.streams.faust_glue.worker.fail", end)
    times[0] = 7.0
    with pytest.raises(SystemExit, match="may have a new owner"):
        asyncio.run(worker.revoke_all())


def test_nothing_is_written_while_the_partitions_may_have_a_new_owner() -> None:
    faust = FakeFaust({PLACE: 3})
    times = [0.0]
    worker = make_worker(faust, lambda: times[0])
    consume(worker, faust, 3)
    times[0] = 7.0
    worker.tend()
    assert faust.sent == []
    times[0] = 0.0
    worker.tend()
    assert len(faust.sent) == 1


def consume_while(
    worker: JoinWorker, faust: FakeFaust, offset: int, change: Callable[[], None], seconds: float = 5
) -> None:
    """A fetch of one record comes, and `change` happens while the worker waits before it takes it."""

    async def take() -> None:
        taking = asyncio.ensure_future(worker.consume(make_fetch(faust, offset)))
        await asyncio.sleep(0.05)
        assert not taking.done()
        assert worker.counts.records == 0
        change()
        await asyncio.wait_for(taking, seconds)

    asyncio.run(take())


@pytest.mark.parametrize(("committed", "taken"), [(None, 1), (0, 1), (1, 0)])
def test_what_comes_during_a_rebalance_is_taken_behind_it_from_where_the_partition_begins(
    committed: int | None, taken: int
) -> None:
    """Nobody may write to a partition that has no committed offset for hours: its first fetch does not come again."""
    faust = FakeFaust({}, rebalancing=True)
    worker = make_worker(faust)

    def assign() -> None:
        faust.committed[PLACE] = committed
        faust.rebalancing = False

    consume_while(worker, faust, 0, assign)
    assert (worker.counts.records, worker.partitions[0].next_offset) == (taken, 1)


def test_what_comes_during_a_rebalance_is_left_to_the_new_owner() -> None:
    faust = FakeFaust({PLACE: 3}, rebalancing=True)
    worker = make_worker(faust)

    def assign_to_another() -> None:
        faust.is_assigned = False  # while what was committed may still be known
        faust.rebalancing = False

    consume_while(worker, faust, 3, assign_to_another)
    assert (worker.counts.records, worker.partitions) == (0, {})


def test_a_partition_that_is_revoked_before_its_beginning_is_known_is_left_to_the_new_owner() -> None:
    faust = FakeFaust({PLACE: None})
    worker = make_worker(faust)

    def revoke() -> None:
        faust.committed = {}

    faust.asked = revoke
    consume(worker, faust, 0)
    assert (worker.counts.records, worker.partitions) == (0, {})


def test_a_rebalance_that_begins_while_the_worker_waits_is_waited_for() -> None:
    faust, times = FakeFaust({PLACE: 3}), [7.0]
    worker = make_worker(faust, lambda: times[0])

    def begin_a_rebalance() -> None:
        faust.rebalancing = True
        times[0] = 0.0

    with pytest.raises(TimeoutError):
        consume_while(worker, faust, 3, begin_a_rebalance, seconds=0.2)
    assert worker.counts.records == 0


def test_a_partition_that_is_revoked_while_the_worker_waits_is_left_to_the_new_owner() -> None:
    faust, times = FakeFaust({PLACE: 3}), [7.0]
    worker = make_worker(faust, lambda: times[0])
    consume_while(worker, faust, 3, worker.partitions.clear)
    assert worker.counts.records == 0


def test_a_partition_that_is_revoked_while_a_gap_is_examined_is_not_sought() -> None:
    faust = FakeFaust({PLACE: 3})
    worker = make_worker(faust)
    faust.asked = worker.partitions.clear
    consume(worker, faust, 5)
    assert (faust.seeks, worker.offset_gaps, worker.counts.records) == ([], 0, 0)


def test_a_partition_of_another_worker_is_left_alone() -> None:
    faust = FakeFaust({})
    worker = make_worker(faust)
    consume(worker, faust, 0)
    assert worker.partitions == {}
    assert worker.counts.records == 0
