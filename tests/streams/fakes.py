"""Stand-ins for Kafka and ClickHouse that keep their rules, without sockets or real time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from postwatch.producers.service.errors import UnavailableError
from postwatch.streams.errors import OversizedInsertError, RefusedRowsError

Place = tuple[str, int]
MARKER = b"(the marker of a transaction)"
"""Takes an offset, and is not handed over."""


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FakeTable:
    """Takes rows that are no `poison`, up to `room` at once; the tries numbered in `away` find nobody there."""

    def __init__(
        self, poison: frozenset[int] = frozenset(), room: int = 1_000_000, away: frozenset[int] = frozenset()
    ) -> None:
        self.poison = poison
        self.room = room
        self.away = away
        self.taken: list[int] = []
        self.tries: list[int] = []

    def insert(self, rows: pa.Table) -> None:
        self.tries.append(rows.num_rows)
        if len(self.tries) in self.away:
            raise UnavailableError("nobody there")
        numbers = rows.column("n").to_pylist()
        if len(numbers) > self.room:
            raise OversizedInsertError("too much")
        if self.poison.intersection(numbers):
            raise RefusedRowsError("poison")
        self.taken += numbers


class FakeProducer:
    """Keeps what was delivered; reports each delivery at the next poll, with the next error of `errors` if any."""

    def __init__(self, room: int = 100) -> None:
        self.room = room
        self.sent: list[tuple[str, bytes, dict[str, bytes]]] = []
        self.errors: list[KafkaError] = []
        self.refusals: list[KafkaException] = []
        self._reports: list[tuple[Any, Callable[[KafkaError | None, Any], None]]] = []

    def produce(self, topic: str, value: bytes, headers: Any, on_delivery: Any) -> None:
        if len(self._reports) >= self.room:
            raise BufferError("Local: Queue full")
        if self.refusals:
            raise self.refusals.pop()
        self._reports.append(((topic, value, dict(headers)), on_delivery))

    def poll(self, timeout: float) -> int:
        reports, self._reports = self._reports, []
        for record, report in reports:
            error = self.errors.pop(0) if self.errors else None
            if error is None:
                self.sent.append(record)
            report(error, None)
        return len(reports)


class FakeMessage:
    def __init__(self, place: Place, kafka_offset: int, value: bytes | None, error: KafkaError | None = None) -> None:
        self._place = place
        self._offset = kafka_offset
        self._value = value
        self._error = error

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes | None:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 2, 1000 * self._offset

    def error(self) -> KafkaError | None:
        return self._error


class FakeBroker:
    """Partitions and committed offsets; both outlive a consumer."""

    def __init__(self, partitions: dict[Place, list[bytes]]) -> None:
        self.partitions = partitions
        self.committed: dict[Place, int] = {}
        self.earliest: dict[Place, int] = {}


class FakeSource:
    """A member of the group. At each poll the next of `happenings` comes to pass: a function, or nothing.

    A pause comes late, as it may where a record is on its way already: one record more is seen.
    """

    def __init__(
        self,
        broker: FakeBroker,
        clock: FakeClock,
        happenings: Iterable[Callable[[], None] | None] = (),
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._happenings = iter(happenings)
        self._idle = idle
        self._positions: dict[Place, int] = {}
        self.paused: set[Place] = set()
        self._late = False
        self.polls = 0

    def subscribe(self, topics: list[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self._on_assign = on_assign
        self._on_revoke = on_revoke
        self._on_assign(self, self._all())

    def rebalance(self, lost: int = 0) -> None:
        """All partitions go and come back, but the first so many; the pause stays, the worse case."""
        self._on_revoke(self, self.assignment())
        self._positions.clear()
        self._on_assign(self, self._all()[lost:])

    def assign(self, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            place = (each.topic, each.partition)
            self._positions[place] = self._broker.committed.get(place, 0)

    def is_done(self) -> bool:
        """Whether everything of its partitions is acknowledged."""
        return all(self._broker.committed.get(at, 0) == len(self._broker.partitions[at]) for at in self._positions)

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*place) for place in self._positions]

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        unknown = -1001
        return [
            TopicPartition(
                each.topic, each.partition, self._broker.committed.get((each.topic, each.partition), unknown)
            )
            for each in partitions
        ]

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:
        place = (partition.topic, partition.partition)
        return self._broker.earliest.get(place, 0), len(self._broker.partitions[place])

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {(each.topic, each.partition) for each in partitions}
        self._late = True

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {(each.topic, each.partition) for each in partitions}

    def store_offsets(self, *, offsets: list[TopicPartition]) -> None:
        for each in offsets:
            assert (each.topic, each.partition) in self._positions, "a partition that is not ours"
            self._broker.committed[each.topic, each.partition] = each.offset

    def poll(self, timeout: float) -> Any:
        self.polls += 1
        assert self.polls < 10_000, "the sink goes round in circles"
        if happening := next(self._happenings, None):
            happening()
        for place, position in self._positions.items():
            held = self._broker.partitions[place]
            if position < len(held) and held[position] == MARKER:
                while position < len(held) and held[position] == MARKER:
                    position += 1
                self._positions[place] = position
                if position == len(held):
                    return FakeMessage(place, position, None, KafkaError(KafkaError._PARTITION_EOF))
            if (self._late or place not in self.paused) and position < len(self._broker.partitions[place]):
                self._late = False
                self._positions[place] += 1
                return FakeMessage(place, position, self._broker.partitions[place][position])
        self._clock.now += timeout
        self._idle()
        return None

    def _all(self) -> list[TopicPartition]:
        return [TopicPartition(*place) for place in self._broker.partitions]
