"""Partitions are raised with messages parked and lines to come: every row is right, and nothing is told twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from postwatch.deploy import cli, partitions
from postwatch.deploy.simulator.exim import queue_id
from postwatch.deploy.topics import create_topics
from postwatch.producers.record import RawHeaders
from postwatch.producers.service.errors import BadInputError, SettingsError
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.contracts.outcome_records import decode_outcomes, from_table
from postwatch.streams.contracts.topic_reader import read_topic
from postwatch.streams.faust_glue.changelog import ensure_changelog
from postwatch.streams.partition.partitioners import partition_by_murmur2
from postwatch.streams.settings import ClickHouseSettings, JoinSettings

from tests.end_to_end.pipeline import Pipeline, running
from tests.streams.partition.test_partition_join import table_rows
from tests.waiting import PATIENCE, wait_until

SERVERS = [f"web{number}" for number in range(6)]
ALONE = ["gateway-a", "gateway-b"]
"""Sent by librdkafka as it comes, without a header, as rsyslog does."""
SERVERS_AND_ALONE = [*SERVERS, *ALONE]
DAY_MS = int(time.time()) // 86_400 * 86_400_000
OLD, NEW = 2, 5


class Senders:
    """Shippers, and an rsyslog, of which each record is one piece of a file."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._sent: dict[str, list[tuple[int, bytes]]] = {server: [] for server in SERVERS}

    def send(self, lines: dict[str, str]) -> None:
        for server, text in lines.items():
            if server in self._sent:
                pieces = self._sent[server]
                begin = pieces[-1][0] + len(pieces[-1][1]) if pieces else 0
                pieces.append((begin, text.encode()))
        self._produce(lines)

    def repeat(self) -> None:
        """Every shipper begins again at an old checkpoint."""
        shippers, _ = self._producers()
        for server, pieces in self._sent.items():
            for begin, value in pieces:
                self._ship(shippers, server, begin, value)
        shippers.flush(PATIENCE)

    def _producers(self) -> tuple[Producer, Producer]:
        config = self._kafka.client_config()
        return Producer({**config, "partitioner": "murmur2_random"}), Producer(config)

    def _produce(self, lines: dict[str, str]) -> None:
        shippers, rsyslog = self._producers()
        for server, text in lines.items():
            if server in self._sent:
                self._ship(shippers, server, *self._sent[server][-1])
            else:
                for line in text.splitlines():
                    rsyslog.produce(self._kafka.raw_topic, line.encode(), server.encode())
        shippers.flush(PATIENCE)
        rsyslog.flush(PATIENCE)

    def _ship(self, producer: Producer, server: str, begin: int, value: bytes) -> None:
        now_ms = time.time_ns() // 1_000_000
        headers = RawHeaders("exim-main", "UTC", f"log-of-{server}", begin, begin + len(value), now_ms)
        producer.produce(self._kafka.raw_topic, value, server.encode(), headers=[*headers.encode()])


def head(server: str, number: int) -> str:
    """Of a line of today: an entry that is older than a week would be given up."""
    at_ms = DAY_MS + number * 1_000
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at_ms // 1_000))
    return f"{stamp} {queue_id(at_ms, SERVERS_AND_ALONE.index(server))}"


def address(server: str, number: int) -> str:
    return f"{server}-{number}@far.example"


def arrival(server: str, number: int) -> str:
    who = "<= anna@bakery.example H=(laptop) [198.51.100.7] P=esmtpsa A=dovecot_login:anna@bakery.example S=900"
    return f"{head(server, number)} {who} for {address(server, number)}\n"


def deferral(server: str, number: int) -> str:
    words = "R=dnslookup T=remote_smtp defer (-44): SMTP error from remote mail server: 451 4.7.1 Greylisted"
    return f"{head(server, number)} == {address(server, number)} {words}\n"


def delivery(server: str, number: int) -> str:
    to = f'=> {address(server, number)} R=dnslookup T=remote_smtp H=mx.far.example [203.0.113.5] C="250 OK"'
    return f"{head(server, number)} {to}\n{head(server, number)} Completed\n"


def lag(kafka: KafkaSettings, group: str, partitions: int) -> int:
    consumer = Consumer({"bootstrap.servers": kafka.brokers, "group.id": group})
    try:
        places = consumer.committed([TopicPartition(kafka.raw_topic, number) for number in range(partitions)], 10)
        return sum(consumer.get_watermark_offsets(one, 10)[1] - max(one.offset, 0) for one in places)
    except KafkaException:  # a new broker looks for the coordinator of its groups
        return -1
    finally:
        consumer.close()


def outcomes(kafka: KafkaSettings) -> Iterator[Outcome]:
    for message in read_topic(kafka, kafka.outcomes_topic, from_beginning=True, follow=False, warn=print):
        yield from from_table(decode_outcomes(message.value() or b""))


def letters(kafka: KafkaSettings) -> list[bytes | None]:
    topic = kafka.dead_letters_topic
    return [one.value() for one in read_topic(kafka, topic, from_beginning=True, follow=False, warn=print)]


@pytest.mark.stack
@pytest.mark.timeout(180)
def test_partitions_are_raised_with_messages_parked_and_lines_to_come(
    topics: KafkaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    create_topics(topics, OLD)
    times = {"POSTWATCH_JOIN_PENDING_AFTER_SECONDS": "0.2", "POSTWATCH_JOIN_PARK_AFTER_SECONDS": "1"}
    with running(Pipeline(tmp_path, topics, ClickHouseSettings(), times)) as pipeline:
        for name, value in pipeline.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(partitions, "QUIET_SECONDS", 1.0)
        group = pipeline.environment()["POSTWATCH_JOIN_GROUP"]
        senders = Senders(topics)
        senders.send(
            {
                server: arrival(server, 1) + delivery(server, 1) + arrival(server, 2) + deferral(server, 2)
                for server in SERVERS_AND_ALONE
            }
        )
        join = pipeline.start("join")
        wait_until(lambda: lag(topics, group, OLD) == 0, "everything is joined or parked", seconds=60)
        raising = ["migrate", "--raise-partitions", str(NEW)]
        assert cli.main(raising) == 1
        assert f"1 workers of the group {group} run: stop them first" in capsys.readouterr().err
        assert join.terminate() == 0

        def cut_off(self: partitions.PartitionRaise, topic: str, had: int) -> None:
            if topic == topics.raw_topic:
                raise BadInputError("cut off")
            raise_one(self, topic, had)

        raise_one = partitions.PartitionRaise._raise
        monkeypatch.setattr(partitions.PartitionRaise, "_raise", cut_off)
        assert cli.main(raising) == 1
        with pytest.raises(SettingsError, match="that was cut off"):
            ensure_changelog(topics, f"{group}-parked-changelog", group)
        monkeypatch.setattr(partitions.PartitionRaise, "_raise", raise_one)
        assert cli.main(raising) == 0
        out = capsys.readouterr().out
        assert f"{topics.raw_topic}: {NEW} partitions instead of {OLD}" in out
        assert cli.main(raising) == 0
        assert "has 5 partitions already" in capsys.readouterr().out

        senders.send({server: delivery(server, 2) for server in SERVERS_AND_ALONE})
        senders.repeat()
        assert {partition_by_murmur2(server.encode(), NEW) for server in SERVERS} - {0, 1}  # some have moved
        join.start()
        wait_until(lambda: lag(topics, group, NEW) == 0, "the rest is joined", seconds=30)
        assert join.terminate() == 0
        rows = table_rows(list(outcomes(topics)))
        told = sorted(
            (row["server"], row["recipient"], row["account"], row["status"], len(row["attempts"])) for row in rows
        )
        assert told == sorted(
            (server, address(server, number), "anna@bakery.example", "delivered", number)
            for server in SERVERS_AND_ALONE
            for number in (1, 2)
        )
        assert letters(topics) == []


@pytest.mark.stack
def test_it_refuses_while_lines_are_under_way(topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    create_topics(topics, OLD)
    join = JoinSettings(group=f"{topics.raw_topic}-join")
    raising = partitions.PartitionRaise(topics, join, NEW, print)
    with pytest.raises(BadInputError, match="Kafka has no way to 1"):
        partitions.PartitionRaise(topics, join, 1, print).run()
    senders = Senders(topics)
    senders.send({"web0": arrival("web0", 1)})
    with pytest.raises(BadInputError, match=r"1 records of \S+ are not joined yet: stop the shippers"):
        raising.run()
    consumer = Consumer({**topics.client_config(), "group.id": join.group})
    ends = [consumer.get_watermark_offsets(TopicPartition(topics.raw_topic, one), 10)[1] for one in range(OLD)]
    consumer.commit(
        offsets=[TopicPartition(topics.raw_topic, one, end) for one, end in enumerate(ends)], asynchronous=False
    )
    consumer.close()
    monkeypatch.setattr(partitions, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(time, "sleep", lambda _: senders.send({"web0": delivery("web0", 1)}))
    with pytest.raises(BadInputError, match="records came within 0 s: stop all shippers first"):
        raising.run()
