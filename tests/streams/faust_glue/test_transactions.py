"""Records of transactional producers: Kafka's markers take offsets, and what was aborted must not be joined."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from postwatch.deploy.embedded.ports import choose_port
from postwatch.producers.record import RawHeaders
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.contracts.outcome_records import decode_outcomes, from_table
from postwatch.streams.contracts.topic_reader import read_topic
from postwatch.streams.settings import ClickHouseSettings

from tests.end_to_end.pipeline import PARTITIONS, Pipeline, running
from tests.waiting import PATIENCE, wait_until

NOW = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())


class Senders:
    """A plain producer and a transactional one; each message is one record with all its lines."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._topic = kafka.raw_topic
        self._plain = Producer({"bootstrap.servers": kafka.brokers})
        self._transactional = Producer({"bootstrap.servers": kafka.brokers, "transactional.id": kafka.raw_topic})
        self._transactional.init_transactions(30)
        self._numbers = itertools.count(1)
        self._byte_offset = 0
        self.valid: list[str] = []

    def plain(self, partition: int, *, is_valid: bool = True) -> None:
        self._send(self._plain, partition, is_valid)
        self._plain.flush(PATIENCE)

    def transaction(
        self, partition: int, records: int, *, commit: bool, between: Callable[[], None] = lambda: None
    ) -> None:
        self._transactional.begin_transaction()
        for _ in range(records):
            self._send(self._transactional, partition, commit)
            self._transactional.flush(PATIENCE)
            between()
        if commit:
            self._transactional.commit_transaction(30)
        else:
            self._transactional.abort_transaction(30)

    def _send(self, producer: Producer, partition: int, is_valid: bool) -> None:
        number = next(self._numbers)
        queue_id = f"1vM{number:03d}-0000000{number:04d}-Abcd"
        address = f"user{number}@far.example"
        text = (
            f"{NOW} {queue_id} <= anna@bakery.example H=(laptop) [198.51.100.7] P=esmtpsa "
            f"A=dovecot_login:anna@bakery.example S=900 for {address}\n"
            f"{NOW} {queue_id} => {address} R=dnslookup T=remote_smtp H=mx.far.example [203.0.113.5]\n"
            f"{NOW} {queue_id} Completed\n"
        )
        end = self._byte_offset + len(text)
        headers = RawHeaders("exim-main", "UTC", f"file-{partition}", self._byte_offset, end, int(time.time() * 1000))
        self._byte_offset = end
        producer.produce(self._topic, text.encode(), f"web{partition}".encode(), partition, headers=[*headers.encode()])
        if is_valid:
            self.valid.append(address)


def joined(kafka: KafkaSettings) -> Iterator[str]:
    for message in read_topic(kafka, kafka.outcomes_topic, from_beginning=True, follow=False, warn=print):
        for row in from_table(decode_outcomes(message.value() or b"")):
            if row.status == "delivered":
                yield row.recipient


def lags(kafka: KafkaSettings, group: str) -> list[int]:
    """Offsets that the group has not committed, of each partition; -1: it has never committed."""
    consumer = Consumer({"bootstrap.servers": kafka.brokers, "group.id": group})
    try:
        places = consumer.committed([TopicPartition(kafka.raw_topic, number) for number in range(PARTITIONS)], 10)
        ends = [consumer.get_watermark_offsets(place, 10)[1] for place in places]
    except KafkaException:  # a new broker looks for the coordinator of its groups
        return []
    finally:
        consumer.close()
    return [end - place.offset if place.offset >= 0 else -1 for place, end in zip(places, ends, strict=True)]


def lag_metrics(port: int) -> dict[str, float]:
    """What the join tells of its lag: partition → records."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    found = re.findall(r'^postwatch_join_lag_records\{partition="(\d)"\} (\S+)$', text, re.MULTILINE)
    return {partition: float(records) for partition, records in found}


@pytest.mark.stack
def test_committed_records_are_joined_aborted_ones_are_not_and_no_lag_stays(
    topics: KafkaSettings, tmp_path: Path
) -> None:
    port = choose_port()
    pipeline = Pipeline(tmp_path, topics, ClickHouseSettings(), {"POSTWATCH_JOIN_METRICS_ADDRESS": f"127.0.0.1:{port}"})
    group = pipeline.environment()["POSTWATCH_JOIN_GROUP"]
    with running(pipeline):
        senders = Senders(topics)
        senders.transaction(0, 2, commit=True)
        senders.plain(0)
        senders.transaction(0, 2, commit=False)
        senders.plain(0)
        senders.transaction(0, 3, commit=True, between=lambda: senders.plain(0))
        senders.transaction(0, 3, commit=False, between=lambda: senders.plain(0))
        senders.transaction(1, 2, commit=False)  # all that this partition has
        senders.plain(2)
        senders.transaction(2, 1, commit=True)
        pipeline.start("join")
        wait_until(lambda: lags(topics, group) == [0, 0, 0], "what was there is joined")
        assert sorted(joined(topics)) == sorted(senders.valid)

        for partition in range(PARTITIONS):  # one by one, each read as it comes
            senders.transaction(partition, 1, commit=False)
            wait_until(lambda: lags(topics, group) == [0, 0, 0], "an aborted transaction is passed")
            senders.transaction(partition, 1, commit=True)
            senders.plain(partition)
        wait_until(lambda: lags(topics, group) == [0, 0, 0], "what came is joined")
        assert sorted(joined(topics)) == sorted(senders.valid)

        wait_until(lambda: lag_metrics(port) == {"0": 0, "1": 0, "2": 0}, "the metrics say so")
        assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200

        def open_transaction_is_lag() -> None:
            wait_until(lambda: lag_metrics(port) == {"0": 0, "1": 1, "2": 0}, "an open transaction is lag")

        senders.transaction(1, 1, commit=False, between=open_transaction_is_lag)
        wait_until(lambda: lag_metrics(port) == {"0": 0, "1": 0, "2": 0}, "it is aborted")

        pipeline.parts["join"].kill()
        senders.transaction(1, 2, commit=True, between=lambda: senders.plain(1))
        pipeline.start("join")
        wait_until(lambda: lags(topics, group) == [0, 0, 0], "what came meanwhile is joined")
        assert sorted(joined(topics)) == sorted(senders.valid)
        assert pipeline.parts["join"].terminate() == 0

        senders.transaction(0, 1, commit=False)
        senders.transaction(2, 1, commit=True)  # a marker is the last offset of each partition
        replay = pipeline.start("replay", "join", "--from", "1h")
        assert replay.wait() == 0
        assert f"in {len(senders.valid)} records" in replay.log_file.read_text()
    assert "offset_gap_seen" not in pipeline.parts["join"].log_file.read_text()
