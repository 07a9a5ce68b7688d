"""The topics and their settings, created in one place.

The raw topic keeps three days: what a join or sink that was away may still read. Outcomes have as many partitions as
raw records, for an outcome goes to the partition of the record that it came from.

A record's time is the time at which the broker appended it, not the sender's. By the sender's time, a wrong clock on
one mail server is enough to lose records: Kafka refuses those more than an hour ahead, and deletes those that look
older than the retention although they have just arrived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewTopic
from postwatch.deploy.topic_settings import TopicSettings
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.kafka import check_topics
from postwatch.producers.service.kafka_admin import open_admin
from postwatch.producers.service.kafka_settings import MAX_MESSAGE_BYTES, KafkaSettings
from postwatch.producers.service.kafka_trouble import with_remedy
from postwatch.producers.service.topic_copies import in_sync_copies

TIMESTAMP_TYPE = "message.timestamp.type"
APPEND_TIME = "LogAppendTime"

_HOUR_MS = 3_600_000
_TIMEOUT_SECONDS = 10.0


def topic_configs(kafka: KafkaSettings, settings: TopicSettings | None = None) -> dict[str, dict[str, str]]:
    """Topic → its settings. `settings`: None: the defaults."""
    settings = settings or TopicSettings()
    largest = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}
    append_time = {TIMESTAMP_TYPE: APPEND_TIME}

    def kept(hours: int) -> dict[str, str]:
        return {"retention.ms": str(hours * _HOUR_MS)}

    return {
        kafka.raw_topic: {**kept(settings.raw_retention_hours), **largest, **append_time},
        kafka.outcomes_topic: {**kept(settings.outcomes_retention_hours), **largest, **append_time},
        kafka.heartbeats_topic: {**kept(settings.heartbeats_retention_hours), **append_time},
        kafka.dead_letters_topic: {**kept(settings.dead_letters_retention_hours), **append_time},
    }


def create_topics(kafka: KafkaSettings, partitions: int, settings: TopicSettings | None = None) -> Mapping[str, str]:
    """Create the topics that are missing, and let the others go by append time too.

    Returns topic → what was done: 'created', 'exists', or 'exists, message.timestamp.type set to LogAppendTime'. Other
    settings of a topic that exists are its operator's. Raises UnavailableError without a broker.
    """
    admin, failure = open_admin(kafka)
    known = check_topics(admin, kafka, [], failure)
    settings = settings or TopicSettings()
    configs = topic_configs(kafka, settings)
    done = dict.fromkeys(configs, "exists")
    copies = settings.copies(len(known.brokers))
    in_sync = {"min.insync.replicas": str(in_sync_copies(copies))}
    wanted = [
        NewTopic(topic, partitions, copies, config=config | in_sync)
        for topic, config in configs.items()
        if topic not in known.topics
    ]
    for topic, created in admin.create_topics(wanted).items() if wanted else ():
        try:
            created.result(_TIMEOUT_SECONDS)
            done[topic] = "created"
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise UnavailableError(f"the topic {topic} can't be created: {with_remedy(error.args[0])}") from error
    for topic in _set_append_time(admin, [topic for topic, state in done.items() if state == "exists"]):
        done[topic] = f"exists, {TIMESTAMP_TYPE} set to {APPEND_TIME}"
    return done


def topic_retentions(kafka: KafkaSettings) -> dict[str, int]:
    """Topic → for how many ms it keeps a record; -1: for ever. Raises UnavailableError."""
    admin, failure = open_admin(kafka)
    check_topics(admin, kafka, list(topic_configs(kafka)), failure)
    asked = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topic_configs(kafka)]
    try:
        described = admin.describe_configs(asked, request_timeout=_TIMEOUT_SECONDS)
        return {
            one.name: int(found.result(2 * _TIMEOUT_SECONDS)["retention.ms"].value) for one, found in described.items()
        }
    except KafkaException as error:
        raise UnavailableError(f"the settings of the topics can't be read: {with_remedy(error.args[0])}") from error


def _set_append_time(admin: AdminClient, topics: Iterable[str]) -> list[str]:
    """Topics that an earlier version created go by the sender's time: change it. Returns those that were changed."""
    asked = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
    if not asked:
        return []
    changed = []
    try:
        for resource, described in admin.describe_configs(asked, request_timeout=_TIMEOUT_SECONDS).items():
            if described.result(2 * _TIMEOUT_SECONDS)[TIMESTAMP_TYPE].value != APPEND_TIME:
                changed.append(resource.name)
        operations = [
            ConfigResource(
                ConfigResource.Type.TOPIC,
                topic,
                incremental_configs=[
                    ConfigEntry(TIMESTAMP_TYPE, APPEND_TIME, incremental_operation=AlterConfigOpType.SET)
                ],
            )
            for topic in changed
        ]
        for altered in admin.incremental_alter_configs(operations).values() if operations else ():
            altered.result(_TIMEOUT_SECONDS)
    except KafkaException as error:
        raise UnavailableError(
            f"{TIMESTAMP_TYPE} of the topics can't be set to {APPEND_TIME}: {error.args[0].str()}; "
            "let the user of POSTWATCH_KAFKA_SASL_USERNAME describe and alter the configs of the topics"
        ) from error
    return changed
