"""`postwatch ship` as a process, over the real Kafka: what arrives, what a kill, a stop and an outage leave behind."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewTopic
from postwatch.deploy.embedded.kafka import EmbeddedKafka
from postwatch.deploy.embedded.ports import choose_port
from postwatch.deploy.topics import create_topics
from postwatch.producers.record import Heartbeat, RawHeaders, decode_headers
from postwatch.producers.service.kafka_settings import KafkaSettings

from tests.chaos.proxy import Behaviour, Proxy
from tests.notify_socket import NotifySocket, listening
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.stack
POSTWATCH = str(Path(sys.executable).with_name("postwatch"))
PARTITIONS = 4
PARTITION_OF_MAIL1 = 1
"""murmur2("mail1.example") & 0x7fffffff, modulo 4: what Java's clients compute, too. By CRC-32 it would be 2."""


@dataclass
class ShipProcess:
    """`postwatch ship` on a folder with a mainlog."""

    folder: Path
    kafka: KafkaSettings
    port: int = field(default_factory=choose_port)
    process: subprocess.Popen[bytes] | None = None
    environ: dict[str, str] = field(default_factory=dict)
    script: str = ""
    """Python that runs the shipper in place of the command."""

    @property
    def mainlog(self) -> Path:
        return self.folder / "mainlog"

    def start(self) -> None:
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("POSTWATCH_")},
            "POSTWATCH_KAFKA_BROKERS": self.kafka.brokers,
            "POSTWATCH_KAFKA_RAW_TOPIC": self.kafka.raw_topic,
            "POSTWATCH_SHIP_FILES": f"{self.mainlog}=exim-main",
            "POSTWATCH_SHIP_SERVER": "mail1.example",
            "POSTWATCH_SHIP_TZ": "Europe/Berlin",
            "POSTWATCH_SHIP_HEARTBEAT_SECONDS": "0.5",
            "POSTWATCH_SHIP_CHECKPOINT_FILE": str(self.folder / "state" / "checkpoint.json"),
            "POSTWATCH_SHIP_METRICS_ADDRESS": f"127.0.0.1:{self.port}",
            **self.environ,
        }
        command = [sys.executable, "-c", self.script] if self.script else [POSTWATCH, "ship"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, env=environ, stderr=log)

    def stop(self) -> int:
        """SIGTERM to a process that has begun: before that it is Python that ends, with its own status."""
        assert self.process
        wait_until(lambda: "process" not in self.complaints(), "the shipper answers")
        self.process.terminate()
        return self.process.wait(60)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def write(self, *lines: bytes) -> None:
        with open(self.mainlog, "ab") as file:
            file.write(b"".join(lines))

    def acknowledged_bytes(self) -> int:
        checkpoint = json.loads((self.folder / "state" / "checkpoint.json").read_bytes())
        return sum(file["acknowledged"]["byte_offset"] for file in checkpoint["files"])

    def complaints(self) -> dict[str, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                body = error.read()
        except OSError:
            return {"process": "does not answer"}
        return dict(json.loads(body)["complaints"])

    def logged(self, event: str) -> list[dict[str, object]]:
        lines = (self.folder / "log").read_text().splitlines()
        return [found for found in map(json.loads, lines) if found["event"] == event]


@dataclass
class Reader:
    """Reads a raw topic from its beginning."""

    consumer: Consumer
    messages: list[Message] = field(default_factory=list)

    def lines(self) -> list[bytes]:
        for message in self.consumer.consume(500, timeout=0.1):
            assert message.error() is None
            self.messages.append(message)
        return [line for message in self.messages for line in (message.value() or b"").splitlines(keepends=True)]

    def wait_for(self, *lines: bytes) -> None:
        wait_until(lambda: set(lines) <= set(self.lines()), f"{lines!r} arrived")

    def headers(self) -> list[RawHeaders | Heartbeat]:
        return [decode_headers(list(message.headers() or ())) for message in self.messages]  # type: ignore[arg-type]


@pytest.fixture
def ship(tmp_path: Path, topics: KafkaSettings) -> Iterator[ShipProcess]:
    process = ShipProcess(tmp_path, topics)
    process.mainlog.touch()
    yield process
    if process.process and process.process.poll() is None:
        process.kill()


@pytest.fixture
def reader(topics: KafkaSettings) -> Iterator[Reader]:
    create_topics(topics, PARTITIONS)
    consumer = Consumer(
        {"bootstrap.servers": topics.brokers, "group.id": "test", "reconnect.backoff.max.ms": 500, "log_level": 0}
    )
    consumer.assign([TopicPartition(topics.raw_topic, number, 0) for number in range(PARTITIONS)])
    yield Reader(consumer)
    consumer.close()


def test_lines_and_heartbeats_of_one_server_are_on_one_partition(ship: ShipProcess, reader: Reader) -> None:
    ship.write(b"one\n", b"t\xffo\0\n")
    ship.start()
    reader.wait_for(b"one\n", b"t\xffo\0\n")
    wait_until(lambda: reader.lines() and Heartbeat in map(type, reader.headers()), "a heartbeat arrived")
    assert {message.key() for message in reader.messages} == {b"mail1.example"}
    assert {message.partition() for message in reader.messages} == {PARTITION_OF_MAIL1}
    (record,) = [headers for headers in reader.headers() if isinstance(headers, RawHeaders)]
    assert (record.format, record.tz, record.byte_offset, record.end_offset) == ("exim-main", "Europe/Berlin", 0, 9)
    assert ship.complaints() == {}
    assert ship.stop() == 0
    assert ship.logged("shipper_stopped")


def test_a_killed_shipper_repeats_but_loses_nothing_and_a_stopped_one_repeats_nothing(
    ship: ShipProcess, reader: Reader
) -> None:
    expected = [b"line %d\n" % number for number in range(60_000)]
    ship.start()
    for part in range(6):
        ship.write(*expected[part * 10_000 : (part + 1) * 10_000])
        reader.wait_for(expected[part * 10_000])
        if part % 2:
            ship.kill()
            os.rename(ship.mainlog, ship.folder / f"mainlog.{6 - part}")
            ship.start()
    reader.wait_for(*expected)
    wait_until(lambda: ship.acknowledged_bytes() == len(b"".join(expected)), "the checkpoint has all of it")
    assert ship.stop() == 0
    seen = len(reader.lines())
    ship.start()
    ship.write(b"last\n")
    reader.wait_for(b"last\n")
    assert len(reader.lines()) == seen + 1
    places: dict[tuple[str, int, int], bytes | None] = {}
    for message, headers in zip(reader.messages, reader.headers(), strict=True):
        if isinstance(headers, RawHeaders):
            known = places.setdefault((headers.file, headers.byte_offset, headers.end_offset), message.value())
            assert known == message.value()


def test_without_the_topic_it_says_so_and_waits(ship: ShipProcess, topics: KafkaSettings) -> None:
    ship.write(b"one\n")
    ship.start()
    complaint = wait_until(lambda: ship.complaints().get("kafka", ""), "the shipper complains")
    assert topics.raw_topic in complaint
    assert "create it with `postwatch migrate --topics`" in complaint
    create_topics(topics, PARTITIONS)
    wait_until(lambda: not ship.complaints(), "the shipper is content")
    assert ship.stop() == 0
    assert ship.logged("kafka_away")
    assert ship.logged("kafka_back")


def test_an_outage_of_kafka_holds_the_lines_up_and_loses_none(
    ship: ShipProcess, reader: Reader, kafka: EmbeddedKafka
) -> None:
    long = b"x" * 999 + b"\n"
    ship.start()
    ship.write(b"before\n")
    reader.wait_for(b"before\n")
    kafka.stop()
    try:
        ship.write(b"meanwhile\n")
        wait_until(lambda: "no acknowledgement for" in ship.complaints().get("kafka", ""), "the shipper complains")
        ship.write(long * 20_000)
    finally:
        kafka.start()
    ship.write(b"after\n")
    reader.wait_for(b"meanwhile\n", b"after\n")
    lines = reader.lines()
    assert [line for line in lines if line != long] == [b"before\n", b"meanwhile\n", b"after\n"]
    assert len(lines) == 20_003
    wait_until(lambda: not ship.complaints(), "the shipper is content")
    assert ship.stop() == 0


def test_a_broker_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{choose_port()}"
    ship = ShipProcess(tmp_path, KafkaSettings(brokers=nowhere))
    ship.mainlog.touch()
    ship.start()
    try:
        complaint = wait_until(lambda: ship.complaints().get("kafka", ""), "the shipper complains")
        assert nowhere in complaint
        assert "Connection refused" in complaint
        (said,) = ship.logged("kafka_away")
        assert "start it, or set POSTWATCH_KAFKA_BROKERS" in str(said["reason"])
        assert ship.stop() == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            ship.kill()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "POSTWATCH_SHIP_FILES is not set"),
        ({"POSTWATCH_SHIP_FILES": "/x=Postfix"}, "is not the name of a log format"),
        ({"POSTWATCH_SHIP_FILES": "/x", "POSTWATCH_SHIP_SERVER": "localhost"}, "is the name of every machine"),
        ({"POSTWATCH_SHIP_FILES": "/x", "POSTWATCH_SHIP_TZ": "Mars/Olympus"}, "is not a time zone"),
        ({"POSTWATCH_SHIP_FILES": "/x", "POSTWATCH_SHIP_FORMT": "auto"}, "did you mean POSTWATCH_SHIP_FORMAT?"),
        ({"POSTWATCH_SHIP_FILES": "/x", "POSTWATCH_SHIP_METRICS_ADDRESS": "9101"}, "is not an address"),
    ],
)
def test_a_mistake_in_the_settings_ends_it_at_once(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("POSTWATCH_")}
    environ |= {
        "POSTWATCH_SHIP_CHECKPOINT_FILE": str(tmp_path / "checkpoint.json"),
        "POSTWATCH_SHIP_SERVER": "mail1.example",
        **variables,
    }
    command = [POSTWATCH, "ship"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert done.stderr.startswith("postwatch ship: ")
    assert said in done.stderr


def test_a_refused_record_ends_the_process_and_moves_no_checkpoint(ship: ShipProcess, topics: KafkaSettings) -> None:
    admin = AdminClient({"bootstrap.servers": topics.brokers})
    tiny = NewTopic(topics.raw_topic, PARTITIONS, 1, config={"max.message.bytes": "1000"})
    admin.create_topics([tiny])[topics.raw_topic].result(PATIENCE)
    ship.write(os.urandom(100_000).hex().encode()[:5000] + b"\n")
    ship.start()
    assert ship.process
    assert ship.process.wait(60) == 1
    assert "Kafka refused a record" in (ship.folder / "log").read_text()
    (file,) = json.loads((ship.folder / "state" / "checkpoint.json").read_text())["files"]
    assert file["acknowledged"]["byte_offset"] == 0


def test_a_refused_clock_is_waited_for_until_the_topic_takes_the_brokers_time(
    ship: ShipProcess, topics: KafkaSettings
) -> None:
    """As if the clock were wrong: the topic takes no record that is older than its arrival."""
    admin = AdminClient({"bootstrap.servers": topics.brokers})
    strict = {"message.timestamp.type": "CreateTime", "message.timestamp.before.max.ms": "0"}
    admin.create_topics([NewTopic(topics.raw_topic, PARTITIONS, 1, config=strict)])[topics.raw_topic].result(PATIENCE)
    ship.write(b"one\n", b"two\n")
    ship.start()
    complaint = wait_until(lambda: ship.complaints().get("clock", ""), "the shipper complains")
    assert "Kafka refuses the time stamps of this server, whose clock said 2" in complaint
    assert "run `postwatch migrate --topics`" in complaint
    entry = ConfigEntry("message.timestamp.type", "LogAppendTime", incremental_operation=AlterConfigOpType.SET)
    topic = ConfigResource(ConfigResource.Type.TOPIC, topics.raw_topic, incremental_configs=[entry])
    admin.incremental_alter_configs([topic])[topic].result(PATIENCE)
    consumer = Consumer({"bootstrap.servers": topics.brokers, "group.id": "test"})
    consumer.assign([TopicPartition(topics.raw_topic, number, 0) for number in range(PARTITIONS)])
    Reader(consumer).wait_for(b"one\n", b"two\n")
    consumer.close()
    wait_until(lambda: ship.complaints() == {}, "the shipper is content")
    assert ship.stop() == 0
    assert len(ship.logged("clock_refused")) == 1


_HANGS_ON_A_SIGN = """
import sys, time
from pathlib import Path
from postwatch.deploy.cli import main
from postwatch.producers.shipper import Shipper
turn = Shipper.turn
def hang(self):
    if Path({sign!r}).exists():
        time.sleep(600)
    turn(self)
Shipper.turn = hang
sys.exit(main(["ship"]))
"""


def test_systemd_is_told_after_kafka_has_answered_and_no_more_when_the_loop_hangs(
    ship: ShipProcess, topics: KafkaSettings, tmp_path: Path
) -> None:
    create_topics(topics, PARTITIONS)
    proxy = Proxy(int(topics.brokers.rpartition(":")[2]))
    proxy.behaviour = Behaviour.REFUSE
    sign = tmp_path / "hang"
    with listening(tmp_path / "notify") as systemd, contextlib.closing(proxy):
        ship.environ = systemd.environment(1.0) | {"POSTWATCH_KAFKA_BROKERS": f"127.0.0.1:{proxy.port}"}
        ship.script = _HANGS_ON_A_SIGN.format(sign=str(sign))
        ship.start()
        wait_until(lambda: len(systemd.said("EXTEND_TIMEOUT_USEC")) >= 2, "it asks for more time")
        assert "kafka: " in systemd.said("STATUS")[-1]
        assert systemd.count("READY=1") == 0
        proxy.behaviour = Behaviour.PASS
        wait_until(lambda: systemd.count("READY=1") and systemd.count("WATCHDOG=1"), "it works")
        sign.touch()
        wait_until(lambda: systemd.count("WATCHDOG=1") == _a_second_later(systemd), "it is silent")
        assert "process" not in ship.complaints()


def _a_second_later(systemd: NotifySocket) -> int:
    time.sleep(1.0)
    return systemd.count("WATCHDOG=1")
