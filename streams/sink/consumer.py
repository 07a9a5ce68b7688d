"""Reads records from Kafka, inserts their rows into ClickHouse in batches, and acknowledges afterwards.

An offset is stored, for librdkafka to commit, only when everything before it is in ClickHouse or acknowledged as a dead
letter. While ClickHouse is away, the partitions are paused and polling goes on, so that the group keeps this member.
After a rebalance the sink forgets what it has not stored. The next owner reads it again, and writes the same rows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.health import Health
from postwatch.producers.service.kafka_trouble import with_remedy
from postwatch.producers.service.outages import OutageLog
from postwatch.streams.contracts.arrow_stream import encode_stream
from postwatch.streams.contracts.dead_letters import (
    REFUSED_ROW,
    UNDECODABLE_RECORD,
    DeadLetter,
    DeadLetterSender,
    RecordOrigin,
)
from postwatch.streams.contracts.row_contract import DecodedRecord
from postwatch.streams.sink import metrics
from postwatch.streams.sink.batch import Batch, RowBatcher, TopicRows
from postwatch.streams.sink.bisection import Insertion, RefusedRow

log = structlog.get_logger()


POLL_SECONDS = 0.2
FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 5.0
COMMITTED_TIMEOUT_SECONDS = 5.0
MOST_LOGGED_COLUMNS = 100
"""Differences in columns that are logged in the life of a process; all are counted."""

Partitions = list[TopicPartition]


class RecordSource(Protocol):
    """What the sink needs of confluent_kafka.Consumer."""

    def subscribe(
        self,
        topics: list[str],
        on_assign: Callable[[RecordSource, Partitions], None],
        on_revoke: Callable[[RecordSource, Partitions], None],
        on_lost: Callable[[RecordSource, Partitions], None],
    ) -> None: ...
    def poll(self, timeout: float) -> Message | None: ...
    def assign(self, partitions: Partitions) -> None: ...
    def assignment(self) -> Partitions: ...
    def committed(self, partitions: Partitions, timeout: float) -> Partitions: ...
    def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]: ...
    def pause(self, partitions: Partitions) -> None: ...
    def resume(self, partitions: Partitions) -> None: ...
    def store_offsets(self, *, offsets: Partitions) -> None: ...


@dataclass(frozen=True, slots=True)
class Target:
    """Where the rows of a topic go, and how."""

    table: str
    decode: Callable[[bytes], DecodedRecord]
    """Raises ValueError for a record that it cannot decode."""
    insert: Callable[[pa.Table], None]
    """Raises the errors of streams/errors.py."""


def backoff_seconds(waits: int) -> float:
    """How long to wait before the next try, if there were `waits` waits before."""
    return min(FIRST_WAIT_SECONDS * (1 << min(waits, 10)), LONGEST_WAIT_SECONDS)


class _Abandoned(Exception):
    """The batch cannot be finished, because its partitions are revoked or the process stops."""


class Sink:
    """One member of the sink's consumer group."""

    def __init__(
        self,
        source: RecordSource,
        targets: Mapping[str, Target],
        dead_letters: DeadLetterSender,
        buffer: RowBatcher,
        health: Health,
        outage: OutageLog,
        stopping: threading.Event,
        clock: Callable[[], float] = time.monotonic,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._source = source
        self._targets = targets
        self._dead_letters = dead_letters
        self._buffer = buffer
        self._health = health
        self._outage = outage
        """ClickHouse's."""
        self._stopping = stopping
        self._clock = clock
        self._alive = alive
        """Called at each poll: the loop turns."""
        self._assignments = 0
        """Counts assignments and revocations. Each of them ends the batch."""
        self._paused = False
        self._expected: dict[tuple[str, int], int] = {}
        """The next offset of each partition, where it is known."""
        self._logged_columns: set[tuple[str, ...]] = set()

    def run(self) -> None:
        """Read and write until `stopping` is set. Then write what was read, if that needs no wait."""
        self._source.subscribe(
            list(self._targets), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )
        while not self._stopping.is_set():
            self._read(self._buffer.seconds_until_due(self._clock(), POLL_SECONDS))
            if self._buffer.is_due(self._clock()):
                self._flush()
        self._flush()

    def _read(self, timeout_seconds: float) -> None:
        self._alive()
        message = self._source.poll(timeout_seconds)
        if message is None:
            return
        origin = RecordOrigin(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
        if error := message.error():
            if error.code() == KafkaError._PARTITION_EOF:
                self._pass_markers(origin)
                return
            reason = with_remedy(error)
            log.warning("records_unreadable", topic=message.topic(), error=reason)
            self._health.complain("records", f"{message.topic()}: {reason}" if message.topic() else reason)
            return
        self._health.settle("records")
        value = message.value() or b""
        self._count(origin)
        metrics.READ_TIME.labels(origin.topic, origin.partition).set(message.timestamp()[1] / 1000)
        try:
            record = self._targets[origin.topic].decode(value)
        except ValueError as error:
            letter = DeadLetter(value, UNDECODABLE_RECORD, origin, str(error))
            self._buffer.add_letter(origin, letter, self._clock())
        else:
            self._count_columns(origin.topic, record)
            self._buffer.add_rows(origin, record.rows, len(value), self._clock())
            for unfit in record.unfit:
                refused = DeadLetter(unfit.value, REFUSED_ROW, origin, unfit.said)
                self._buffer.add_letter(origin, refused, self._clock())

    def _count(self, origin: RecordOrigin) -> None:
        metrics.RECORDS.labels(origin.topic).inc()
        self._count_expired(origin)
        self._expected[origin.topic, origin.partition] = origin.kafka_offset + 1

    def _pass_markers(self, end: RecordOrigin) -> None:
        """The partition is read to its end. Commit the transaction markers after the last record with it."""
        place = end.topic, end.partition
        if end.kafka_offset > self._expected.get(place, end.kafka_offset):
            self._count_expired(end)
            self._expected[place] = end.kafka_offset
            self._buffer.pass_markers(end, self._clock())

    def _count_expired(self, before: RecordOrigin) -> None:
        """Count the records of an offset gap that Kafka has deleted; transaction markers make gaps too."""
        expected = self._expected.get((before.topic, before.partition), before.kafka_offset)
        if before.kafka_offset <= expected:
            return
        try:
            earliest, _ = self._source.get_watermark_offsets(
                TopicPartition(before.topic, before.partition), timeout=COMMITTED_TIMEOUT_SECONDS
            )
        except KafkaException as error:
            log.warning("earliest_offset_unknown", error=error.args[0].str())
            earliest = before.kafka_offset
        expired = min(earliest, before.kafka_offset) - expected
        if expired > 0:
            metrics.EXPIRED.labels(before.topic).inc(expired)
            log.error("records_expired_unread", records=expired, before=before)

    def _count_columns(self, topic: str, record: DecodedRecord) -> None:
        """Columns differ while old and new versions run side by side; each difference is logged once."""
        for event, columns, counter in (
            ("unknown_columns_left_out", record.unknown, metrics.UNKNOWN_COLUMNS),
            ("missing_columns_filled", record.missing, metrics.MISSING_COLUMNS),
        ):
            if columns:
                counter.labels(topic).inc(len(columns))
                seen = (topic, event, *columns)
                if seen not in self._logged_columns and len(self._logged_columns) < MOST_LOGGED_COLUMNS:
                    self._logged_columns.add(seen)
                    log.warning(event, topic=topic, columns=columns)

    def _flush(self) -> None:
        """Write the buffered batch, however long it takes. An abandoned batch is read again."""
        batch = self._buffer.take()
        assignments = self._assignments
        try:
            letters = [*batch.letters, *self._insert(batch, assignments)]
            self._deliver(letters, assignments)
        except _Abandoned:
            self._dead_letters.forget()
            if self._assignments == assignments:
                # The process stops. Records after this batch must not be acknowledged without it. After a rebalance
                # the buffer must stay: it holds only records of the new assignment.
                self._buffer.clear()
            log.info("batch_abandoned", stopping=self._stopping.is_set())
        else:
            self._acknowledge(batch)
        finally:
            self._resume()

    def _insert(self, batch: Batch, assignments: int) -> Iterator[DeadLetter]:
        for topic, part in batch.topics.items():
            target = self._targets[topic]
            insertion = Insertion(part.rows, self._measured(target))
            waits = 0
            while not insertion.done:
                try:
                    insertion.step()
                except UnavailableError as error:
                    metrics.RETRIES.labels(target.table).inc()
                    self._outage.away(str(error))
                    self._wait(backoff_seconds(waits), assignments)
                    waits += 1
                else:
                    self._outage.back()
                    waits = 0
                    if not insertion.done:  # a bisection may take long
                        self._wait(0.0, assignments)
            if insertion.refusals:
                metrics.REFUSALS.labels(target.table).inc(insertion.refusals)
                log.warning(
                    "inserts_refused", table=target.table, inserts=insertion.refusals, said=insertion.last_refusal
                )
            yield from (_row_letter(part, refused) for refused in insertion.refused)

    def _measured(self, target: Target) -> Callable[[pa.Table], None]:
        def insert(rows: pa.Table) -> None:
            with metrics.INSERT_SECONDS.labels(target.table).time():
                target.insert(rows)
            metrics.ROWS.labels(target.table).inc(rows.num_rows)

        return insert

    def _deliver(self, letters: Sequence[DeadLetter], assignments: int) -> None:
        """Send the dead letters, and return when Kafka has them."""
        for letter in letters:
            self._dead_letters.send(letter)
        if letters:
            first = letters[0]
            log.error(
                "dead_lettered", letters=len(letters), reason=first.reason, detail=first.detail, origin=first.origin
            )
        while self._dead_letters.unacknowledged:
            self._dead_letters.poll(POLL_SECONDS)
            if error := self._dead_letters.last_error:
                self._health.complain("dead-letters", error)
            if self._dead_letters.unacknowledged:
                self._wait(POLL_SECONDS, assignments)
        self._health.settle("dead-letters")

    def _wait(self, seconds: float, assignments: int) -> None:
        """Wait without new records, and stay in the group. Raises _Abandoned when the batch cannot be finished."""
        self._pause()
        deadline = self._clock() + seconds
        while True:
            left = deadline - self._clock()
            self._read(max(0.0, min(left, POLL_SECONDS)))
            if self._stopping.is_set() or self._assignments != assignments:
                raise _Abandoned
            if left <= 0:
                return

    def _acknowledge(self, batch: Batch) -> None:
        if batch.next_offsets:
            self._source.store_offsets(
                offsets=[TopicPartition(topic, place, after) for (topic, place), after in batch.next_offsets.items()]
            )

    def _pause(self) -> None:
        if not self._paused:
            self._source.pause(self._source.assignment())
            self._paused = True
            metrics.PAUSED.set(1)

    def _resume(self) -> None:
        if self._paused:
            self._source.resume(self._source.assignment())
            self._paused = False
            metrics.PAUSED.set(0)

    def _on_assign(self, source: RecordSource, partitions: Partitions) -> None:
        self._assignments += 1
        source.assign(partitions)
        source.resume(partitions)  # a pause may outlive a rebalance; librdkafka 2.16 forgets it, but promises nothing
        self._paused = False
        self._expected = _committed_offsets(source, partitions)
        metrics.PARTITIONS.set(len(partitions))
        metrics.REBALANCES.inc()
        log.info("partitions_assigned", partitions=[f"{each.topic}:{each.partition}" for each in partitions])

    def _on_revoke(self, source: RecordSource, partitions: Partitions) -> None:
        """Assignment is eager: all partitions are revoked at once. Forget what was read of them."""
        self._assignments += 1
        self._buffer.clear()
        metrics.PARTITIONS.set(0)
        metrics.READ_TIME.clear()
        log.info("partitions_revoked", partitions=[f"{each.topic}:{each.partition}" for each in partitions])


def _committed_offsets(source: RecordSource, partitions: Partitions) -> dict[tuple[str, int], int]:
    try:
        committed = source.committed(partitions, timeout=COMMITTED_TIMEOUT_SECONDS)
    except KafkaException as error:
        log.warning("committed_offsets_unknown", error=error.args[0].str())
        return {}
    return {(each.topic, each.partition): each.offset for each in committed if each.offset >= 0}


def _row_letter(part: TopicRows, refused: RefusedRow) -> DeadLetter:
    """The row as a stream of its own, so that it can be sent to its topic again."""
    alone = refused.row.take([0])  # a slice would be encoded with parts of its neighbours
    return DeadLetter(encode_stream(alone), REFUSED_ROW, part.origin(refused.index), refused.said)
