"""The sink's buffer: batches of whole records, bounded in rows, bytes and time, that know where each row came from."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from postwatch.streams.contracts.dead_letters import DeadLetter, RecordOrigin
from postwatch.streams.sink.batch import BLOCK_ROWS, BUSY_ROWS, LOADED_ROWS, LOADED_WAITS, RowBatcher


def record(kafka_offset: int, partition: int = 0, topic: str = "mail.outcomes") -> RecordOrigin:
    return RecordOrigin(topic, partition, kafka_offset)


def rows(count: int, first: int = 0) -> pa.Table:
    return pa.table({"n": pa.array(range(first, first + count), pa.int64())})


def letter(origin: RecordOrigin, value: bytes = b"noise") -> DeadLetter:
    return DeadLetter(value, "undecodable-record", origin)


def test_an_empty_buffer_is_never_due() -> None:
    buffer = RowBatcher(max_rows=10, max_wait_seconds=0.5)
    assert not buffer.is_due(1e9)
    assert buffer.seconds_until_due(1e9, at_most=0.25) == 0.25


def test_a_batch_is_due_when_its_first_record_has_waited() -> None:
    buffer = RowBatcher(max_rows=10, max_wait_seconds=0.5)
    buffer.add_rows(record(0), rows(1), 100, now=100.0)
    buffer.add_rows(record(1), rows(1), 100, now=100.375)
    assert buffer.seconds_until_due(100.375, at_most=1.0) == 0.125
    assert not buffer.is_due(100.375)
    assert buffer.is_due(100.5)


def test_a_batch_with_many_rows_waits_for_more() -> None:
    buffer = RowBatcher(max_rows=10_000, max_wait_seconds=0.25, busy_wait_seconds=1.5)
    buffer.add_rows(record(0), rows(BUSY_ROWS - 1), 100, now=100.0)
    assert buffer.is_due(100.25)
    buffer.add_rows(record(1), rows(1), 100, now=100.125)
    assert not buffer.is_due(101.25)
    assert buffer.seconds_until_due(101.25, at_most=1.0) == 0.25
    assert buffer.is_due(101.5)
    buffer.take()
    buffer.add_rows(record(2), rows(1), 100, now=200.0)
    assert buffer.is_due(200.25)


def test_a_batch_with_very_many_rows_waits_still_longer() -> None:
    buffer = RowBatcher(max_rows=100_000, max_wait_seconds=0.25, busy_wait_seconds=1.5)
    buffer.add_rows(record(0), rows(LOADED_ROWS - 1), 100, now=100.0)
    assert buffer.is_due(101.5)
    buffer.add_rows(record(1), rows(1), 100, now=101.0)
    assert not buffer.is_due(100.0 + 1.5 * LOADED_WAITS - 0.25)
    assert buffer.is_due(100.0 + 1.5 * LOADED_WAITS)


def test_small_records_become_blocks() -> None:
    buffer = RowBatcher(max_rows=100_000, max_wait_seconds=0.5)
    for number in range(30):
        buffer.add_rows(record(number), rows(BLOCK_ROWS // 10, first=number), 100, now=100.0)
    found = buffer.take().topics["mail.outcomes"].rows
    assert [len(chunk) for chunk in found.column("n").chunks] == [BLOCK_ROWS] * 3


def test_a_batch_is_due_when_it_has_rows_enough() -> None:
    buffer = RowBatcher(max_rows=10, max_wait_seconds=0.5)
    buffer.add_rows(record(0), rows(9), 100, now=100.0)
    assert not buffer.is_due(100.0)
    buffer.add_rows(record(1), rows(5), 100, now=100.0)
    assert buffer.is_due(100.0)


def test_a_batch_is_due_when_it_has_bytes_enough_letters_included() -> None:
    buffer = RowBatcher(max_rows=10, max_wait_seconds=0.5, max_bytes=200)
    buffer.add_rows(record(0), rows(1), 100, now=100.0)
    buffer.add_letter(record(1), letter(record(1), bytes(99)), now=100.0)
    assert not buffer.is_due(100.0)
    buffer.add_letter(record(2), letter(record(2), bytes(1)), now=100.0)
    assert buffer.is_due(100.0)


def test_taking_empties_the_buffer() -> None:
    buffer = RowBatcher(max_rows=1, max_wait_seconds=0.5)
    buffer.add_rows(record(7), rows(1), 100, now=100.0)
    assert buffer.take().next_offsets == {("mail.outcomes", 0): 8}
    assert not buffer.is_due(200.0)
    assert buffer.take().next_offsets == {}


def test_clearing_forgets_everything() -> None:
    buffer = RowBatcher(max_rows=1, max_wait_seconds=0.5)
    buffer.add_rows(record(7), rows(1), 100, now=100.0)
    buffer.add_letter(record(8), letter(record(8)), now=100.0)
    buffer.clear()
    batch = buffer.take()
    assert (batch.topics, batch.letters, batch.next_offsets) == ({}, [], {})


RECORDS = st.tuples(st.sampled_from(["mail.outcomes", "mail.heartbeats"]), st.integers(0, 2), st.integers(0, 3))


@given(st.lists(RECORDS, max_size=30))
def test_every_row_is_in_the_batch_once_and_knows_its_record(records: list[tuple[str, int, int]]) -> None:
    buffer = RowBatcher(max_rows=1_000, max_wait_seconds=0.5)
    expected: dict[str, list[RecordOrigin]] = {}
    for kafka_offset, (topic, partition, count) in enumerate(records):
        origin = record(kafka_offset, partition, topic)
        buffer.add_rows(origin, rows(count, first=kafka_offset * 100), 10, now=0.0)
        expected.setdefault(topic, []).extend([origin] * count)
    batch = buffer.take()
    for topic, origins in expected.items():
        found = batch.topics[topic]
        assert [found.origin(index) for index in range(found.rows.num_rows)] == origins
        assert [n // 100 for n in found.rows.column("n").to_pylist()] == [origin.kafka_offset for origin in origins]
        assert found.rows.column("n").num_chunks <= 1
    for (topic, partition), next_offset in batch.next_offsets.items():
        last = max(place for place, entry in enumerate(records) if entry[:2] == (topic, partition))
        assert next_offset == last + 1
