"""A topic that changes under a running join is noticed within seconds, and told with the remedy."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic
from postwatch.producers.service.errors import SettingsError
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.faust_glue.changelog import ensure_changelog
from postwatch.streams.faust_glue.group_offsets import correct_offsets, open_group
from postwatch.streams.faust_glue.topic_watch import TopicChange, TopicShape, TopicWatch, describe_shapes, judge_topic
from postwatch.streams.settings import ClickHouseSettings

from tests.end_to_end.pipeline import PARTITIONS, Pipeline, running
from tests.waiting import PATIENCE, wait_until


def add_partitions(kafka: KafkaSettings, topic: str, total: int) -> None:
    admin = AdminClient(kafka.client_config())
    admin.create_partitions([NewPartitions(topic, total)])[topic].result(PATIENCE)


def make_topic(kafka: KafkaSettings, topic: str, partitions: int) -> AdminClient:
    admin = AdminClient(kafka.client_config())
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(PATIENCE)
    wait_until(lambda: bool(describe_shapes(admin, [topic])[topic]), "the topic is there")
    return admin


def test_what_is_the_same_is_no_change() -> None:
    began = TopicShape("a", 2)
    assert judge_topic("mail.raw", began, TopicShape("a", 2)) is None
    change = judge_topic("mail.raw", began, TopicShape("a", 5))
    assert change is not None
    assert "mail.raw has 5 partitions, and had 2" in change.reason
    assert "postwatch migrate --raise-partitions 5" in change.remedy


@pytest.mark.stack
def test_a_topic_that_was_made_anew_or_deleted_is_named(topics: KafkaSettings) -> None:
    topic = topics.raw_topic
    admin = make_topic(topics, topic, 2)
    watch = TopicWatch(topics, {topic: 2})
    assert watch.look() is None
    admin.delete_topics([topic])[topic].result(PATIENCE)
    wait_until(lambda: describe_shapes(admin, [topic])[topic] is None, "the topic is gone")
    assert watch.look() is None  # a broker that has just started may not know it yet
    gone = watch.look()
    assert gone == TopicChange(f"{topic} was deleted", "create it with `postwatch migrate --topics`")
    make_topic(topics, topic, 2)
    anew = watch.look()
    assert anew is not None
    assert anew.reason == f"{topic} was deleted and made anew while this worker ran"


@pytest.mark.stack
def test_offsets_of_a_former_topic_are_put_right_and_no_others(topics: KafkaSettings) -> None:
    """A worker that still ran commits to the topic that was made anew: its records would pass for read."""
    topic, group = topics.raw_topic, f"{topics.raw_topic}-group"
    make_topic(topics, topic, 4)
    producer = Producer(topics.client_config())
    for number in range(4):
        producer.produce(topic, b"x", partition=number)
    producer.flush(PATIENCE)
    consumer = open_group(topics, group)
    places = [TopicPartition(topic, number, offset) for number, offset in enumerate((500, 1, 0))]
    consumer.commit(offsets=places, asynchronous=False)

    def committed() -> list[int]:
        return [
            one.offset for one in consumer.committed([TopicPartition(topic, one) for one in range(4)], timeout=PATIENCE)
        ]

    correct_offsets(topics, group, topic, 4)
    assert committed() == [0, 1, 0, 0]
    consumer.close()


@pytest.mark.stack
def test_a_group_with_members_sees_to_its_own_offsets(topics: KafkaSettings) -> None:
    topic, group = topics.raw_topic, f"{topics.raw_topic}-group"
    make_topic(topics, topic, 1)
    member = Consumer({**topics.client_config(), "group.id": group, "enable.auto.commit": False})
    member.subscribe([topic])
    wait_until(lambda: member.poll(0.2) is None and member.assignment(), "the member has its partition")
    correct_offsets(topics, group, topic, 1)
    [place] = member.committed([TopicPartition(topic, 0)], timeout=PATIENCE)
    assert place.offset < 0
    member.close()


@pytest.mark.stack
def test_a_partition_added_before_the_first_look_is_named(topics: KafkaSettings) -> None:
    make_topic(topics, topics.raw_topic, 3)
    change = TopicWatch(topics, {topics.raw_topic: 2}).look()
    assert change is not None
    assert "has 3 partitions, and had 2" in change.reason


@pytest.mark.stack
def test_a_join_ends_when_partitions_are_added_and_says_why_each_time(topics: KafkaSettings, tmp_path: Path) -> None:
    with running(Pipeline(tmp_path, topics, ClickHouseSettings())) as pipeline:
        join = pipeline.start("join")
        changelog = f"{pipeline.environment()['POSTWATCH_JOIN_GROUP']}-parked-changelog"
        wait_until(lambda: b"changelog_created" in join.log_file.read_bytes(), "the join has its table")
        add_partitions(topics, topics.outcomes_topic, PARTITIONS + 1)
        add_partitions(topics, topics.raw_topic, PARTITIONS + 1)
        since = time.monotonic()
        assert join.wait() == 70
        assert time.monotonic() - since < 60  # ten seconds, and the machine may be busy; aiokafka's own are 300
        said = join.log_file.read_text()
        assert f"{topics.raw_topic} has {PARTITIONS + 1} partitions, and had {PARTITIONS}" in said
        assert f"postwatch migrate --raise-partitions {PARTITIONS + 1}" in said
        with pytest.raises(SettingsError, match=f"{changelog}, the table of the join, has {PARTITIONS} partitions"):
            ensure_changelog(topics, changelog, changelog.removesuffix("-parked-changelog"))
