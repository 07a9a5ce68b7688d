"""Kafka as the chaos runs it: one broker, or a cluster in which each record has three copies and two acknowledge it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from postwatch.deploy.embedded.kafka import EmbeddedKafka
from postwatch.deploy.embedded.ports import LOOPBACK, choose_port
from postwatch.deploy.embedded.process import Children
from postwatch.producers.service.errors import UnavailableError

_START_SECONDS = 120.0
_CLUSTER = """\
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
controller.quorum.election.timeout.ms=1000
controller.quorum.election.backoff.max.ms=1000
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
"""
"""Here a broker that is away is missed by others, so its silence may last longer than that of one alone."""


def make_brokers(count: int, folder: Path, log: Callable[[str], Path], children: Children) -> dict[str, EmbeddedKafka]:
    """Name → broker: `broker`, or `broker-1` to `broker-3`, each a controller too."""
    if count == 1:
        return {"broker": EmbeddedKafka(folder / "kafka", log_path=log("kafka"), children=children)}
    controllers = {number: choose_port() for number in range(1, count + 1)}
    voters = ",".join(f"{number}@{LOOPBACK}:{port}" for number, port in controllers.items())
    common = dict(line.split("=") for line in _CLUSTER.splitlines())
    return {
        f"broker-{number}": EmbeddedKafka(
            folder / f"kafka-{number}",
            log_path=log(f"kafka-{number}"),
            children=children,
            properties={**common, "node.id": str(number), "controller.quorum.voters": voters},
            controller_port=port,
        )
        for number, port in controllers.items()
    }


def start_brokers(brokers: dict[str, EmbeddedKafka]) -> None:
    """All at once: none of a cluster is ready before most of them run. Raises UnavailableError."""
    for broker in brokers.values():
        broker.launch()
    deadline = time.monotonic() + _START_SECONDS
    for name, broker in brokers.items():
        while not broker.is_ready():
            if broker.exit_status() is not None or time.monotonic() > deadline:
                raise UnavailableError(f"{name} does not come up:\n{broker.log_tail()}")
            time.sleep(0.1)


def are_in_sync(addresses: str) -> bool:
    """Whether every copy of every partition is there, and none behind."""
    try:
        known = AdminClient({"bootstrap.servers": addresses, "log_level": 2}).list_topics(timeout=5)
    except KafkaException:
        return False
    partitions = [one for topic in known.topics.values() for one in topic.partitions.values()]
    return all(len(one.isrs) == len(one.replicas) for one in partitions)
