"""Raises the partitions of the raw topic, and of what goes with it, without losing the order of a server's lines.

A key's partition depends on their number. So it is changed while no line is under way: shippers stopped (their log
files are the spool), everything read, no join running. Then the parked messages of the table move to where the lines of
their server go from now on.

Invariant: it may be cut off anywhere. The topic MARKER is there from before the first change until after the last one;
while it is there no join starts, and running this again goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.cimpl import NewPartitions, NewTopic
from postwatch.deploy.doctor_lag import LagFacts
from postwatch.deploy.lag_facts import collect_lag
from postwatch.producers.service.errors import BadInputError, UnavailableError
from postwatch.producers.service.kafka import check_topics
from postwatch.producers.service.kafka_admin import SILENT, open_admin
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.kafka_trouble import with_remedy
from postwatch.streams.contracts.topic_reader import read_topic
from postwatch.streams.faust_glue.changelog_topic import changelog_topic, raise_marker
from postwatch.streams.faust_glue.group_offsets import correct_offsets, open_group
from postwatch.streams.faust_glue.kafka_rights import READ, Need, check_rights
from postwatch.streams.partition.table_move import Write, last_entries, plan_move
from postwatch.streams.settings import JoinSettings

QUIET_SECONDS = 15.0
"""Nothing may come for so long: a shipper that runs sends a heartbeat each 10 s."""
_TIMEOUT_SECONDS = 10.0


class PartitionRaise:
    """One raise; `say` is told each step."""

    def __init__(self, kafka: KafkaSettings, join: JoinSettings, partitions: int, say: Callable[[str], None]) -> None:
        self._kafka = kafka
        self._group = join.group
        self._partitions = partitions
        self._changelog = changelog_topic(join)
        self._marker = raise_marker(self._changelog)
        self._say = say
        self._admin, self._failure = open_admin(kafka)

    def run(self, *, undrained: bool = False) -> None:
        """Raises BadInputError where lines are under way, unless `undrained`; UnavailableError without a broker."""
        counts = self._counts()
        raw, table = counts[self._kafka.raw_topic], counts.get(self._changelog, 0)
        old = counts.get(self._marker) or table or raw
        if raw > self._partitions or table > self._partitions:
            raise BadInputError(
                f"{self._kafka.raw_topic} has {max(raw, table)} partitions: Kafka has no way to {self._partitions}"
            )
        if raw == self._partitions == (table or raw) and self._marker not in counts:
            self._say(f"{self._kafka.raw_topic} has {raw} partitions already")
            return
        check_rights(self._admin, self._kafka, [Need("group", self._group, READ)])  # to ask for offsets would time out
        self._check_workers(self._lag(raw), undrained)
        if not undrained:
            self._check_quiet(raw, QUIET_SECONDS)
        if self._marker not in counts:
            self._make_marker(old)
        self._raise(self._kafka.outcomes_topic, counts.get(self._kafka.outcomes_topic, 0))
        if table:
            self._raise(self._changelog, table)
            self._move(old)
        self._raise(self._kafka.raw_topic, raw)
        correct_offsets(self._kafka, self._group, self._kafka.raw_topic, self._partitions)
        self._remove_marker()

    def _counts(self) -> dict[str, int]:
        metadata = check_topics(self._admin, self._kafka, [self._kafka.raw_topic], self._failure)
        return {name: len(topic.partitions) for name, topic in metadata.topics.items()}

    def _lag(self, partitions: int) -> LagFacts:
        consumer = open_group(self._kafka, self._group)
        try:
            now_ms = time.time_ns() // 1_000_000
            return collect_lag(self._admin, consumer, self._group, self._kafka.raw_topic, partitions, now_ms)
        except KafkaException as error:
            raise UnavailableError(f"the lag of {self._group} is not known: {with_remedy(error.args[0])}") from error
        finally:
            consumer.close()

    def _check_workers(self, lag: LagFacts, undrained: bool) -> None:
        if lag.workers is None:
            raise UnavailableError(f"Kafka does not say who is in the group {self._group}: grant `describe` on it")
        if lag.workers:
            raise BadInputError(f"{lag.workers} workers of the group {self._group} run: stop them first")
        if lag.unread_records and not undrained:
            raise BadInputError(
                f"{lag.unread_records} records of {self._kafka.raw_topic} are not joined yet: stop the shippers, let "
                "the join run until its lag is 0 (two minutes), stop it, and try again. If it can't run, because "
                "partitions were added by other means, use --undrained: messages under way now may stay pending"
            )

    def _check_quiet(self, partitions: int, seconds: float) -> None:
        before = self._ends(partitions)
        if any(before):
            self._say(f"watching for {seconds:g} s whether a shipper still sends")
            time.sleep(seconds)
        came = sum(self._ends(partitions)) - sum(before)
        if came:
            raise BadInputError(
                f"{came} records came within {seconds:g} s: stop all shippers first. Their log files keep the lines"
            )

    def _ends(self, partitions: int) -> list[int]:
        consumer = open_group(self._kafka, self._group)
        try:
            places = [TopicPartition(self._kafka.raw_topic, number) for number in range(partitions)]
            return [consumer.get_watermark_offsets(place, timeout=_TIMEOUT_SECONDS)[1] for place in places]
        finally:
            consumer.close()

    def _make_marker(self, old_partitions: int) -> None:
        created = self._admin.create_topics([NewTopic(self._marker, old_partitions, 1)])
        self._await(created[self._marker], f"the topic {self._marker} can't be created")

    def _remove_marker(self) -> None:
        removed = self._admin.delete_topics([self._marker], request_timeout=_TIMEOUT_SECONDS)
        self._await(removed[self._marker], f"the topic {self._marker} can't be deleted")
        give_up_at = time.monotonic() + _TIMEOUT_SECONDS
        while self._marker in self._counts() and time.monotonic() < give_up_at:
            time.sleep(0.1)  # a join that starts now would be refused
        self._say("done: start the join, then the shippers")

    def _raise(self, topic: str, partitions: int) -> None:
        if partitions >= self._partitions:
            return
        raised = self._admin.create_partitions([NewPartitions(topic, self._partitions)])
        self._await(raised[topic], f"the partitions of {topic} can't be raised")
        give_up_at = time.monotonic() + _TIMEOUT_SECONDS
        while self._counts()[topic] < self._partitions and time.monotonic() < give_up_at:
            time.sleep(0.1)  # until the brokers tell of them
        self._say(f"{topic}: {self._partitions} partitions instead of {partitions}")

    def _await(self, answer: object, failed: str) -> None:
        try:
            answer.result(_TIMEOUT_SECONDS)  # type: ignore[attr-defined]
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise UnavailableError(f"{failed}: {with_remedy(error.args[0])}") from error

    def _move(self, old_partitions: int) -> None:
        move = plan_move(last_entries(self._entries()), old_partitions, self._partitions)
        config = self._kafka.producer_config("postwatch-migrate") | {"message.timeout.ms": 60_000}
        producer = Producer(config, logger=SILENT)
        for writes in (move.first, move.then):
            _write(producer, self._changelog, writes)
        self._say(f"{self._changelog}: {move.messages} parked messages moved to another partition")

    def _entries(self) -> Iterator[Write]:
        for message in read_topic(self._kafka, self._changelog, from_beginning=True, follow=False, warn=self._say):
            key, value = message.key(), message.value()
            yield int(message.partition() or 0), _as_bytes(key) or b"", _as_bytes(value)


def _as_bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _write(producer: Producer, topic: str, writes: list[Write]) -> None:
    """All of them are in Kafka when this returns. Raises UnavailableError otherwise: run it again."""
    failures: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: object) -> None:
        if error is not None:
            failures.append(error)

    left = 0
    try:
        for number, key, value in writes:
            while True:
                try:
                    producer.produce(topic, value, key, number, on_delivery=delivered)
                    break
                except BufferError:
                    producer.poll(0.1)
        left = producer.flush(120)
    except KafkaException as error:  # an idempotent producer is refused as a whole
        failures.insert(0, error.args[0])
    if failures or left:
        reason = with_remedy(failures[0]) if failures else "Kafka takes no more"
        raise UnavailableError(f"entries of {topic} could not be written: {reason}; run this again, nothing is lost")
