"""`postwatch sink` as a process, with a real broker and the real engine: kill -9, outages, refusals, late repeats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from confluent_kafka import Producer
from postwatch.deploy.embedded.ports import choose_port
from postwatch.deploy.migrate import migrate
from postwatch.deploy.topics import create_topics
from postwatch.producers.record import Heartbeat
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts.arrow_stream import decode_stream, encode_stream
from postwatch.streams.contracts.heartbeat import encode_heartbeat
from postwatch.streams.contracts.outcome import Attempt, Outcome
from postwatch.streams.contracts.outcome_records import SCHEMA, decode_outcomes, encode_outcomes, from_table, to_batch
from postwatch.streams.contracts.topic_reader import read_topic
from postwatch.streams.settings import ClickHouseSettings

from tests.streams.sink.sink_process import SinkProcess, committed, members, read_all, send
from tests.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse

pytestmark = pytest.mark.stack


@pytest.fixture
def database(lasting_database: ClickHouseSettings) -> ClickHouseSettings:
    return lasting_database


QUEUED_AT = 1_795_441_338_000


def outcome(number: int, **changes: Any) -> Outcome:
    """The row of message so and so."""
    at = QUEUED_AT + number
    row = Outcome(
        account="info@example.org",
        account_domain="example.org",
        direction="sent",
        server="mail1",
        queue_id=f"1vNBqy-{number:011d}-2cDe",
        recipient=f"someone{number}@example.net",
        size_bytes=number,
        queued_at=at,
        updated_at=at + 2000,
        delay_ms=2000,
        status="delivered",
        result="accepted",
        smtp_code=250,
        attempts=(Attempt(at + 2000, "delivered", 250, "250 OK größe", "mx.example.net", "192.0.2.25"),),
        log_lines=("one", "two"),
        version=number + 1,
    )
    return row._replace(**changes)


def outcomes(first: int, count: int) -> list[Outcome]:
    return [outcome(number) for number in range(first, first + count)]


def batches(rows: list[Outcome], size: int) -> list[bytes]:
    return [encode_outcomes(rows[place : place + size]) for place in range(0, len(rows), size)]


@pytest.fixture
def kafka_topics(topics: KafkaSettings) -> KafkaSettings:
    create_topics(topics, partitions=2)
    return topics


@pytest.fixture
def start(kafka_topics: KafkaSettings, database: ClickHouseSettings, tmp_path: Path) -> Callable[..., SinkProcess]:
    def make(**settings: str) -> SinkProcess:
        return SinkProcess(kafka_topics, database, tmp_path / "sink.log", **settings)

    return make


def stored(database: ClickHouseSettings, final: bool = True) -> list[Outcome]:
    """The rows of the table by queue id, as the outcomes that they were."""
    words = "FINAL" if final else ""
    table = connect(database).query_arrow(
        f"SELECT * FROM deliveries {words} ORDER BY queue_id", settings={"output_format_arrow_string_as_string": 1}
    )
    plain = [table.column(name).cast(SCHEMA.field(name).type) for name in SCHEMA.names]
    return from_table(pa.Table.from_arrays(plain, schema=SCHEMA))


def count(database: ClickHouseSettings) -> int:
    return int(connect(database).query("SELECT count() FROM deliveries FINAL").result_rows[0][0])


def test_rows_and_heartbeats_arrive_as_they_were_and_offsets_are_committed(
    kafka_topics: KafkaSettings, database: ClickHouseSettings, start: Callable[..., SinkProcess]
) -> None:
    rows = outcomes(0, 500)
    send(kafka_topics, kafka_topics.outcomes_topic, batches(rows[:300], 20), partition=0)
    send(kafka_topics, kafka_topics.outcomes_topic, batches(rows[300:], 1), partition=1)
    beat = Heartbeat(QUEUED_AT + 500, QUEUED_AT, lag_bytes=12, files=3, shipper_version="0.1.0")
    send(kafka_topics, kafka_topics.heartbeats_topic, [encode_heartbeat("mail1", beat)])
    with start() as sink:
        wait_until(lambda: count(database) == 500, "all rows are stored")
        assert stored(database) == rows
        servers = "SELECT server, toUnixTimestamp64Milli(sent_at), lag_bytes, files, shipper_version FROM servers"
        wait_until(lambda: connect(database).query(servers).result_rows, "the heartbeat is stored")
        assert connect(database).query(servers).result_rows == [("mail1", QUEUED_AT + 500, 12, 3, "0.1.0")]
        assert sink.complaints() == {}
        assert sink.metric('postwatch_sink_rows_total{table="deliveries"}') == 500
        assert 1 <= sink.metric('postwatch_sink_insert_seconds_count{table="deliveries"}') < 50
        assert sink.terminate() == 0
    topic = kafka_topics.outcomes_topic
    assert committed(kafka_topics) == {(topic, 0): 15, (topic, 1): 200, (kafka_topics.heartbeats_topic, 0): 1}


def test_markers_of_a_transactional_producer_are_neither_lag_nor_loss(
    kafka_topics: KafkaSettings, database: ClickHouseSettings, start: Callable[..., SinkProcess]
) -> None:
    """As MirrorMaker 2 leaves them when it carries the topic here exactly once."""
    topic = kafka_topics.outcomes_topic
    producer = Producer({"bootstrap.servers": kafka_topics.brokers, "transactional.id": topic})
    producer.init_transactions(30)

    def send_in_a_transaction(number: int) -> None:
        producer.begin_transaction()
        producer.produce(topic, encode_outcomes(outcomes(number, 1)), partition=0)

    for number in range(2):
        send_in_a_transaction(number)
        producer.commit_transaction(30)
    send_in_a_transaction(99)
    producer.flush(PATIENCE)
    producer.abort_transaction(30)
    with start() as sink:
        wait_until(lambda: count(database) == 2, "the rows are stored")
        wait_until(lambda: committed(kafka_topics).get((topic, 0)) == 6, "markers are committed over")
        assert stored(database) == outcomes(0, 2)
        assert sink.metric(f'postwatch_sink_expired_records_total{{topic="{topic}"}}') == 0
        assert sink.complaints() == {}
        assert sink.terminate() == 0
    read = read_topic(kafka_topics, topic, from_beginning=True, follow=False, warn=print)
    assert [from_table(decode_outcomes(message.value() or b"")) for message in read] == [
        [row] for row in outcomes(0, 2)
    ]


def test_kill_9_in_the_middle_loses_nothing(
    kafka_topics: KafkaSettings, database: ClickHouseSettings, start: Callable[..., SinkProcess]
) -> None:
    rows = outcomes(0, 4000)
    send(kafka_topics, kafka_topics.outcomes_topic, batches(rows, 10))
    with start(max_rows="50") as sink:
        wait_until(lambda: 0 < count(database) < 4000, "the sink is in the middle")
        sink.kill()
        assert count(database) < 4000
        sink.start()
        wait_until(lambda: count(database) == 4000, "all rows are stored")
        assert stored(database) == rows


def test_clickhouse_killed_and_restarted_costs_no_row_and_no_membership(
    kafka_topics: KafkaSettings,
    database: ClickHouseSettings,
    clickhouse: EmbeddedClickHouse,
    start: Callable[..., SinkProcess],
) -> None:
    topic = kafka_topics.outcomes_topic
    rows = outcomes(0, 300)
    with start() as sink:
        send(kafka_topics, topic, batches(rows[:100], 10))
        wait_until(lambda: count(database) == 100, "the first rows are stored")
        # The rows are seen before the views have theirs, and the insert ends after that.
        wait_until(lambda: committed(kafka_topics).get((topic, 0)) == 10, "their offsets are committed")
        [member] = members(kafka_topics)
        clickhouse.kill()
        try:
            send(kafka_topics, topic, batches(rows[100:200], 10))
            wait_until(lambda: "clickhouse" in (sink.complaints() or {}), "/health complains")
            assert "ClickHouse does not answer at" in (sink.complaints() or {})["clickhouse"]
            assert sink.metric("postwatch_sink_paused") == 1
            retries = 'postwatch_sink_retries_total{table="deliveries"}'
            wait_until(lambda: sink.metric(retries) >= 3, "it is tried again and again")
            send(kafka_topics, topic, batches(rows[200:], 10))
            assert committed(kafka_topics)[topic, 0] == 10
        finally:
            clickhouse.start()
        wait_until(lambda: count(database) == 300, "all rows are stored")
        wait_until(lambda: sink.complaints() == {}, "/health is content")
        assert sink.metric("postwatch_sink_paused") == 0
        assert members(kafka_topics) == [member]
        assert not any("partitions_revoked" in event for event in sink.events())
        assert sink.terminate() == 0
    assert stored(database) == rows
    assert committed(kafka_topics)[topic, 0] == 30


def test_a_sink_that_dies_during_an_outage_leaves_its_work_to_the_other(
    kafka_topics: KafkaSettings,
    database: ClickHouseSettings,
    clickhouse: EmbeddedClickHouse,
    start: Callable[..., SinkProcess],
) -> None:
    topic = kafka_topics.outcomes_topic
    rows = outcomes(0, 200)
    with start() as first, start() as second:

        def shares() -> list[float]:
            running = [each for each in (first, second) if each.complaints() is not None]
            return [each.metric("postwatch_sink_partitions") for each in running]

        wait_until(lambda: shares() == [2, 2], "each has a partition of both topics")
        clickhouse.kill()
        try:
            send(kafka_topics, topic, batches(rows[:100], 10), partition=0)
            send(kafka_topics, topic, batches(rows[100:], 10), partition=1)
            for each in (first, second):
                wait_until(lambda each=each: each.metric("postwatch_sink_paused") == 1, "both wait")  # type: ignore[misc]
            second.kill()
            wait_until(lambda: shares() == [4], "the first has all partitions")
        finally:
            clickhouse.start()
        wait_until(lambda: count(database) == 200, "all rows are stored")
        wait_until(lambda: first.metric('postwatch_sink_rows_total{table="deliveries"}') == 200, "the first tells so")
        assert first.terminate() == 0
    assert stored(database) == rows
    assert committed(kafka_topics) == {(topic, 0): 10, (topic, 1): 10}


def _with_unequal_attempts(row: Outcome) -> bytes:
    """A row as only a broken producer makes it: two responses to one attempt."""
    table = pa.Table.from_batches([to_batch([row])])
    place = SCHEMA.get_field_index("attempts.response")
    return encode_stream(table.set_column(place, SCHEMA.field(place), pa.array([["a", "b"]])))


def test_what_can_not_be_stored_is_dead_lettered_and_the_stream_goes_on(
    kafka_topics: KafkaSettings, database: ClickHouseSettings, start: Callable[..., SinkProcess]
) -> None:
    connect(database).command("ALTER TABLE deliveries ADD CONSTRAINT sane CHECK size_bytes != 13")
    good = outcomes(100, 50)
    values = [
        *batches(good[:25], 5),
        b"not Arrow at all",
        encode_outcomes([outcome(12), outcome(13), outcome(14)]),
        _with_unequal_attempts(outcome(20)),
        *batches(good[25:], 5),
    ]
    send(kafka_topics, kafka_topics.outcomes_topic, values)
    with start() as sink:
        wait_until(lambda: count(database) == 52, "the good rows are stored")
        wait_until(lambda: committed(kafka_topics), "the offsets are committed")
        assert sink.complaints() == {}
        assert sink.metric('postwatch_dead_letter_records_total{reason="refused-row"}') == 2
        assert sink.terminate() == 0
    assert stored(database) == sorted([outcome(12), outcome(14), *good], key=lambda row: row.queue_id)
    letters = read_all(kafka_topics, kafka_topics.dead_letters_topic, 3)
    by_offset = {int(headers["offset"]): (value, headers) for value, headers in letters}
    assert sorted(by_offset) == [5, 6, 7]
    assert by_offset[5][0] == b"not Arrow at all"
    assert by_offset[5][1]["reason"] == b"undecodable-record"
    assert from_table(decode_stream(by_offset[6][0])) == [outcome(13)]
    assert b"sane" in by_offset[6][1]["detail"]
    for neighbour in (b"someone12", b"someone14"):
        assert neighbour not in by_offset[6][0]
    for value, headers in (by_offset[6], by_offset[7]):
        assert decode_stream(value).num_rows == 1
        assert headers["reason"] == b"refused-row"
        assert headers["topic"] == kafka_topics.outcomes_topic.encode()
    assert committed(kafka_topics)[kafka_topics.outcomes_topic, 0] == len(values)


_NO_ROOM = "SETTING min_free_disk_bytes_to_perform_insert"


@pytest.mark.parametrize(
    ("table", "breaks", "mends", "said"),
    [
        ("delivery_states", "ADD CONSTRAINT c CHECK size_bytes != 13", "DROP CONSTRAINT c", "not by the view"),
        ("delivery_events", "ADD CONSTRAINT c CHECK size_bytes != 13", "DROP CONSTRAINT c", "not by the view"),
        ("delivery_events", f"MODIFY {_NO_ROOM} = {10**18}", f"RESET {_NO_ROOM}", "free space on ClickHouse's disks"),
    ],
    ids=["states", "events", "disk-full"],
)
def test_a_view_that_fails_makes_no_dead_letter_and_its_rows_come_when_it_is_mended(
    kafka_topics: KafkaSettings,
    database: ClickHouseSettings,
    start: Callable[..., SinkProcess],
    table: str,
    breaks: str,
    mends: str,
    said: str,
) -> None:
    """The table has taken the rows by then, so they are no bad ones."""
    client = connect(database)
    client.command(f"ALTER TABLE {table} {breaks}")
    send(kafka_topics, kafka_topics.outcomes_topic, batches(outcomes(0, 40), 10))
    with start() as sink:
        wait_until(lambda: said in str(sink.complaints()), "it says what is wrong")
        assert f"to_{table}" in str(sink.complaints())
        assert count(database) == 40
        client.command(f"ALTER TABLE {table} {mends}")
        wait_until(lambda: committed(kafka_topics), "the offsets are committed")
        assert sink.metric('postwatch_dead_letter_records_total{reason="refused-row"}') == 0
        assert sink.terminate() == 0
    assert stored(database) == outcomes(0, 40)
    for one in ("delivery_states", "delivery_events"):
        found = client.query(f"SELECT size_bytes FROM {one} FINAL ORDER BY size_bytes").result_rows
        assert [size for (size,) in found] == list(range(40))


def test_an_old_batch_that_comes_late_does_not_change_a_newer_row(
    kafka_topics: KafkaSettings, database: ClickHouseSettings, start: Callable[..., SinkProcess]
) -> None:
    newer = outcome(1, version=20, status="delivered")
    older = outcome(1, version=10, status="deferred", result="pending")
    topic = kafka_topics.outcomes_topic
    with start() as sink:
        send(kafka_topics, topic, [encode_outcomes([newer])])
        wait_until(lambda: count(database) == 1, "the newer row is stored")
        send(kafka_topics, topic, [encode_outcomes([older]), encode_outcomes([newer])])
        rows = 'postwatch_sink_rows_total{table="deliveries"}'
        wait_until(lambda: sink.metric(rows) == 3, "the late batch is stored")
        assert stored(database) == [newer]
        assert sink.terminate() == 0


def test_missing_tables_are_no_fault_of_the_rows(
    kafka_topics: KafkaSettings, clickhouse: EmbeddedClickHouse, tmp_path: Path
) -> None:
    empty = ClickHouseSettings(url=clickhouse.settings.url, database="not_yet_migrated")
    send(kafka_topics, kafka_topics.outcomes_topic, batches(outcomes(0, 5), 5))
    with SinkProcess(kafka_topics, empty, tmp_path / "sink.log") as sink:

        def complaint() -> str:
            return (sink.complaints() or {}).get("clickhouse", "")

        wait_until(lambda: "`postwatch migrate`" in complaint(), "/health complains of the database")
        connect(empty, database="").command("CREATE DATABASE not_yet_migrated")
        wait_until(lambda: "deliveries" in complaint(), "/health complains of the table")
        assert "`postwatch migrate`" in complaint()
        migrate(connect(empty, database=""), empty)
        wait_until(lambda: count(empty) == 5, "all rows are stored")
        assert sink.terminate() == 0


def test_servers_that_are_not_there_at_start_are_waited_for(
    topics: KafkaSettings, database: ClickHouseSettings, tmp_path: Path
) -> None:
    nowhere = ClickHouseSettings(url=f"http://127.0.0.1:{choose_port()}")
    with SinkProcess(topics, nowhere, tmp_path / "1.log") as sink:
        wait_until(lambda: "clickhouse" in (sink.complaints() or {}), "/health complains of ClickHouse")
        assert f"{nowhere.url}" in (sink.complaints() or {})["clickhouse"]
        assert sink.terminate() == 0
    no_broker = KafkaSettings(brokers=f"127.0.0.1:{choose_port()}")
    with SinkProcess(no_broker, database, tmp_path / "2.log") as sink:
        wait_until(lambda: "kafka" in (sink.complaints() or {}), "/health complains of Kafka")
        assert "start it, or set POSTWATCH_KAFKA_BROKERS" in (sink.complaints() or {})["kafka"]
        assert sink.terminate() == 0
    with SinkProcess(topics, database, tmp_path / "3.log") as sink:
        wait_until(lambda: "kafka" in (sink.complaints() or {}), "/health complains of the topics")
        assert "`postwatch migrate --topics`" in (sink.complaints() or {})["kafka"]
        create_topics(topics, partitions=1)
        send(topics, topics.outcomes_topic, batches(outcomes(0, 5), 5))
        wait_until(lambda: count(database) == 5, "all rows are stored")
        assert sink.complaints() == {}
