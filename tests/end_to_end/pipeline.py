"""The real parts as processes of their own, for tests that kill them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from postwatch.deploy.topics import create_topics
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts.outcome import to_json_object
from postwatch.streams.contracts.outcome_records import SCHEMA, from_table
from postwatch.streams.settings import ClickHouseSettings

from tests.waiting import PATIENCE, wait_until

PARTITIONS = 3


@dataclass
class Part:
    """One `postwatch` subcommand as a process."""

    name: str
    arguments: list[str]
    environment: dict[str, str]
    log_file: Path
    launcher: list[str] = field(default_factory=list)
    """The words of a command that runs it."""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log_file.open("ab") as stream:
            self.process = subprocess.Popen(
                [*self.launcher, str(Path(sys.executable).with_name("postwatch")), *self.arguments],
                env={**os.environ, **self.environment},
                stdout=stream,
                stderr=stream,
            )

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        """SIGTERM; returns the exit status."""
        return self._end(signal.SIGTERM)

    def wait(self) -> int:
        """Wait until it ends by itself; returns the exit status."""
        assert self.process is not None
        process = self.process
        wait_until(lambda: process.poll() is not None, f"{self.name} ends", seconds=120)
        self.process = None
        return process.wait()

    def _end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.wait()


@dataclass
class Pipeline:
    """Shippers, a join and a sink between log files and a database."""

    folder: Path
    kafka: KafkaSettings
    clickhouse: ClickHouseSettings
    extra: dict[str, str] = field(default_factory=dict)
    launchers: dict[str, list[str]] = field(default_factory=dict)
    """Subcommand → what runs it, if not this process itself."""
    parts: dict[str, Part] = field(default_factory=dict)

    def __post_init__(self) -> None:
        create_topics(self.kafka, PARTITIONS)

    def environment(self) -> dict[str, str]:
        kafka, clickhouse = self.kafka, self.clickhouse
        group = kafka.raw_topic.removesuffix("mail.raw")
        return {
            "POSTWATCH_KAFKA_BROKERS": kafka.brokers,
            "POSTWATCH_KAFKA_RAW_TOPIC": kafka.raw_topic,
            "POSTWATCH_KAFKA_OUTCOMES_TOPIC": kafka.outcomes_topic,
            "POSTWATCH_KAFKA_HEARTBEATS_TOPIC": kafka.heartbeats_topic,
            "POSTWATCH_KAFKA_DEAD_LETTERS_TOPIC": kafka.dead_letters_topic,
            "POSTWATCH_CLICKHOUSE_URL": clickhouse.url,
            "POSTWATCH_CLICKHOUSE_DATABASE": clickhouse.database,
            "POSTWATCH_JOIN_DATA_DIR": str(self.folder / "join"),
            "POSTWATCH_JOIN_GROUP": f"{group}join",
            "POSTWATCH_JOIN_METRICS_ADDRESS": "",
            "POSTWATCH_SINK_GROUP": self.sink_group,
            "POSTWATCH_SINK_METRICS_ADDRESS": "",
            **self.extra,
        }

    @property
    def sink_group(self) -> str:
        return f"{self.kafka.raw_topic.removesuffix('mail.raw')}sink"

    def checkpoint_file(self, server: str) -> Path:
        return self.folder / server / "checkpoint.json"

    def log_of(self, server: str) -> Path:
        return self.folder / server / "mainlog"

    def start(self, name: str, *arguments: str, **environment: str) -> Part:
        part = self.parts.get(name)
        if part is None:
            settings = {**self.environment(), **environment}
            words = list(arguments or [name])
            part = Part(name, words, settings, self.folder / f"{name}.log", self.launchers.get(words[0], []))
            self.parts[name] = part
        part.start()
        return part

    def start_shipper(self, server: str, **environment: str) -> Part:
        self.log_of(server).parent.mkdir(parents=True, exist_ok=True)
        return self.start(
            f"ship-{server}",
            "ship",
            POSTWATCH_SHIP_FILES=str(self.log_of(server)),
            POSTWATCH_SHIP_FORMAT="auto",
            POSTWATCH_SHIP_TZ="UTC",
            POSTWATCH_SHIP_SERVER=server,
            POSTWATCH_SHIP_CHECKPOINT_FILE=str(self.checkpoint_file(server)),
            POSTWATCH_SHIP_METRICS_ADDRESS="",
            POSTWATCH_SHIP_HEARTBEAT_SECONDS="1",
            **environment,
        )

    def rows(self) -> list[dict[str, Any]]:
        """What the table shows, as `postwatch read` prints it, sorted."""
        table = connect(self.clickhouse).query_arrow("SELECT * FROM deliveries FINAL").select(SCHEMA.names).cast(SCHEMA)
        return ordered([to_json_object(row) for row in from_table(table)])

    def count(self) -> int:
        return int(str(connect(self.clickhouse).command("SELECT count() FROM deliveries FINAL")))

    def sink_is_through(self) -> bool:
        """Every outcome that the topic has is committed by the sink, so no row can change any more."""
        consumer = Consumer({"bootstrap.servers": self.kafka.brokers, "group.id": self.sink_group})
        try:
            wanted = [TopicPartition(self.kafka.outcomes_topic, number) for number in range(PARTITIONS)]
            committed = consumer.committed(wanted, timeout=PATIENCE)
            ends = [consumer.get_watermark_offsets(one, timeout=PATIENCE)[1] for one in wanted]
        finally:
            consumer.close()
        return all(one.offset == end or end == 0 for one, end in zip(committed, ends, strict=True))

    def expect(self, rows: list[dict[str, Any]], seconds: float = 200) -> None:
        """Wait until the table shows exactly these rows and the sink is through; show the difference otherwise."""
        with suppress(AssertionError):  # the rows themselves say more
            wait_until(lambda: self.count() == len(rows) and self.rows() == rows, "the rows are there", seconds=seconds)
            wait_until(self.sink_is_through, "the sink is through")
        found = self.rows()
        print(len(found), "rows found,", len(rows), "expected")
        assert [row["recipient"] for row in found] == [row["recipient"] for row in rows]
        assert found == rows


def ordered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(
        rows, key=lambda row: [row[name] for name in ("server", "queue_id", "recipient", "direction", "account")]
    )


@contextmanager
def running(pipeline: Pipeline) -> Iterator[Pipeline]:
    """Whatever happens, no process is left; where it ends in an error, the logs are shown."""
    try:
        yield pipeline
    except BaseException:
        for part in pipeline.parts.values():
            status = "does not run" if part.process is None else f"exit status {part.process.poll()}"
            print(f"--- {part.name}, {status}\n{part.log_file.read_text()[-3000:]}")
        raise
    finally:
        for part in pipeline.parts.values():
            if part.process is not None:
                part.process.kill()
                part.process.wait()
