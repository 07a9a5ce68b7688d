"""A replay: re-reads raw records since a time with the current parsers, while the workers keep running.

It has no consumer group, commits nothing and parks messages in a folder of its own, so the workers do not notice it. It
sends only rows of messages that arrived at or after the time and whose arrival it saw: earlier messages are known in
part only. The same events give the same version, so a row that did not change stays as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from postwatch.producers.record import Heartbeat
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.health import Health
from postwatch.producers.service.kafka import ClientErrors, KafkaWatch, check_topics
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.kafka_trouble import concerns_reader, unavailable
from postwatch.producers.service.lifecycle import now_ms
from postwatch.producers.service.outages import OutageLog
from postwatch.streams.contracts.dead_letters import DeadLetter
from postwatch.streams.contracts.heartbeat import JoinedLines
from postwatch.streams.contracts.outcome import SENT, Outcome
from postwatch.streams.contracts.version import is_whole
from postwatch.streams.partition.counts import JoinCounts
from postwatch.streams.partition.outlet import KafkaOutlet
from postwatch.streams.partition.partition_join import JoinRules, PartitionJoin
from postwatch.streams.partition.ports import Confirm, Outlet
from rocksdict import Options, Rdict

log = structlog.get_logger()

LEAD_MS = 3_600_000
"""How long before the time it starts to read, so that it knows messages that a filter returns after the time."""
_TIMEOUT_SECONDS = 10.0
_RECORDS_A_FETCH = 500
_MOST_BYTES_IN_FLIGHT = 32 * 1024 * 1024


@dataclass(slots=True)
class ReplayCounts:
    rows: int = 0
    older_rows: int = 0
    """Rows of messages that arrived before the time, or whose arrival was not seen: not sent."""
    unreadable: int = 0
    """Lines that are still dead letters."""


class WholeRowsOutlet:
    """Passes whole rows on, and retracts what the live join sent under no account while it missed the arrival."""

    def __init__(self, outlet: Outlet, from_ms: int, counts: ReplayCounts) -> None:
        self._outlet = outlet
        self._from_ms = from_ms
        self._counts = counts

    def send_outcomes(self, partition: int, turns: Iterable[Sequence[Outcome]], confirm: Confirm) -> int:
        rows = [row for turn in turns for row in turn]
        whole = [row for row in rows if is_whole(row.version) and row.queued_at >= self._from_ms]
        self._counts.rows += len(whole)
        self._counts.older_rows += len(rows) - len(whole)
        if not whole:
            return 0
        return self._outlet.send_outcomes(partition, [[*whole, *_retractions(whole)]], confirm)

    def send_heartbeat(self, server: str, beat: Heartbeat, joined: JoinedLines, confirm: Confirm) -> None:
        confirm()  # an old one; the live join has forwarded it

    def send_dead_letter(self, letter: DeadLetter, confirm: Confirm) -> None:
        self._counts.unreadable += 1
        confirm()  # it is in the topic already


def _retractions(rows: Sequence[Outcome]) -> Iterator[Outcome]:
    ours = {(row.queue_id, row.recipient) for row in rows if not row.account}
    for row in rows:
        if row.account and not row.is_deleted and (row.queue_id, row.recipient) not in ours:
            yield row._replace(
                account="", account_domain="", direction=SENT, attempts=(), log_lines=(), response="", is_deleted=1
            )


class FolderTable:
    """The parked messages of one partition, on disk for as long as the replay runs."""

    def __init__(self, folder: Path) -> None:
        options = Options(raw_mode=True)
        options.set_write_buffer_size(4 * 1024 * 1024)
        self._db = Rdict(str(folder), options)

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._db.get(key)
        return value

    def put(self, key: bytes, value: bytes, confirm: Confirm) -> None:
        self._db.put(key, value)
        confirm()

    def delete(self, key: bytes) -> None:
        self._db.delete(key)

    def all_keys(self) -> list[bytes]:
        keys: list[Any] = list(self._db.keys())
        return keys

    def close(self) -> None:
        self._db.close()


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A record as the join reads it."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    timestamp: int


class ReplayedPartition:
    """The join of one partition on the clock of its records: it waits and parks as the live join did."""

    def __init__(self, join: PartitionJoin, table: FolderTable, end: int) -> None:
        self.join = join
        self.table = table
        self.end = end
        self.is_read = join.next_offset >= end
        self._acknowledged = join.next_offset
        self._now = 0

    def take(self, messages: Sequence[Message]) -> None:
        self.pass_to(int(messages[-1].offset() or 0) + 1)
        records = [_raw(message) for message in messages if int(message.offset() or 0) < self.end]
        if records:
            came_at = max(int(message.timestamp()[1]) for message in messages)
            self._now = max(self._now, min(came_at, now_ms()))
            following = records[-1].offset + 1
            self.join.take(records, self._now, lambda: self._acknowledge(following))
        self.join.tend(self._now, self._acknowledged)

    def pass_to(self, following: int) -> None:
        """Nothing more comes before this offset: what is missing below it are markers, or was aborted or deleted."""
        self.is_read |= following >= self.end

    def finish(self) -> None:
        """All records are read: send the rows of open messages as they are now."""
        self.join.tend(now_ms() + 365 * 86_400_000, self._acknowledged)
        self.table.close()

    def _acknowledge(self, following: int) -> None:
        self._acknowledged = following


def _raw(message: Message) -> RawMessage:
    headers: Any = message.headers() or []
    key: Any = message.key()
    return RawMessage(int(message.offset() or 0), key, message.value(), headers, int(message.timestamp()[1]))


@dataclass(frozen=True, slots=True)
class ReplayReport:
    records: int
    lines: int
    counts: ReplayCounts
    expired_partitions: int
    """Partitions from which Kafka has already deleted records since the time."""


async def replay(
    kafka: KafkaSettings, rules: JoinRules, from_ms: int, folder: Path, fail: Callable[[str], None]
) -> ReplayReport:
    """Read from the time to the current end. Raises UnavailableError when no broker answers at the start."""
    outage = OutageLog("kafka", Health())
    errors = ClientErrors(outage)
    consumer = Consumer(
        {
            **kafka.client_config(),
            "group.id": "postwatch-replay",  # librdkafka wants a name; without subscribing no group comes of it
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": 65_536,
            **errors.config(),
        },
        logger=errors,
    )
    outlet: KafkaOutlet | None = None
    try:
        check_topics(consumer, kafka, [kafka.raw_topic, kafka.outcomes_topic], errors)
        spans = _spans(consumer, kafka, from_ms - LEAD_MS)
        outlet = KafkaOutlet(kafka, asyncio.get_running_loop(), fail, KafkaWatch(kafka, outage))
        counts, totals = ReplayCounts(), JoinCounts()
        whole = WholeRowsOutlet(outlet, from_ms, counts)
        parts: dict[int, ReplayedPartition] = {}
        for number, (start, end, _) in spans.items():
            table = FolderTable(folder / str(number))
            parts[number] = ReplayedPartition(PartitionJoin(number, rules, totals, whole, table, start), table, end)
        consumer.assign([TopicPartition(kafka.raw_topic, number, start) for number, (start, _, _) in spans.items()])
        while not all(part.is_read for part in parts.values()):
            fetched = await asyncio.to_thread(consumer.consume, _RECORDS_A_FETCH, 0.5)
            hand_over(fetched, parts)
            while outlet.bytes_in_flight > _MOST_BYTES_IN_FLIGHT:
                await asyncio.sleep(0.02)
        for part in parts.values():
            part.finish()
        while outlet.bytes_in_flight:
            await asyncio.sleep(0.02)
        expired = sum(is_cut for _, _, is_cut in spans.values())
        return ReplayReport(totals.records, totals.tally.total().lines, counts, expired)
    finally:
        consumer.close()
        if outlet is not None:
            outlet.close(timeout_seconds=5.0)


def hand_over(fetched: Sequence[Message], parts: dict[int, ReplayedPartition]) -> None:
    """One fetch: records of several partitions, and the ends that were reached, which come once."""
    of_part: dict[int, list[Message]] = {}
    for message in fetched:
        error = message.error()
        number = int(message.partition() or 0)
        if error is None:
            of_part.setdefault(number, []).append(message)
        elif error.code() == KafkaError._PARTITION_EOF:
            parts[number].pass_to(int(message.offset() or 0))
        elif concerns_reader(error):
            log.warning("records_unreadable", partition=number, error=error.str())
    for number, messages in of_part.items():
        parts[number].take(messages)


def _spans(consumer: Consumer, kafka: KafkaSettings, since_ms: int) -> dict[int, tuple[int, int, bool]]:
    """Partition → first offset, end offset, and whether Kafka has deleted records between them."""
    topic = kafka.raw_topic
    found: dict[int, tuple[int, int, bool]] = {}
    try:
        numbers = consumer.list_topics(topic, timeout=_TIMEOUT_SECONDS).topics[topic].partitions
        wanted = [TopicPartition(topic, number, max(since_ms, 0)) for number in numbers]
        for place in consumer.offsets_for_times(wanted, timeout=_TIMEOUT_SECONDS):
            first, end = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_SECONDS)
            start = place.offset if place.offset >= 0 else end
            found[place.partition] = (start, end, 0 < first == start)
    except KafkaException as error:
        raise unavailable(kafka, error.args[0].str()) from error
    if not found:
        raise UnavailableError(f"the topic {topic} has no partitions; create it with `postwatch migrate --topics`")
    return found
