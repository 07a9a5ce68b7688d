"""After a parser was mended the lines are read again: what it mends is mended, and no other row moves."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from postwatch.deploy import cli
from postwatch.deploy.topics import create_topics
from postwatch.producers.record import RawHeaders
from postwatch.producers.service.errors import BadInputError
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.commands.join import parse_start
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.partition import record_parser
from postwatch.streams.settings import ClickHouseSettings

from tests.deploy.test_topics import by_sender_time
from tests.end_to_end.pipeline import PARTITIONS, Pipeline, running
from tests.waiting import PATIENCE, wait_until

NOW = int(time.time())
SERVER = "web7.hosting.example"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def queue_id(second: int, tail: str) -> str:
    stem = ""
    for _ in range(6):
        second, digit = divmod(second, 62)
        stem = _DIGITS[digit] + stem
    return f"{stem}-{tail}"


def stamp(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(second))


def arrival(second: int, tail: str, to: str) -> str:
    return (
        f"{stamp(second)} {queue_id(second, tail)} <= anna@bakery.example H=(laptop) [198.51.100.7] P=esmtpsa "
        f"A=dovecot_login:anna@bakery.example S=900 id={tail}@bakery.example for {to}\n"
    )


def delivery(second: int, arrived: int, tail: str, to: str) -> str:
    head = f"{stamp(second)} {queue_id(arrived, tail)}"
    return f'{head} => {to} R=dnslookup T=remote_smtp H=mx.far.example [203.0.113.5] C="250 OK"\n{head} Completed\n'


class Fleet:
    """A server whose lines come with the time that they were written at."""

    def __init__(self, topics: KafkaSettings) -> None:
        self._producer = Producer({"bootstrap.servers": topics.brokers})
        self._topic = topics.raw_topic
        self._byte_offset = 0

    def send(self, second: int, text: str, log_format: str = "exim-main") -> None:
        end = self._byte_offset + len(text)
        headers = RawHeaders(log_format, "UTC", "file-1", self._byte_offset, end, second * 1000)
        self._byte_offset = end
        self._producer.produce(
            self._topic, text.encode(), SERVER.encode(), headers=[*headers.encode()], timestamp=second * 1000
        )
        self._producer.flush(PATIENCE)


@pytest.mark.stack
def test_a_replay_mends_and_leaves_all_else_alone(
    topics: KafkaSettings,
    database: ClickHouseSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old, start = NOW - 18_000, NOW - 6_000
    pipeline = Pipeline(tmp_path, topics, database, {"POSTWATCH_JOIN_PENDING_AFTER_SECONDS": "1"})
    with running(pipeline):
        by_sender_time(topics)  # so that there is a past
        fleet = Fleet(topics)
        fleet.send(old, arrival(old, "0000aA-1A", "one@far.example two@far.example"))
        fleet.send(old + 2, delivery(old + 2, old, "0000aA-1A", "one@far.example").splitlines(True)[0])
        fleet.send(start + 60, delivery(start + 60, old, "0000aA-1A", "two@far.example"))  # it arrived before TIME
        fleet.send(start + 100, arrival(start + 100, "0000bB-1B", "bert@far.example"))
        fleet.send(start + 101, delivery(start + 101, start + 100, "0000bB-1B", "bert@far.example"))
        fleet.send(start + 200, arrival(start + 200, "0000cC-1C", "carl@far.example"), "exim-of-tomorrow")
        fleet.send(start + 201, delivery(start + 201, start + 200, "0000cC-1C", "carl@far.example"))
        fleet.send(start + 300, "nonsense that stays\n", "nobody-knows")
        create_topics(topics, PARTITIONS)  # records from now on go by the time at which Kafka got them
        pipeline.start("join")
        pipeline.start("sink")
        wait_until(lambda: pipeline.count() == 4, "the rows are there", seconds=120)
        before = {row["recipient"]: row for row in pipeline.rows()}
        assert before["carl@far.example"]["account"] == ""  # nobody knows whose it is: the arrival is a dead letter

        def make_mended(name: str, *rest: Any) -> Any:
            return make_parser("exim-main" if name == "exim-of-tomorrow" else name, *rest)

        monkeypatch.setattr(record_parser, "make_parser", make_mended)
        for variable, value in pipeline.environment().items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        assert cli.main(["join", "--from", str(stamp(start)).replace(" ", "T")]) == 0
        told = capsys.readouterr().out
        assert "in 6 records" in told  # the first two were before the hour that is read for company
        assert "1 rows of messages that arrived earlier were left as they are." in told
        assert "1 lines are still unreadable" in told

        wait_until(pipeline.sink_is_through, "the sink is through")
        wait_until(lambda: any(row["account"] for row in pipeline.rows() if "carl" in row["recipient"]), "mended")
        after = {row["recipient"]: row for row in pipeline.rows()}
        mended = after.pop("carl@far.example")
        assert (mended["account"], mended["status"]) == ("anna@bakery.example", "delivered")
        assert pipeline.count() == 4  # the row under no account is retracted
        del before["carl@far.example"]
        assert after == before
        assert pipeline.parts["join"].terminate() == 0
        assert pipeline.parts["sink"].terminate() == 0


@pytest.mark.stack
def test_a_server_whose_clock_is_wrong_is_replayed_too(
    topics: KafkaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    create_topics(topics, PARTITIONS)
    fleet = Fleet(topics)
    for second in (NOW - 5 * 86_400, NOW + 7_200):
        fleet.send(second, arrival(NOW, "0000dD-1D", "dora@far.example"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in ("brokers", "raw_topic", "outcomes_topic", "heartbeats_topic", "dead_letters_topic"):
        monkeypatch.setenv(f"POSTWATCH_KAFKA_{name.upper()}", getattr(topics, name))
    assert cli.main(["join", "--from", "10m"]) == 0
    assert "in 2 records" in capsys.readouterr().out


def test_times() -> None:
    now = 1_790_000_000_000
    assert parse_start("90m", now) == now - 5_400_000
    assert parse_start("2026-09-01T12:00", now) == parse_start("2026-09-01 14:00+02:00", now) == 1_788_264_000_000
    for odd in ("soon", "90", "2030-01-01", ""):
        with pytest.raises(BadInputError, match="--from"):
            parse_start(odd, now)
