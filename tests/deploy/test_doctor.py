"""The doctor sees what is wrong, says what to do, and never hangs."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Producer
from postwatch.deploy import cli
from postwatch.deploy.doctor import (
    OK,
    TROUBLE,
    WARNING,
    ClickHouseFacts,
    Finding,
    KafkaFacts,
    LagFacts,
    TopicFacts,
    judge_clickhouse,
    judge_kafka,
    span,
    worst,
)
from postwatch.deploy.embedded.ports import choose_port
from postwatch.deploy.topics import create_topics
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

from tests.deploy.test_topics import by_sender_time
from tests.waiting import wait_until

NOW = 1_790_000_000_000
HOUR = 3_600_000
WANTED = {"raw": {"retention.ms": str(72 * HOUR)}, "outcomes": {"retention.ms": str(72 * HOUR)}}
FINE = TopicFacts(6, 3, {"retention.ms": str(72 * HOUR), "cleanup.policy": "delete", "min.insync.replicas": "2"})
TABLES = ClickHouseFacts("26.9", NOW, [], [], [], {"web1": NOW - 5_000})


def kafka_states(**changes: Any) -> dict[str, str]:
    facts = replace(KafkaFacts(3, {"raw": FINE, "outcomes": FINE}, [], {}), **changes)
    return {one.check: one.state for one in judge_kafka(facts, WANTED, "raw", NOW)}


def table_states(**changes: Any) -> dict[str, str]:
    return {one.check: one.state for one in judge_clickhouse(replace(TABLES, **changes), NOW)}


def test_all_is_well() -> None:
    assert set(kafka_states().values()) | set(table_states().values()) == {OK}


@pytest.mark.parametrize(
    ("topic", "state"),
    [
        (None, TROUBLE),
        (replace(FINE, settings={**FINE.settings, "cleanup.policy": "compact"}), TROUBLE),
        (replace(FINE, settings={**FINE.settings, "min.insync.replicas": "4"}), TROUBLE),
        (replace(FINE, settings={**FINE.settings, "min.insync.replicas": "1"}), WARNING),
        (replace(FINE, settings={**FINE.settings, "retention.ms": str(HOUR)}), WARNING),
        (replace(FINE, settings={**FINE.settings, "retention.ms": "-1"}), OK),
        (replace(FINE, settings={**FINE.settings, "message.timestamp.type": "CreateTime"}), WARNING),
        (replace(FINE, partitions=3), WARNING),
    ],
)
def test_topics(topic: TopicFacts | None, state: str) -> None:
    assert kafka_states(topics={"raw": FINE, "outcomes": topic})["topic outcomes"] == state


@pytest.mark.parametrize(
    ("age_ms", "state"), [(0, OK), (90_000, OK), (HOUR, WARNING), (35 * HOUR, WARNING), (60 * HOUR, TROUBLE)]
)
def test_lag_against_retention(age_ms: int, state: str) -> None:
    lag = LagFacts("join", "raw", True, 17 if age_ms else 0, NOW - age_ms if age_ms else 0)
    facts = KafkaFacts(3, {"raw": FINE, "outcomes": FINE}, [lag], {})
    finding = next(one for one in judge_kafka(facts, WANTED, "raw", NOW) if one.check == "lag of join")
    assert finding.state == state
    assert ("Kafka deletes them after 3 days" in finding.seen) == (age_ms >= 36 * HOUR)


def test_a_group_that_never_read_is_told() -> None:
    assert kafka_states(lags=[LagFacts("join", "raw", False, 3, NOW - 1)])["lag of join"] == WARNING


def test_dead_letters_are_told_by_reason() -> None:
    facts = KafkaFacts(3, {"raw": FINE, "outcomes": FINE}, [], {"line": 2, "record": 9})
    finding = judge_kafka(facts, WANTED, "raw", NOW)[-1]
    assert finding.state == WARNING
    assert finding.seen == "11 in the last day: 9 record, 2 line."
    assert "postwatch join --from" in finding.remedy


def test_migrations_and_clocks_and_servers() -> None:
    assert table_states(missing_migrations=["0003_x.sql"])["migrations"] == TROUBLE
    assert table_states(edited_migrations=["0001_x.sql"])["migrations"] == TROUBLE
    assert table_states(now_ms=NOW + 3_000)["clock of ClickHouse"] == WARNING
    assert table_states(now_ms=NOW - HOUR)["clock of ClickHouse"] == TROUBLE
    assert table_states(heartbeats={})["servers"] == WARNING
    assert table_states(heartbeats={"a": NOW, "b": NOW - HOUR})["servers"] == WARNING
    assert table_states(heartbeats={"a": NOW - HOUR})["servers"] == TROUBLE
    assert table_states(heartbeats={"a": NOW + HOUR})["clocks of servers"] == TROUBLE
    assert table_states(heartbeats={"a": NOW, "b": NOW - 90 * 24 * HOUR})["servers"] == OK  # taken out long ago


def test_the_worst_state_is_the_exit_status() -> None:
    assert worst([Finding("a", OK, ""), Finding("b", TROUBLE, ""), Finding("c", WARNING, "")]) == 2
    assert worst([Finding("a", OK, ""), Finding("c", WARNING, "")]) == 1
    assert worst([Finding("a", OK, "")]) == 0


def test_spans() -> None:
    assert [span(ms) for ms in (90_000, 45 * 60_000, 20 * HOUR, 72 * HOUR)] == ["90 s", "45 min", "20 h", "3 days"]


def doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, str]]]:
    capsys.readouterr()
    status = cli.main(["doctor", "--json"])
    return status, {one["check"]: one for one in json.loads(capsys.readouterr().out)}


@pytest.mark.stack
def test_with_the_real_servers(
    topics: KafkaSettings,
    database: ClickHouseSettings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("brokers", "raw_topic", "outcomes_topic", "heartbeats_topic", "dead_letters_topic"):
        monkeypatch.setenv(f"POSTWATCH_KAFKA_{name.upper()}", getattr(topics, name))
    monkeypatch.setenv("POSTWATCH_CLICKHOUSE_URL", database.url)
    monkeypatch.setenv("POSTWATCH_CLICKHOUSE_DATABASE", database.database)
    status, found = doctor(capsys)
    assert status == 2
    assert found[f"topic {topics.raw_topic}"]["seen"] == "It does not exist."

    create_topics(topics, 2)
    connect(database).command("INSERT INTO servers (server, sent_at) VALUES ('web1', now64(3))")
    wait_until(lambda: doctor(capsys)[0] == 0, "a new broker knows its groups and topics")
    _, found = doctor(capsys)
    assert found["migrations"]["seen"] == "All are applied."

    by_sender_time(topics)  # so that a record can be old
    status, found = doctor(capsys)
    assert status == 1
    assert "postwatch migrate --topics" in found[f"topic {topics.raw_topic}"]["remedy"]
    producer = Producer({"bootstrap.servers": topics.brokers})
    old = time.time_ns() // 1_000_000 - 60 * HOUR
    producer.produce(topics.dead_letters_topic, b"x", headers=[("reason", b"line")])
    producer.produce(topics.raw_topic, b"x\n", b"web1", partition=1, timestamp=old)
    producer.flush(10)
    status, found = doctor(capsys)
    assert status == 1
    assert found["dead letters"]["seen"] == "2 in the last day: 1 line, 1 unknown."
    assert found["lag of postwatch-join"]["state"] == WARNING
    assert cli.main(["doctor"]) == 1
    assert "→" in capsys.readouterr().out


def test_with_nobody_there_it_says_so_soon(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    port = choose_port()
    monkeypatch.setenv("POSTWATCH_KAFKA_BROKERS", f"127.0.0.1:{port}")
    monkeypatch.setenv("POSTWATCH_CLICKHOUSE_URL", f"http://127.0.0.1:{port}")
    started = time.monotonic()
    status, found = doctor(capsys)
    assert status == 2
    assert time.monotonic() - started < 30
    assert "POSTWATCH_KAFKA_BROKERS" in found["brokers"]["remedy"]
    assert "POSTWATCH_CLICKHOUSE_URL" in found["ClickHouse"]["remedy"]
