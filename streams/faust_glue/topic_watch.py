"""Whether the worker's topics are still those that it began with: not made anew, and with as many partitions.

Kafka tells nobody. aiokafka looks every five minutes, and then the worker has another number of partitions than its
table. So this asks every ten seconds: one request, a few hundred bytes, and some milliseconds on a thread of its own.
While no broker answers nothing is said here; others tell that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from postwatch.producers.service.kafka_admin import open_admin
from postwatch.producers.service.kafka_settings import KafkaSettings

LOOK_EVERY_SECONDS = 10.0
_TIMEOUT_SECONDS = 5.0
_MISSED_LOOKS = 2
"""A broker that has just started may not know a topic for a moment."""


@dataclass(frozen=True, slots=True)
class TopicShape:
    """What a topic is, beyond its name."""

    topic_id: str
    partitions: int


@dataclass(frozen=True, slots=True)
class TopicChange:
    """Why the worker can't go on with a topic."""

    reason: str
    remedy: str


def raise_remedy(partitions: int) -> str:
    return (
        "stop the shippers and all workers of the join, run "
        f"`postwatch migrate --raise-partitions {partitions}`, and start them again (docs/partitions.md)"
    )


def judge_topic(topic: str, began: TopicShape, now: TopicShape) -> TopicChange | None:
    """None: it is the same. Pure."""
    if now.topic_id != began.topic_id:
        return TopicChange(
            f"{topic} was deleted and made anew while this worker ran",
            "nothing: the supervisor starts it again, and it reads the new topic from its beginning",
        )
    if now.partitions != began.partitions:
        return TopicChange(
            f"{topic} has {now.partitions} partitions, and had {began.partitions} when this worker began: "
            "the lines of a server may be on two of them now, and the table has no place for the new ones",
            raise_remedy(now.partitions),
        )
    return None


class TopicWatch:
    """Looks at some topics; what it saw first is what the worker began with."""

    def __init__(self, kafka: KafkaSettings, partitions: Mapping[str, int]) -> None:
        """`partitions`: topic → how many it had as the worker began."""
        self._kafka = kafka
        self._partitions = partitions
        self._began: dict[str, TopicShape] = {}
        self._missed: dict[str, int] = {}
        self._admin: AdminClient | None = None

    def look(self) -> TopicChange | None:
        """What has changed; waits for the brokers, so call it on a thread that may wait."""
        if self._admin is None:
            self._admin, _ = open_admin(self._kafka)
        for topic, shape in describe_shapes(self._admin, self._partitions).items():
            if shape is None:
                self._missed[topic] = self._missed.get(topic, 0) + 1
                if self._missed[topic] >= _MISSED_LOOKS:
                    return TopicChange(f"{topic} was deleted", "create it with `postwatch migrate --topics`")
                continue
            self._missed.pop(topic, None)
            began = self._began.setdefault(topic, TopicShape(shape.topic_id, self._partitions[topic]))
            if change := judge_topic(topic, began, shape):
                return change
        return None


def describe_shapes(admin: AdminClient, topics: Collection[str]) -> dict[str, TopicShape | None]:
    """Topic → its shape; None: the brokers say that there is none. What they do not answer is left out."""
    found: dict[str, TopicShape | None] = {}
    asked = admin.describe_topics(TopicCollection([*topics]), request_timeout=_TIMEOUT_SECONDS)
    for topic, answer in asked.items():
        try:
            described = answer.result(2 * _TIMEOUT_SECONDS)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                found[topic] = None
            continue
        except FutureTimeoutError:
            continue
        found[topic] = TopicShape(str(described.topic_id), len(described.partitions))
    return found
