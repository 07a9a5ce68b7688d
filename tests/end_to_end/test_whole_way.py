"""File, shipper, Kafka, Faust, Kafka, sink, ClickHouse: the rows are those of `postwatch read`, whatever breaks."""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from postwatch.deploy import cli
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.embedded.kafka import EmbeddedKafka
from postwatch.deploy.embedded.ports import choose_port
from postwatch.deploy.migrate import migrate
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

from tests.end_to_end.pipeline import Pipeline, ordered, running
from tests.streams.joining.test_golden import LOGS
from tests.waiting import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]
AWAY_SECONDS = 20


def read_rows(
    capsysbinary: pytest.CaptureFixture[bytes], log: Path, server: str, domains: Path | None = None
) -> list[dict[str, Any]]:
    """What `postwatch read` prints of a log."""
    capsysbinary.readouterr()
    more = ["--domains", str(domains)] if domains else []
    assert cli.main(["read", "--server", server, *more, str(log)]) == 0
    return [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]


def test_the_table_has_the_rows_of_read(
    topics: KafkaSettings,
    lasting_database: ClickHouseSettings,
    tmp_path: Path,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    """Of every golden log at once, each with a server and a shipper of its own."""
    logs = {f"web{number}.hosting.example": log for number, log in enumerate(LOGS, 1)}
    assert len(logs) > 15
    expected = ordered([row for server, log in logs.items() for row in read_rows(capsysbinary, log, server)])
    database = lasting_database
    pipeline = Pipeline(tmp_path, topics, database, {"POSTWATCH_JOIN_PENDING_AFTER_SECONDS": "1"})
    with running(pipeline):
        pipeline.start("join")
        pipeline.start("sink")
        for server, log in logs.items():
            pipeline.start_shipper(server)
            shutil.copy(log, pipeline.log_of(server))
        pipeline.expect(expected)
        servers = connect(database).query("SELECT server FROM servers FINAL").result_rows
        assert sorted(server for (server,) in servers) == sorted(logs)
        for part in pipeline.parts.values():
            assert part.terminate() == 0


class Writer:
    """Writes the log of one server in pieces, as an MTA does, cut anywhere."""

    def __init__(self, path: Path, text: bytes) -> None:
        self.path = path
        self.text = text
        self.written = 0

    def write_until(self, share: float) -> None:
        """Append up to that share of the whole, in blocks that end in the middle of lines."""
        end = round(len(self.text) * share)
        with self.path.open("ab") as stream:
            while self.written < end:
                block = self.text[self.written : min(self.written + 4001, end)]
                stream.write(block)
                stream.flush()
                self.written += len(block)

    def rotate(self, number: int) -> None:
        """Rename and create, as logrotate does by default; Exim goes on in the old file to the end of its line."""
        line_end = self.text.find(b"\n", self.written) + 1
        self.write_until(line_end / len(self.text))
        os.rename(self.path, self.path.with_name(f"mainlog.{number}"))
        self.path.touch()


def joined(port: int, metric: str) -> float:
    """A metric of the join, 0 while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return 0.0
    return sum(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{metric} "))


@pytest.fixture
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    broker = EmbeddedKafka(tmp_path_factory.mktemp("own-kafka"))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def own_clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedClickHouse]:
    engine = EmbeddedClickHouse(tmp_path_factory.mktemp("own-clickhouse"))
    engine.start()
    yield engine
    engine.kill()


def test_a_bad_night_changes_no_row(
    own_kafka: EmbeddedKafka,
    own_clickhouse: EmbeddedClickHouse,
    tmp_path: Path,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    fleet = tmp_path / "fleet"
    assert (
        cli.main(["simulate", str(fleet), "--servers", "2", "--history", "2500", "--seconds", "0", "--seed", "7"]) == 0
    )
    logs = sorted(fleet.glob("*/mainlog"))
    servers = [log.parent.name for log in logs]
    domains = fleet / "domains"
    expected = ordered([row for log in logs for row in read_rows(capsysbinary, log, log.parent.name, domains)])

    settings = own_clickhouse.settings
    migrate(connect(settings, database=""), settings)
    metrics_port = choose_port()
    extra = {
        "POSTWATCH_JOIN_DOMAINS_FILE": str(domains),
        "POSTWATCH_JOIN_PENDING_AFTER_SECONDS": "1",
        "POSTWATCH_JOIN_PARK_AFTER_SECONDS": "2",  # messages are parked before a crash and finished after it
        "POSTWATCH_JOIN_METRICS_ADDRESS": f"127.0.0.1:{metrics_port}",
    }
    pipeline = Pipeline(tmp_path, KafkaSettings(brokers=own_kafka.brokers), settings, extra)
    with running(pipeline):
        join, sink = pipeline.start("join"), pipeline.start("sink")
        shippers = [pipeline.start_shipper(server) for server in servers]
        writers = [Writer(pipeline.log_of(log.parent.name), log.read_bytes()) for log in logs]

        def write_until(share: float) -> None:
            for writer in writers:
                writer.write_until(share)

        def wait_for_more() -> None:
            before = pipeline.count()
            wait_until(lambda: pipeline.count() > before, "more rows arrive", seconds=120)

        write_until(0.2)
        wait_for_more()
        wait_until(lambda: joined(metrics_port, "postwatch_parked_messages_total"), "messages are parked")
        writers[0].rotate(1)
        old_checkpoint = tmp_path / "old-checkpoint.json"
        shutil.copy(pipeline.checkpoint_file(servers[1]), old_checkpoint)

        write_until(0.35)
        join.kill()
        sink.kill()
        write_until(0.45)
        join.start()
        sink.start()
        wait_for_more()

        # ClickHouse is away for 20 s; Kafka restarts and the join dies once more while it is.
        own_clickhouse.kill()
        back_at = time.monotonic() + AWAY_SECONDS
        write_until(0.55)
        own_kafka.stop()
        write_until(0.6)
        own_kafka.start()
        join.kill()
        write_until(0.7)
        writers[0].rotate(2)
        join.start()
        time.sleep(max(0.0, back_at - time.monotonic()))
        own_clickhouse.start()
        wait_for_more()

        # Kafka took the records of a shipper that died before its checkpoint: lines of closed messages come again.
        shippers[1].kill()
        shutil.copy(old_checkpoint, pipeline.checkpoint_file(servers[1]))
        shippers[1].start()
        sink.kill()
        write_until(1.0)
        sink.start()
        pipeline.expect(expected)
        assert joined(metrics_port, "postwatch_loaded_messages_total") > 0  # of those that an earlier life parked
        for part in pipeline.parts.values():
            assert part.terminate() == 0
    assert {row["status"] for row in expected} >= {"delivered", "bounced", "deferred", "pending", "rejected", "expired"}
