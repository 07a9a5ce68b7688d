"""The judge: waits until every part is through, then compares what is stored with what is true, row for row.

Three truths are held against the stack: what the simulator meant, what `postwatch read` makes of the whole logs (every
column), and the lines themselves, each of which must be in the raw topic. Nothing is forgiven but time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from postwatch.deploy.simulator.truth import TruthRow
from postwatch.deploy.simulator.verdict import compare
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts.outcome import to_json_object
from postwatch.streams.contracts.outcome_records import SCHEMA, from_table
from postwatch.streams.faust_glue.table import WRITER_EPOCH

from tests.chaos.faults import Scene
from tests.chaos.stack import PARTITIONS, Stack
from tests.slim_tables import differences

DRAIN_SECONDS = 300.0
_METRICS_SECONDS = 90
"""A join that was told to stop while Kafka was away takes a minute to end; then it is started again."""
_KEY = ("server", "queue_id", "queued_at", "recipient", "direction", "account")
_SHOWN = 8
_CHANGELOG = "postwatch-join-parked-changelog"

Row = dict[str, Any]


@dataclass
class Judgement:
    """What is wrong, a line each; nothing: the table is right."""

    rows: int = 0
    lines: int = 0
    letters: int = 0
    writers: int = 0
    """How often a partition's table had a new owner who wrote."""
    wrong: list[str] = field(default_factory=list)

    def blame(self, what: str, found: Sequence[object]) -> None:
        if found:
            self.wrong.append(f"{len(found)} {what}: {'; '.join(str(one) for one in found[:_SHOWN])}")


def drain(stack: Stack) -> list[str]:
    """Let every part come to its end, from the logs to the table; returns what did not within its time."""
    late = [] if _wait(stack, lambda: _are_shipped(stack)) else ["the shippers have not sent all of their logs"]
    for name in stack.names("ship"):
        stack.members[name].is_wanted = False
        stack.members[name].part.terminate()
    if not _wait(stack, lambda: not any(one.is_running for name, one in stack.members.items() if "ship-" in name)):
        late.append("the shippers do not end")
    if not _wait(stack, lambda: _is_through(stack, "postwatch-join", [stack.kafka.raw_topic])):
        late.append("the joins have not acknowledged all raw records")
    targets = [stack.kafka.outcomes_topic, stack.kafka.heartbeats_topic]
    if not _wait(stack, lambda: _is_through(stack, "postwatch-sink", targets)):
        late.append("the sinks have not acknowledged all outcomes")
    return late


def judge(scene: Scene, *, of_one_build: bool = True) -> Judgement:
    """Compare all that is stored with all that is true; the parts are through.

    Rows that several builds made need not have every column as `postwatch read` of this one has it.
    """
    judgement = Judgement(lines=scene.traffic.lines)
    table = _table(scene.stack)
    judgement.rows = len(table)
    _judge_meaning(judgement, scene, table)
    _judge_keys(judgement, table)
    if of_one_build:
        _judge_columns(judgement, scene, table)
    _judge_slim_tables(judgement, scene.stack)
    _judge_lines(judgement, scene)
    _judge_letters(judgement, scene)
    _judge_counts(judgement, scene.stack)
    _judge_changelog(judgement, scene.stack)
    return judgement


def _judge_meaning(judgement: Judgement, scene: Scene, table: list[Row]) -> None:
    """Against the simulator: who sent what to whom, and what became of it."""
    found = [TruthRow(*(str(row[name] or "") for name in TruthRow._fields)) for row in table]
    verdict = compare(scene.traffic.truth.rows(), found)
    judgement.blame("outcomes missing", verdict.missing)
    judgement.blame("outcomes stale or wrong", verdict.wrong)
    judgement.blame("outcomes that nobody had", verdict.unexpected)


def _judge_keys(judgement: Judgement, table: list[Row]) -> None:
    found = Counter(_key(row) for row in table)
    judgement.blame("rows twice", [key for key, count in found.items() if count > 1])


def _judge_columns(judgement: Judgement, scene: Scene, table: list[Row]) -> None:
    """Against `postwatch read`: every column of every row."""
    expected = {_key(row): row for row in _read(scene)}
    found = {_key(row) for row in table}
    differing = []
    for row in table:
        other = expected.get(_key(row))
        if other is not None and other != row:
            columns = {name: (row[name], other[name]) for name in row if row[name] != other[name]}
            differing.append(f"{_key(row)} {str(columns)[:600]}")
    judgement.blame("rows with columns that differ from postwatch read (table, read)", differing)
    judgement.blame("rows of postwatch read that are missing", sorted(expected.keys() - found))
    judgement.blame("rows that postwatch read has not", sorted(found - expected.keys()))


def _judge_slim_tables(judgement: Judgement, stack: Stack) -> None:
    """Against the rows themselves: the tables in the order of time have no more and no less."""
    found = [f"{table}: {kind} {str(row)[:400]}" for table, kind, row in differences(stack.clickhouse)]
    judgement.blame("rows of the slim tables that differ from what their views make of deliveries", found)


def _judge_lines(judgement: Judgement, scene: Scene) -> None:
    """Every line is in the raw topic, under its server."""
    raw: dict[bytes, set[bytes]] = {}
    for key, value in _records(scene.stack, scene.stack.kafka.raw_topic):
        raw.setdefault(key, set()).update(value.split(b"\n"))
    for server, log in scene.traffic.logs.items():
        shipped = raw.get(server.encode(), set())
        lines = log.copy_path.read_bytes().splitlines()
        judgement.blame(f"lines of {server} not in Kafka", [line for line in lines if line not in shipped])


def _judge_letters(judgement: Judgement, scene: Scene) -> None:
    """What can't be used is a dead letter, and nothing else is."""
    letters = {value for _, value in _records(scene.stack, scene.stack.kafka.dead_letters_topic)}
    judgement.letters = len(letters)
    torn = {half for log in scene.traffic.logs.values() for half in log.halves}
    judgement.blame("lines or records that are no dead letters", sorted(set(scene.letters) - letters))
    judgement.blame("dead letters that should be none", sorted(letters - set(scene.letters) - torn))


def _counts_of(stack: Stack, name: str) -> dict[str, float]:
    """Its metrics, as soon as it answers."""
    for _ in range(_METRICS_SECONDS):
        counts = stack.members[name].metrics()
        if counts:
            return counts
        time.sleep(1)
    return {}


def _judge_counts(judgement: Judgement, stack: Stack) -> None:
    """Every line that a join has read is an event, ignored or a dead letter."""
    uneven = []
    for name in stack.names("join"):
        counts = _counts_of(stack, name)
        parts = ("event", "ignored", "unreadable")
        kinds = [counts.get(f"postwatch_{part}_lines_total", 0.0) for part in parts]
        if "postwatch_records_total" not in counts or counts.get("postwatch_lines_total", 0.0) != sum(kinds):
            uneven.append((name, counts.get("postwatch_lines_total"), *zip(parts, kinds, strict=True)))
    judgement.blame("joins whose lines do not add up", uneven)


def _judge_changelog(judgement: Judgement, stack: Stack) -> None:
    """No join has written to a partition's table behind its successor."""
    seen: dict[int, list[bytes]] = {}
    late = []
    for message in _messages(stack, _CHANGELOG):
        writer = dict(message.headers() or ())[WRITER_EPOCH]
        assert isinstance(writer, bytes)
        writers = seen.setdefault(int(message.partition() or 0), [])
        if not writers or writer != writers[-1]:
            if writer in writers:
                late.append((message.partition(), message.offset(), writer, bytes(message.key() or b"")))
            writers.append(writer)
    judgement.writers = sum(map(len, seen.values()))
    judgement.blame("entries of the table written behind a successor's (partition, offset, writer, key)", late)


def _table(stack: Stack) -> list[Row]:
    table = connect(stack.clickhouse).query_arrow("SELECT * FROM deliveries FINAL").select(SCHEMA.names).cast(SCHEMA)
    return [to_json_object(row) for row in from_table(table)]


def _read(scene: Scene) -> Iterator[Row]:
    for server, log in scene.traffic.logs.items():
        options = ["--server", server, "--domains", str(scene.traffic.domains_file), str(log.copy_path)]
        command = [sys.executable, "-m", "postwatch.deploy", "read", *options]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode not in (0, 1):  # 1: the log has no rows
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        for line in done.stdout.splitlines():
            yield json.loads(line)


def _key(row: Row) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in _KEY)


def _are_shipped(stack: Stack) -> bool:
    """Every shipper has scanned its files and waits for nothing."""
    found = [stack.members[name].metrics() for name in stack.names("ship")]
    return all(
        one.get("postwatch_ship_lag_bytes") == 0
        and one.get("postwatch_ship_in_flight_bytes") == 0
        and one.get("postwatch_ship_files", 0) > 0
        and one.get("postwatch_ship_heartbeats_total", 0) > 1
        for one in found
    )


def _is_through(stack: Stack, group: str, topics: Sequence[str]) -> bool:
    """Whether a group has acknowledged all of some topics."""
    consumer = Consumer({"bootstrap.servers": stack.kafka.brokers, "group.id": group, "log_level": 2})
    try:
        wanted = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
        committed = consumer.committed(wanted, timeout=5)
        ends = [consumer.get_watermark_offsets(one, timeout=5)[1] for one in wanted]
    except KafkaException:
        return False
    finally:
        consumer.close()
    return all(one.offset == end or end == 0 for one, end in zip(committed, ends, strict=True))


def _records(stack: Stack, topic: str) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of all records that the topic has now."""
    for message in _messages(stack, topic):
        yield bytes(message.key() or b""), bytes(message.value() or b"")


def _messages(stack: Stack, topic: str) -> Iterator[Message]:
    """All records that the topic has now, each partition in its order."""
    consumer = Consumer(
        {"bootstrap.servers": stack.kafka.brokers, "group.id": "judge", "enable.auto.commit": False, "log_level": 2}
    )
    try:
        left = {}
        for number in range(PARTITIONS):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
            if high > low:
                left[number] = high
        consumer.assign([TopicPartition(topic, number, 0) for number in left])
        while left:
            message = consumer.poll(10)
            if message is None or message.error():
                raise TimeoutError(f"{topic} can't be read to its end: {message and message.error()}")
            partition, kafka_offset = message.partition(), message.offset()
            assert partition is not None
            assert kafka_offset is not None
            yield message
            if kafka_offset + 1 >= left.get(partition, 0):
                left.pop(partition, None)
    finally:
        consumer.close()


def _wait(stack: Stack, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + DRAIN_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        stack.tick()
        time.sleep(0.5)
    return True
