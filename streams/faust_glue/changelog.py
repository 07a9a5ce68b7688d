"""The changelog topic of the join's table, created before Faust starts.

Faust would create it itself, but without the settings that recovery relies on: compacted only, with deletes kept for a
week, and as many partitions as the raw topic has.
"""

from __future__ import annotations

import structlog
from confluent_kafka import KafkaError, KafkaException
from postwatch.producers.service.errors import SettingsError, UnavailableError
from postwatch.producers.service.kafka import check_topics
from postwatch.producers.service.kafka_admin import open_admin
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.kafka_trouble import with_remedy
from postwatch.producers.service.topic_copies import copies_among, in_sync_copies
from postwatch.streams.faust_glue.changelog_topic import CHANGELOG_CONFIG, raise_marker
from postwatch.streams.faust_glue.internals import NewTopic
from postwatch.streams.faust_glue.kafka_rights import READ, WRITE, Need, check_rights
from postwatch.streams.faust_glue.topic_watch import raise_remedy

log = structlog.get_logger()

_TIMEOUT_SECONDS = 10.0


def ensure_changelog(kafka: KafkaSettings, topic: str, group: str, replication: int = 0) -> int:
    """Create the topic if it is missing; returns the number of partitions of the raw topic.

    `replication`: on how many brokers; 0: 3, or all where there are fewer. Raises UnavailableError while no broker
    answers or lets the join do its work, SettingsError where topics don't fit.
    """
    admin, failure = open_admin(kafka)
    metadata = check_topics(admin, kafka, [kafka.raw_topic, kafka.outcomes_topic], failure)
    partitions = len(metadata.topics[kafka.raw_topic].partitions)
    outcome_partitions = len(metadata.topics[kafka.outcomes_topic].partitions)
    if outcome_partitions < partitions:
        raise SettingsError(
            f"{kafka.outcomes_topic} has {outcome_partitions} partitions and {kafka.raw_topic} has {partitions}: "
            f"raise {kafka.outcomes_topic} to {partitions}"
        )
    check_rights(
        admin,
        kafka,
        [
            Need("topic", kafka.raw_topic, READ),
            Need("topic", kafka.outcomes_topic, WRITE),
            Need("topic", kafka.heartbeats_topic, WRITE),
            Need("topic", kafka.dead_letters_topic, WRITE),
            Need("group", group, READ),
        ],
    )
    if raise_marker(topic) in metadata.topics:
        raise SettingsError(
            f"the partitions of {kafka.raw_topic} are being raised, or that was cut off: "
            "run `postwatch migrate --raise-partitions` again, with the same number, then start this worker"
        )
    known = metadata.topics.get(topic)
    if known is not None and known.partitions:
        if len(known.partitions) != partitions:
            raise SettingsError(
                f"{topic}, the table of the join, has {len(known.partitions)} partitions and {kafka.raw_topic} has "
                f"{partitions}: {raise_remedy(max(partitions, len(known.partitions)))}"
            )
        return partitions
    copies = copies_among(replication, len(metadata.brokers))
    config = {**CHANGELOG_CONFIG, "min.insync.replicas": str(in_sync_copies(copies))}
    created = admin.create_topics([NewTopic(topic, partitions, copies, config=config)])
    try:
        created[topic].result(_TIMEOUT_SECONDS)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise UnavailableError(f"{topic} can't be created: {with_remedy(error.args[0])}") from error
    log.info("changelog_created", topic=topic, partitions=partitions, copies=copies)
    return partitions
