"""The topics and their settings, created in one place.

The raw topic keeps three days: what a join or sink that was away may still read. Outcomes have as many partitions as
raw records, for an outcome goes to the partition of the record that it came from.
"""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.kafka import check_topics
from postwatch.producers.service.kafka_settings import MAX_MESSAGE_BYTES, KafkaSettings

_DAY_MS = 86_400_000
_TIMEOUT_SECONDS = 10.0


def topic_configs(kafka: KafkaSettings) -> dict[str, dict[str, str]]:
    """Topic → its settings."""
    largest = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}
    return {
        kafka.raw_topic: {"retention.ms": str(3 * _DAY_MS), **largest},
        kafka.outcomes_topic: {"retention.ms": str(3 * _DAY_MS), **largest},
        kafka.heartbeats_topic: {"retention.ms": str(_DAY_MS)},
        kafka.dead_letters_topic: {"retention.ms": str(14 * _DAY_MS)},
    }


def create_topics(kafka: KafkaSettings, partitions: int) -> Mapping[str, str]:
    """Create what is missing; returns topic → 'created' or 'exists'. Raises UnavailableError without a broker."""
    admin = AdminClient({**kafka.client_config(), "log_level": 2})
    known = check_topics(admin, kafka, [])
    replication = min(3, len(known.brokers))
    wanted = [
        NewTopic(topic, partitions, replication, config=config)
        for topic, config in topic_configs(kafka).items()
        if topic not in known.topics
    ]
    done = dict.fromkeys(topic_configs(kafka), "exists")
    if not wanted:
        return done
    for topic, created in admin.create_topics(wanted).items():
        try:
            created.result(_TIMEOUT_SECONDS)
            done[topic] = "created"
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise UnavailableError(f"the topic {topic} can't be created: {error.args[0].str()}") from error
    return done
