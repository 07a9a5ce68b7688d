"""One large log into Kafka, by this shipper and by rsyslog (imfile → omkafka), in turn, on the same broker.

Both with acks=all, idempotent, lz4. Counted from a program's start until Kafka has acknowledged the last line. rsyslog
has the queue that it is fastest with, in memory.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
from confluent_kafka import Consumer, KafkaException, TopicPartition
from postwatch.deploy.embedded.kafka import EmbeddedKafka
from postwatch.deploy.embedded.part import Part
from postwatch.deploy.embedded.ports import LOOPBACK, choose_port
from postwatch.producers.service.kafka_settings import KafkaSettings

from tests.benchmarks.mail_server import Shipper, install_shipper
from tests.benchmarks.processes import Used
from tests.benchmarks.shipping import most_resident_bytes, read_counter
from tests.benchmarks.stack import PARTITIONS, fresh_topics

POSTWATCH, RSYSLOG = "postwatch ship", "rsyslog"
_MODULE = "rsyslog/omkafka.so"
_POLL_SECONDS = 0.1
_MOST_SECONDS = 900.0

_CONFIGURATION = """
global(workDirectory="{folder}")
module(load="imfile" mode="inotify")
module(load="omkafka")
template(name="line" type="string" string="%msg%")
input(type="imfile" file="{log}" tag="postwatch:" ruleset="ship")
ruleset(name="ship" queue.type="LinkedList" queue.size="100000" queue.workerThreads="1") {{
    action(type="omkafka" broker=["{brokers}"] topic="{topic}" key="mail1" partitions.auto="on" template="line"
           resubmitOnFailure="on" closeTimeout="10000"
           confParam=["acks=all", "enable.idempotence=true", "message.timeout.ms=0", "compression.codec=lz4",
                      "linger.ms=100"])
}}
"""


class _Rsyslog(Part):
    def __init__(self, command: Sequence[str], log_path: Path) -> None:
        super().__init__(RSYSLOG, log_path)
        self._command = command

    def command(self) -> Sequence[str]:
        return self._command

    def environment(self) -> Mapping[str, str]:
        return {}

    def is_ready(self) -> bool:
        return True


def missing_rsyslog() -> str:
    """Why it is left out; empty: it is not."""
    if _find_rsyslog() is None:
        return "rsyslog is left out: it is not installed (apt-get install rsyslog rsyslog-kafka)"
    if not any(Path("/usr/lib").glob(f"*/{_MODULE}")):
        return "rsyslog is left out: its module omkafka is not installed (apt-get install rsyslog-kafka)"
    return ""


def measure_shipping(folder: Path, kafka: EmbeddedKafka, log: Path, runs: int) -> dict[str, list[Used]]:
    """Each program so often, in turn, over topics of its own."""
    lines = sum(block.count(b"\n") for block in _blocks(log))
    python = install_shipper(folder / "mail-server")
    programs = [POSTWATCH] if missing_rsyslog() else [POSTWATCH, RSYSLOG]
    found: dict[str, list[Used]] = {name: [] for name in programs}
    for run in range(runs):
        for name in programs:
            key = f"{name.split()[-1]}{run}"
            work = folder / key
            work.mkdir()
            ship = partial(_ship_postwatch, python) if name == POSTWATCH else _ship_rsyslog
            found[name].append(ship(work, fresh_topics(kafka.brokers, f"{key}."), log, lines))
    return found


def _ship_postwatch(python: Path, folder: Path, kafka: KafkaSettings, log: Path, lines: int) -> Used:
    port = choose_port()
    environment = {
        "POSTWATCH_KAFKA_BROKERS": kafka.brokers,
        "POSTWATCH_KAFKA_RAW_TOPIC": kafka.raw_topic,
        "POSTWATCH_SHIP_FILES": str(log),
        "POSTWATCH_SHIP_FORMAT": "exim-main",
        "POSTWATCH_SHIP_TZ": "UTC",
        "POSTWATCH_SHIP_SERVER": "mail1.bench.example",
        "POSTWATCH_SHIP_CHECKPOINT_FILE": str(folder / "checkpoint.json"),
        "POSTWATCH_SHIP_METRICS_ADDRESS": f"{LOOPBACK}:{port}",
    }
    part = Shipper(environment, folder / "ship.log", python)
    with _running(part) as started:
        while read_counter(port, "postwatch_ship_lines_total") < lines:
            _wait(part, started)
        return _used(part, started)


def _ship_rsyslog(folder: Path, kafka: KafkaSettings, log: Path, lines: int) -> Used:
    """A record a line: it is through when the topic has as many."""
    command = _find_rsyslog()
    assert command is not None
    configuration = folder / "rsyslog.conf"
    configuration.write_text(
        _CONFIGURATION.format(folder=folder, log=log, brokers=kafka.brokers, topic=kafka.raw_topic)
    )
    part = _Rsyslog([command, "-n", "-f", str(configuration), "-i", str(folder / "pid")], folder / "rsyslog.log")
    consumer = Consumer({"bootstrap.servers": kafka.brokers, "group.id": "bench-watch"})
    try:
        with _running(part) as started:
            while _records(consumer, kafka.raw_topic) < lines:
                _wait(part, started)
            return _used(part, started)
    finally:
        consumer.close()


def _records(consumer: Consumer, topic: str) -> int:
    """0 while the new topic has no leaders yet."""
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    try:
        return sum(consumer.get_watermark_offsets(one, timeout=10)[1] for one in partitions)
    except KafkaException:
        return 0


@contextmanager
def _running(part: Part) -> Iterator[float]:
    """Yields when it was started, by the monotonic clock."""
    started = time.monotonic()
    part.start()
    try:
        yield started
    finally:
        part.stop()


def _wait(part: Part, started: float) -> None:
    """Raises RuntimeError when it has ended, or takes too long."""
    if part.exit_status() is not None:
        raise RuntimeError(f"{part.name} ended: {part.log_tail()}")
    if time.monotonic() > started + _MOST_SECONDS:
        raise RuntimeError(f"{part.name} is not through after {_MOST_SECONDS:.0f} s")
    time.sleep(_POLL_SECONDS)


def _used(part: Part, started: float) -> Used:
    times = psutil.Process(part.pid).cpu_times()
    return Used(time.monotonic() - started, times.user + times.system, most_resident_bytes(part.pid))


def _find_rsyslog() -> str | None:
    return shutil.which("rsyslogd") or shutil.which("rsyslogd", path="/usr/sbin:/usr/bin")


def _blocks(log: Path) -> Iterator[bytes]:
    with log.open("rb") as file:
        while block := file.read(1 << 20):
            yield block
