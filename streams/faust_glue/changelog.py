"""The changelog topic of the join's table, created before Faust starts.

Faust would create it itself, but without the settings that recovery relies on: compacted only, with deletes kept for a
week, and as many partitions as the raw topic has.
"""

from __future__ import annotations

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from postwatch.producers.service.errors import SettingsError, UnavailableError
from postwatch.producers.service.settings import KafkaSettings

log = structlog.get_logger()

_ALREADY_EXISTS = 36
_CONFIG = {
    "cleanup.policy": "compact",
    "delete.retention.ms": str(7 * 86_400_000),
    "min.cleanable.dirty.ratio": "0.1",
    "segment.ms": str(6 * 3_600_000),
    "max.message.bytes": str(8 * 1024 * 1024),
}
_TIMEOUT_SECONDS = 10.0


def ensure_changelog(kafka: KafkaSettings, topic: str) -> int:
    """Create the topic if it is missing; returns the number of partitions of the raw topic.

    Raises UnavailableError while no broker answers, SettingsError where topics don't fit.
    """
    admin = AdminClient(kafka.client_config(), logger=None)
    try:
        topics = admin.list_topics(timeout=_TIMEOUT_SECONDS).topics
    except KafkaException as error:
        raise UnavailableError(
            f"no Kafka broker answers at {kafka.brokers} ({error.args[0].str()}); "
            "start it or set POSTWATCH_KAFKA_BROKERS"
        ) from error
    raw = topics.get(kafka.raw_topic)
    if raw is None or not raw.partitions:
        raise UnavailableError(f"the topic {kafka.raw_topic} does not exist yet; `postwatch migrate --topics` makes it")
    partitions = len(raw.partitions)
    outcomes = topics.get(kafka.outcomes_topic)
    if outcomes is None or not outcomes.partitions:
        raise UnavailableError(
            f"the topic {kafka.outcomes_topic} does not exist yet; `postwatch migrate --topics` makes it"
        )
    if len(outcomes.partitions) < partitions:
        raise SettingsError(
            f"{kafka.outcomes_topic} has {len(outcomes.partitions)} partitions and {kafka.raw_topic} has {partitions}: "
            "give the first as many"
        )
    known = topics.get(topic)
    if known is not None and known.partitions:
        if len(known.partitions) != partitions:
            raise SettingsError(
                f"{topic} has {len(known.partitions)} partitions and {kafka.raw_topic} has {partitions}: "
                "set POSTWATCH_JOIN_GROUP to a new name to begin a new table"
            )
        return partitions
    replication = min(3, len(admin.list_topics(timeout=_TIMEOUT_SECONDS).brokers))
    created = admin.create_topics([NewTopic(topic, partitions, replication, config=_CONFIG)])
    try:
        created[topic].result(_TIMEOUT_SECONDS)
    except KafkaException as error:
        if error.args[0].code() != _ALREADY_EXISTS:
            raise UnavailableError(f"{topic} can't be created: {error.args[0].str()}") from error
    log.info("changelog_created", topic=topic, partitions=partitions)
    return partitions
