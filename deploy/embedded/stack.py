"""All parts of Postwatch on one machine over one data folder: which there are, what they need, where they listen.

Every part has the settings of the environment and its defaults, as in production; only the servers' addresses and the
folders are set here. A usual port that is taken is replaced by a free one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from postwatch.deploy.embedded.cache import cache_folder
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.embedded.kafka import EmbeddedKafka, class_path, has_jars
from postwatch.deploy.embedded.ports import PortClaims
from postwatch.deploy.embedded.process import Children
from postwatch.deploy.embedded.supervisor import Supervisor, Task, Watched
from postwatch.deploy.embedded.worker import Worker
from postwatch.producers.service.health import parse_address
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.settings import load
from postwatch.query.settings import QuerySettings
from postwatch.streams.settings import ClickHouseSettings, JoinSettings, SinkSettings

KAFKA_PORT, CLICKHOUSE_PORT = 9092, 8123
PARTITIONS = 4
"""For one join worker, and room for three more."""

Environment = Mapping[str, str]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Shipper:
    """A shipper of the stack: the name of its log, and what it has in its environment beside what all have."""

    name: str
    environment: Environment
    metrics_address: str = ""


@dataclass(frozen=True, slots=True)
class Stack:
    """The parts, ready to be supervised, and how they are reached."""

    supervisor: Supervisor
    kafka: KafkaSettings
    clickhouse: ClickHouseSettings
    page: str
    logs: Path


class StackBuilder:
    """Chooses the ports and puts the parts together; starts nothing. Raises SettingsError."""

    def __init__(self, folder: Path, children: Children, settings: Environment) -> None:
        """`settings` are for all workers, beside those that lead to Kafka and ClickHouse."""
        self._folder = folder.resolve()
        self._logs = self._folder / "logs"
        self._children = children
        self._ports = PortClaims(cache_folder("ports"))
        self._broker = EmbeddedKafka(
            self._folder / "kafka", self._ports.take(KAFKA_PORT), log_path=self._logs / "kafka.log", children=children
        )
        self._engine = EmbeddedClickHouse(
            self._folder / "clickhouse",
            self._ports.take(CLICKHOUSE_PORT),
            log_path=self._logs / "clickhouse.log",
            children=children,
        )
        self._environment = {
            **settings,
            "POSTWATCH_KAFKA_BROKERS": self._broker.brokers,
            "POSTWATCH_KAFKA_SECURITY_PROTOCOL": "plaintext",
            "POSTWATCH_KAFKA_SASL_MECHANISM": "",
            "POSTWATCH_CLICKHOUSE_URL": self._engine.url,
        }
        self._kafka = replace(
            load(KafkaSettings), brokers=self._broker.brokers, security_protocol="plaintext", sasl_mechanism=""
        )
        self._clickhouse = replace(load(ClickHouseSettings), url=self._engine.url)

    def build(self, shippers: Sequence[Shipper], tell: Tell) -> Stack:
        page = self._near(load(QuerySettings).listen, "POSTWATCH_QUERY_LISTEN")
        parts = [
            Watched(self._engine, address=self._engine.url, is_used_by_others=True),
            Watched(self._broker, address=self._broker.brokers, is_used_by_others=True),
            self._join(),
            self._sink(),
            *(self._shipper(shipper) for shipper in shippers),
            # Needs no topics; but there is nothing to be seen before the others work, and they want the processor.
            self._worker("serve", {"topics", "tables"}, page, {"POSTWATCH_QUERY_LISTEN": page}),
        ]
        tasks = [
            Task("topics", self._create_topics, frozenset({self._broker.name})),
            Task("tables", self._migrate, frozenset({self._engine.name})),
        ]
        return Stack(Supervisor(parts, tasks, tell), self._kafka, self._clickhouse, f"http://{page}/", self._logs)

    def _join(self) -> Watched:
        address = self._near(load(JoinSettings).metrics_address, "POSTWATCH_JOIN_METRICS_ADDRESS")
        own = {
            "POSTWATCH_JOIN_METRICS_ADDRESS": address,
            "POSTWATCH_JOIN_DATA_DIR": str(self._folder / "join"),
        }
        return self._worker("join", {"topics"}, address, own)

    def _sink(self) -> Watched:
        address = self._near(load(SinkSettings).metrics_address, "POSTWATCH_SINK_METRICS_ADDRESS")
        return self._worker("sink", {"topics", "tables"}, address, {"POSTWATCH_SINK_METRICS_ADDRESS": address})

    def _shipper(self, shipper: Shipper) -> Watched:
        address = self._near(shipper.metrics_address, "POSTWATCH_SHIP_METRICS_ADDRESS")
        own = {**shipper.environment, "POSTWATCH_SHIP_METRICS_ADDRESS": address}
        return self._worker("ship", {"topics"}, address, own, shipper.name)

    def _worker(self, command: str, needs: Iterable[str], address: str, own: Environment, name: str = "") -> Watched:
        health = parse_address(address, f"the address of {command}") if address else None
        part = Worker(
            command,
            {**self._environment, **own},
            self._logs / f"{name or command}.log",
            name=name,
            health=health,
            children=self._children,
        )
        return Watched(part, frozenset(needs), f"http://{address}/" if address else "")

    def _near(self, address: str, setting: str) -> str:
        """The address, with a free port where its own is taken; empty stays empty."""
        if not address:
            return ""
        host, port = parse_address(address, setting)
        taken = self._ports.take(port)
        return f"[{host}]:{taken}" if ":" in host else f"{host}:{taken}"

    def _create_topics(self) -> Iterator[str]:
        from postwatch.deploy.topics import create_topics

        states = create_topics(self._kafka, PARTITIONS)
        if created := [topic for topic, state in states.items() if state == "created"]:
            yield f"topics created: {', '.join(created)}"
        yield from (f"topic {topic} {state}" for topic, state in states.items() if state not in ("created", "exists"))

    def _migrate(self) -> Iterator[str]:
        from postwatch.deploy.migrate import migrate
        from postwatch.streams.clickhouse.client import connect

        yield from migrate(connect(self._clickhouse, database=""), self._clickhouse)


def fetch_kafka(tell: Tell) -> None:
    """Download Kafka if this user never did: before any port is chosen, for it may take minutes."""
    if not has_jars():
        tell("downloading Apache Kafka (44 MB, only this time)")
        class_path()
        tell("Apache Kafka is downloaded")
