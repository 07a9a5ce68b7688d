"""Broker, engine and Postwatch's own processes for a benchmark; all of it ends with this process at the latest."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.embedded.kafka import EmbeddedKafka
from postwatch.deploy.embedded.part import Part
from postwatch.deploy.embedded.worker import Worker
from postwatch.deploy.migrate import migrate
from postwatch.deploy.topics import create_topics
from postwatch.producers.record import Heartbeat
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

from tests.benchmarks.mail_server import Shipper

PARTITIONS = 4
VIEWS_FOR_TIME = ("to_delivery_states", "to_delivery_events")
"""They fill the tables for time, at a cost of their own a row."""

_numbers = itertools.count(1)


class Producing(Part):
    """A module of the benchmarks that puts records on the raw topic, then ends."""

    def __init__(self, name: str, words: Sequence[str], environment: Mapping[str, str], log_path: Path) -> None:
        """`name`: of the module; `words`: what it is called with."""
        super().__init__(name, log_path)
        self._words = words
        self._environment = environment

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", f"tests.benchmarks.{self.name}", *self._words]

    def environment(self) -> Mapping[str, str]:
        return self._environment

    def is_ready(self) -> bool:
        return True


@dataclass
class Lane:
    """Topics, a database, groups and folders that nobody else uses, and the processes on them."""

    folder: Path
    kafka: KafkaSettings
    clickhouse: ClickHouseSettings
    servers: tuple[Part, ...]
    """Those of the stack that work for it."""
    parts: list[Part] = field(default_factory=list)
    partitions: int = PARTITIONS

    def environment(self) -> dict[str, str]:
        prefix = self.kafka.raw_topic.removesuffix("mail.raw")
        return {
            "POSTWATCH_KAFKA_BROKERS": self.kafka.brokers,
            "POSTWATCH_KAFKA_RAW_TOPIC": self.kafka.raw_topic,
            "POSTWATCH_KAFKA_OUTCOMES_TOPIC": self.kafka.outcomes_topic,
            "POSTWATCH_KAFKA_HEARTBEATS_TOPIC": self.kafka.heartbeats_topic,
            "POSTWATCH_KAFKA_DEAD_LETTERS_TOPIC": self.kafka.dead_letters_topic,
            "POSTWATCH_CLICKHOUSE_URL": self.clickhouse.url,
            "POSTWATCH_CLICKHOUSE_DATABASE": self.clickhouse.database,
            "POSTWATCH_JOIN_DATA_DIR": str(self.folder / "join"),
            "POSTWATCH_JOIN_GROUP": f"{prefix}join",
            "POSTWATCH_JOIN_METRICS_ADDRESS": "",
            "POSTWATCH_SINK_GROUP": f"{prefix}sink",
            "POSTWATCH_SINK_METRICS_ADDRESS": "",
        }

    def start(self, command: str, **environment: str) -> Part:
        """Start `postwatch COMMAND`; what it says is in a file of its name."""
        return self._start(Worker(command, {**self.environment(), **environment}, self.folder / f"{command}.log"))

    def start_join(self, number: int = 1, **environment: str) -> Part:
        """Start one more worker; each has a name and a folder of its own."""
        name = "join" if number == 1 else f"join-{number}"
        environment = {**self.environment(), "POSTWATCH_JOIN_DATA_DIR": str(self.folder / name), **environment}
        return self._start(Worker("join", environment, self.folder / f"{name}.log", name=name))

    def start_producer(self, records: Path) -> Part:
        return self.start_producing("produce", str(records))

    def start_producing(self, module: str, *words: str) -> Part:
        kafka = {name: value for name, value in self.environment().items() if name.startswith("POSTWATCH_KAFKA")}
        return self._start(Producing(module, words, kafka, self.folder / f"{module}.log"))

    def start_shipper(self, server: str, log: Path, metrics_address: str = "", python: Path | None = None) -> Part:
        """`python`: of an environment of its own; None: of this one."""
        environment = {
            **self.environment(),
            "POSTWATCH_SHIP_FILES": str(log),
            "POSTWATCH_SHIP_FORMAT": "exim-main",
            "POSTWATCH_SHIP_TZ": "UTC",
            "POSTWATCH_SHIP_SERVER": server,
            "POSTWATCH_SHIP_CHECKPOINT_FILE": str(self.folder / "checkpoint.json"),
            "POSTWATCH_SHIP_METRICS_ADDRESS": metrics_address,
        }
        return self._start(Shipper(environment, self.folder / "ship.log", python))

    def warm_up(self, timeout_seconds: float) -> None:
        """Wait until a heartbeat of each partition has gone the whole way to the table `servers`."""
        producer = Producer(self.kafka.client_config())
        headers = Heartbeat(time.time_ns() // 1_000_000, 0, 0, 0, "benchmark").encode()
        for partition in range(self.partitions):
            producer.produce(self.kafka.raw_topic, b"", f"warm{partition}", partition, headers=[*headers])
        producer.flush(10)
        client = connect(self.clickhouse)
        deadline = time.monotonic() + timeout_seconds
        while int(str(client.command("SELECT uniqExact(server) FROM servers"))) < self.partitions:
            self.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"no heartbeat came through in {timeout_seconds:.0f} s")
            time.sleep(0.1)

    def check(self) -> None:
        """Raises RuntimeError, with the end of its log, when a part has failed."""
        for part in self.parts:
            if part.exit_status():
                raise RuntimeError(f"{part.name} ended: {part.log_tail()}")

    def cpu_seconds(self) -> dict[str, float]:
        """Name → CPU time so far, of what runs."""
        found: dict[str, float] = {}
        for part in (*self.servers, *self.parts):
            try:
                times = psutil.Process(part.pid).cpu_times()
            except psutil.NoSuchProcess:
                continue  # a producer that is through
            found[part.name] = times.user + times.system
        return found

    def resident_bytes(self) -> dict[str, int]:
        """Name → memory now, of what runs."""
        found: dict[str, int] = {}
        for part in (*self.servers, *self.parts):
            with suppress(psutil.NoSuchProcess):  # a producer that is through
                found[part.name] = psutil.Process(part.pid).memory_info().rss
        return found

    def outcome_records(self) -> int:
        """How many there are on the topic of outcomes."""
        consumer = Consumer({"bootstrap.servers": self.kafka.brokers, "group.id": "bench-watch"})
        try:
            ends = [
                consumer.get_watermark_offsets(TopicPartition(self.kafka.outcomes_topic, number), timeout=10)[1]
                for number in range(self.partitions)
            ]
        finally:
            consumer.close()
        return sum(ends)

    def _start(self, part: Part) -> Part:
        part.start()
        self.parts.append(part)
        return part


def fresh_topics(brokers: str, prefix: str, partitions: int = PARTITIONS) -> KafkaSettings:
    """Made anew, with names that begin with the prefix."""
    kafka = KafkaSettings(
        brokers=brokers,
        raw_topic=prefix + "mail.raw",
        outcomes_topic=prefix + "mail.outcomes",
        heartbeats_topic=prefix + "mail.heartbeats",
        dead_letters_topic=prefix + "mail.dead-letters",
    )
    create_topics(kafka, partitions)
    return kafka


class Stack:
    """One broker and one engine for all benchmarks of a run."""

    def __init__(self, folder: Path, kafka: EmbeddedKafka, engine: EmbeddedClickHouse) -> None:
        """Both run already."""
        self.folder = folder
        self.kafka = kafka
        self._engine = engine

    def make_database(self) -> ClickHouseSettings:
        settings = replace(self._engine.settings, database=f"bench{next(_numbers)}")
        migrate(connect(settings, database=""), settings)
        return settings

    @contextmanager
    def lane(self, partitions: int = PARTITIONS, fills_tables_for_time: bool = True) -> Iterator[Lane]:
        """Fresh topics and tables; whatever happens, no process of it is left, and neither are its rows."""
        database = self.make_database()
        if not fills_tables_for_time:
            for view in VIEWS_FOR_TIME:
                connect(database).command(f"DROP VIEW {view}")
        prefix = f"{database.database}."
        kafka = fresh_topics(self.kafka.brokers, prefix, partitions)
        lane = Lane(self.folder / database.database, kafka, database, (self.kafka, self._engine), partitions=partitions)
        lane.folder.mkdir()
        try:
            yield lane
        finally:
            for part in lane.parts:
                part.stop()
            connect(database, database="").command(f"DROP DATABASE {database.database}")


@contextmanager
def started_stack(folder: Path) -> Iterator[Stack]:
    """A stack over fresh servers."""
    kafka, engine = EmbeddedKafka(folder / "kafka"), EmbeddedClickHouse(folder / "clickhouse")
    try:
        kafka.start()
        engine.start()
        yield Stack(folder, kafka, engine)
    finally:
        kafka.kill()
        engine.kill()


def wait_for_end(part: Part, seconds: float) -> None:
    """Wait until a process is through. Raises RuntimeError when it failed or takes too long."""
    deadline = time.monotonic() + seconds
    while (status := part.exit_status()) is None:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{part.name} is not through after {seconds:.0f} s")
        time.sleep(0.05)
    if status:
        raise RuntimeError(f"{part.name} failed: {part.log_tail()}")
