"""Collects how far a consumer group is in a topic, without joining it: partitions are assigned, nothing is committed.

Lag that consists of control markers of transactions only is no lag: nothing can be read there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic, sleep

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from postwatch.deploy.doctor_lag import WATCH_SECONDS, LagFacts
from postwatch.streams.faust_glue.standstill import STANDSTILL_MS

_TIMEOUT_SECONDS = 5.0


def collect_lag(
    admin: AdminClient, consumer: Consumer, group: str, topic: str, partitions: int, now_ms: int
) -> LagFacts:
    """The consumer has the group's name, and tells the end of partitions (enable.partition.eof)."""
    places = [TopicPartition(topic, number) for number in range(partitions)]
    committed = _committed(consumer, places)
    waiting: dict[int, int] = {}
    starts = []
    for place in places:
        first, end = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_SECONDS)
        following = max(committed[place.partition], first)
        if following < end:
            waiting[place.partition] = end - following
            starts.append(TopicPartition(topic, place.partition, following))
    oldest, unknown = _first_records(consumer, starts)
    workers = _workers(admin, group, topic)
    suspects = [
        TopicPartition(topic, number)
        for number, came_ms in oldest.items()
        if workers is not None and number in workers[1] and now_ms - came_ms > STANDSTILL_MS
    ]
    unmoved: list[int] = []
    if suspects:
        sleep(WATCH_SECONDS)
        later = _committed(consumer, suspects)
        unmoved = [number for number, offset in later.items() if offset == committed[number]]
    return LagFacts(
        group=group,
        topic=topic,
        has_committed=any(offset >= 0 for offset in committed.values()),
        unread_records=sum(count for number, count in waiting.items() if number in oldest or number in unknown),
        oldest_unread_ms=min(oldest.values(), default=0),
        workers=None if workers is None else workers[0],
        unmoved_partitions=sorted(unmoved),
        unknown_partitions=sorted(unknown),
    )


def _committed(consumer: Consumer, places: Sequence[TopicPartition]) -> dict[int, int]:
    """Partition → the group's offset there; negative: none."""
    return {place.partition: place.offset for place in consumer.committed(list(places), timeout=_TIMEOUT_SECONDS)}


def _first_records(consumer: Consumer, starts: list[TopicPartition]) -> tuple[Mapping[int, int], set[int]]:
    """Partition → when Kafka got the first record from there on; and the partitions whose record did not come in time.

    A partition that is neither has only control markers, or the records of open transactions, up to its end.
    """
    found: dict[int, int] = {}
    missing = {place.partition for place in starts}
    consumer.assign(starts)
    give_up_at = monotonic() + _TIMEOUT_SECONDS
    while missing and monotonic() < give_up_at:
        message = consumer.poll(0.2)
        if message is None or message.partition() not in missing:
            continue
        number = int(message.partition() or 0)
        error = message.error()
        if error is None:
            found[number] = int(message.timestamp()[1])
        elif error.code() != KafkaError._PARTITION_EOF:
            continue
        missing.discard(number)
        consumer.pause([TopicPartition(str(message.topic()), number)])
    consumer.unassign()
    return found, missing


def _workers(admin: AdminClient, group: str, topic: str) -> tuple[int, set[int]] | None:
    """How many members the group has, and which partitions of the topic they have; None where Kafka does not say."""
    try:
        described = admin.describe_consumer_groups([group], request_timeout=_TIMEOUT_SECONDS)
        members = described[group].result(2 * _TIMEOUT_SECONDS).members
    except KafkaException:
        return None  # not allowed, or a coordinator that is just moving
    theirs = {
        place.partition
        for member in members
        for place in (member.assignment.topic_partitions if member.assignment else [])
        if place.topic == topic
    }
    return len(members), theirs
