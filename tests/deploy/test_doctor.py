"""The doctor sees what is wrong, says what to do, and never hangs."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewPartitions
from postwatch.deploy import cli
from postwatch.deploy.doctor import ClickHouseFacts, KafkaFacts, judge_clickhouse, judge_files, judge_kafka
from postwatch.deploy.doctor_certificates import collect_certificates, judge_certificates
from postwatch.deploy.doctor_lag import LagFacts, judge_lag
from postwatch.deploy.doctor_topics import TopicFacts, judge_changelog
from postwatch.deploy.doctor_webhooks import WebhookFacts, collect_webhooks, judge_webhooks
from postwatch.deploy.embedded.ports import choose_port
from postwatch.deploy.findings import OK, TROUBLE, WARNING, Finding, worst
from postwatch.deploy.topic_settings import TopicSettings
from postwatch.deploy.topics import create_topics, topic_configs
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.query.access.state import StateStore
from postwatch.query.access.tokens import TokenScope
from postwatch.query.push.outbox import Outbox
from postwatch.query.push.payloads import events_of
from postwatch.query.push.webhooks import WebhookBook
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.faust_glue.changelog import ensure_changelog
from postwatch.streams.faust_glue.changelog_topic import changelog_topic
from postwatch.streams.settings import ClickHouseSettings, JoinSettings

from tests.certificates import make_certificates
from tests.deploy.test_topics import by_sender_time
from tests.query.conftest import make_row
from tests.waiting import PATIENCE, wait_until

NAMES = KafkaSettings(raw_topic="raw", outcomes_topic="answers")
NOW = 1_790_000_000_000
HOUR = 3_600_000
WANTED = {"raw": {"retention.ms": str(72 * HOUR)}, "answers": {"retention.ms": str(72 * HOUR)}}
FINE = TopicFacts(6, 3, {"retention.ms": str(72 * HOUR), "cleanup.policy": "delete", "min.insync.replicas": "2"})
TABLES = ClickHouseFacts("26.9", NOW, [], [], [], {"web1": NOW - 5_000})


def kafka_states(**changes: Any) -> dict[str, str]:
    facts = replace(KafkaFacts(3, {"raw": FINE, "answers": FINE}, [], {}), **changes)
    return {one.check: one.state for one in judge_kafka(facts, WANTED, NAMES, NOW)}


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
        (replace(FINE, replicas=2), WARNING),
    ],
)
def test_topics(topic: TopicFacts | None, state: str) -> None:
    assert kafka_states(topics={"raw": FINE, "answers": topic})["topic answers"] == state


@pytest.mark.parametrize(
    ("settings", "retention_ms", "words"),
    [
        (TopicSettings(), "-1", ""),
        (TopicSettings(raw_retention_hours=24), "-1", "retention.ms is -1, more than 86400000"),
        (TopicSettings(raw_retention_hours=24), str(72 * HOUR), "retention.ms is 259200000, more than 86400000"),
        (TopicSettings(raw_retention_hours=96), str(72 * HOUR), "retention.ms is 259200000, less than 345600000"),
        (TopicSettings(replication=4), str(72 * HOUR), "it is on 3 brokers, fewer than 4"),
        (TopicSettings(replication=3), str(72 * HOUR), ""),
    ],
)
def test_topics_that_differ_from_their_settings(settings: TopicSettings, retention_ms: str, words: str) -> None:
    known = replace(FINE, settings={**FINE.settings, "retention.ms": retention_ms})
    facts = KafkaFacts(5, {"raw": known}, [], {})
    wanted = {"raw": topic_configs(NAMES, settings)["raw"]}
    [found] = [one for one in judge_kafka(facts, wanted, NAMES, NOW, settings) if one.check == "topic raw"]
    assert (found.state == OK) == (not words)
    assert words in found.seen


TABLE = TopicFacts(
    6,
    3,
    {
        "cleanup.policy": "compact",
        "min.insync.replicas": "2",
        "delete.retention.ms": str(7 * 24 * HOUR),
        "max.message.bytes": "10000000",
    },
)


@pytest.mark.parametrize(
    ("table", "state", "seen", "remedy"),
    [
        (TABLE, OK, "6 partitions on 3 brokers each, compacted.", ""),
        (
            replace(TABLE, partitions=4),
            TROUBLE,
            "It has 4 partitions and raw has 6: the join does not start.",
            "run `postwatch migrate --raise-partitions 6`",
        ),
        (
            replace(TABLE, settings={**TABLE.settings, "cleanup.policy": "compact,delete"}),
            TROUBLE,
            "cleanup.policy is compact,delete: Kafka deletes messages that are parked.",
            "--entity-name postwatch-join-parked-changelog --add-config cleanup.policy=compact`",
        ),
        (
            replace(TABLE, replicas=1),
            TROUBLE,
            "min.insync.replicas is 2 of 1 replicas: nothing can be written.",
            "lower min.insync.replicas",
        ),
        (
            replace(TABLE, settings={**TABLE.settings, "min.insync.replicas": "1"}),
            WARNING,
            "min.insync.replicas is 1: a record may be acknowledged by a single broker and die with it.",
            "min.insync.replicas=2`",
        ),
        (
            replace(TABLE, replicas=2),
            WARNING,
            "it is on 2 brokers, fewer than 3.",
            "kafka-reassign-partitions.sh, or lower POSTWATCH_JOIN_CHANGELOG_REPLICATION.",
        ),
        (
            replace(TABLE, settings={**TABLE.settings, "delete.retention.ms": str(24 * HOUR)}),
            WARNING,
            "delete.retention.ms is 86400000, less than 604800000.",
            "--add-config delete.retention.ms=604800000`",
        ),
    ],
)
def test_the_changelog(table: TopicFacts, state: str, seen: str, remedy: str) -> None:
    topics = {"raw": FINE, "postwatch-join-parked-changelog": table}
    found = judge_changelog(topics, NAMES, JoinSettings(), 3, has_worked=True)
    assert (found.state, found.seen, found.check) == (state, seen, "topic postwatch-join-parked-changelog")
    assert remedy in found.remedy


def test_a_changelog_that_is_missing() -> None:
    before, after = (
        judge_changelog({"raw": FINE}, NAMES, JoinSettings(), 3, has_worked=has_worked) for has_worked in (False, True)
    )
    assert (before.state, after.state) == (OK, TROUBLE)
    assert "messages that were parked are gone" in after.remedy
    hidden = replace(NAMES, security_protocol="ssl")
    seen = judge_changelog({"raw": FINE}, hidden, JoinSettings(), 3, has_worked=True)
    assert "or this user may not see it" in seen.seen
    assert "docs/secured-kafka.md" in seen.remedy


@pytest.mark.parametrize(
    ("age_ms", "state"), [(0, OK), (90_000, OK), (HOUR, WARNING), (35 * HOUR, WARNING), (60 * HOUR, TROUBLE)]
)
def test_lag_against_retention(age_ms: int, state: str) -> None:
    lag = LagFacts("join", "raw", True, 17 if age_ms else 0, NOW - age_ms if age_ms else 0)
    facts = KafkaFacts(3, {"raw": FINE, "answers": FINE}, [lag], {})
    finding = next(one for one in judge_kafka(facts, WANTED, NAMES, NOW) if one.check == "lag of join")
    assert finding.state == state
    assert ("Kafka deletes them after 3 days" in finding.seen) == (age_ms >= 36 * HOUR)


YOUNG, OLD = NOW - 30_000, NOW - 600_000


@pytest.mark.parametrize(
    ("lag", "state", "words"),
    [
        (LagFacts("join", "raw", False, 0, 0), OK, "There is nothing to read in raw."),
        (LagFacts("join", "raw", True, 0, 0, 1), OK, "It has finished all of raw."),
        (LagFacts("join", "raw", False, 3, YOUNG, 1), OK, "It has just started: 3 records of raw are not finished"),
        (LagFacts("join", "raw", False, 3, YOUNG, 0), WARNING, "No worker is in the group"),
        (LagFacts("join", "raw", False, 3, YOUNG), WARNING, "It has acknowledged nothing yet"),  # Kafka hides members
        (LagFacts("join", "raw", True, 3, OLD, 0), WARNING, "No worker is in the group"),
        (LagFacts("join", "raw", True, 3, OLD, 1), WARNING, "the oldest is 10 min old"),
        (
            LagFacts("join", "raw", True, 3, OLD, 1, [2, 5]),
            WARNING,
            "nothing of partition 2, 5 was acknowledged in 5 s",
        ),
        (LagFacts("join", "raw", False, 3, OLD, 1, [2]), WARNING, "It stands still"),
        (LagFacts("join", "raw", True, 3, 0, 1, [], [4]), WARNING, "the oldest could not be read"),
    ],
)
def test_a_group_that_does_not_work_is_told(lag: LagFacts, state: str, words: str) -> None:
    finding = judge_lag(lag, 72 * HOUR, NOW)
    assert (finding.state, bool(finding.remedy)) == (state, state != OK)
    assert words in finding.seen


def test_files_that_are_not_there_are_named() -> None:
    assert judge_files(2, []).state == OK
    finding = judge_files(1, [("/var/log/mainlog", "no such file yet"), ("/var/log/b", "Permission denied")])
    assert (finding.state, finding.seen) == (
        WARNING,
        "/var/log/mainlog: no such file yet, /var/log/b: Permission denied.",
    )
    assert table_states(without_files=["web1"])["log files of servers"] == WARNING
    assert table_states(without_files=["gone"]) == table_states()


@pytest.mark.parametrize(
    ("days", "state", "words"), [(60, OK, "59 more days"), (20, WARNING, "ends in "), (-0.01, TROUBLE, "ended")]
)
def test_a_certificate_that_ends_soon_is_told(tmp_path: Path, days: float, state: str, words: str) -> None:
    make_certificates(tmp_path, "client", days)
    kafka = KafkaSettings(
        security_protocol="ssl",
        ssl_ca_file=str(tmp_path / "ca.pem"),
        ssl_certificate_file=str(tmp_path / "client.pem"),
        ssl_key_file=str(tmp_path / "client.key"),
    )
    clickhouse = ClickHouseSettings(url="https://clickhouse", ca_file=str(tmp_path / "ca.pem"))
    found = list(judge_certificates(collect_certificates(kafka, clickhouse), time.time_ns() // 1_000_000))
    assert [one.check.removeprefix("certificate POSTWATCH_") for one in found] == [
        "KAFKA_SSL_CA_FILE",
        "KAFKA_SSL_CERTIFICATE_FILE",
        "CLICKHOUSE_CA_FILE",
    ]
    assert {one.state for one in found} == {state}
    assert all(words in one.seen for one in found)


def test_the_certificate_of_a_file_that_ends_first_is_told_and_one_that_is_none_too(tmp_path: Path) -> None:
    for name, days in (("long", 60), ("short", 5)):
        (tmp_path / name).mkdir()
        make_certificates(tmp_path / name, days=days)
    both, none = tmp_path / "both.pem", tmp_path / "none.pem"
    both.write_bytes(b"".join((tmp_path / name / "ca.pem").read_bytes() for name in ("long", "short")))
    none.write_text("no certificate")
    kafka = KafkaSettings(security_protocol="ssl", ssl_ca_file=str(both))
    clickhouse = ClickHouseSettings(url="https://clickhouse", ca_file=str(none))
    now_ms = time.time_ns() // 1_000_000
    found = list(judge_certificates(collect_certificates(kafka, clickhouse), now_ms))
    assert [one.state for one in found] == [WARNING, TROUBLE]


def test_webhooks_are_looked_at_where_there_are_any(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    assert collect_webhooks(str(path)) is None
    assert not path.exists()
    store = StateStore(str(path))
    assert collect_webhooks(str(path)) is None
    scope = TokenScope(accounts=frozenset(("bob@example.org",)))
    bob = WebhookBook(store).create("bob", "https://hook.example/", scope, (), "me")
    outbox = Outbox(store)
    outbox.add(list(events_of([bob], [make_row(updated_at=NOW * 2)])), NOW)
    facts = collect_webhooks(str(path))
    assert facts == WebhookFacts(1, 1, 0)
    assert judge_webhooks(facts).state == OK
    [due] = outbox.due(bob.id, NOW, 1)
    outbox.put_off(due, NOW, "HTTP 500", is_dead=True)
    store.close()
    facts = collect_webhooks(str(path))
    assert facts is not None
    found = judge_webhooks(facts)
    assert (found.state, found.seen) == (
        WARNING,
        "1 event could not be delivered and will not be tried again: HTTP 500.",
    )


def test_dead_letters_are_told_by_reason() -> None:
    facts = KafkaFacts(3, {"raw": FINE, "answers": FINE}, [], {"line": 2, "record": 9})
    finding = judge_kafka(facts, WANTED, NAMES, NOW)[-1]
    assert finding.state == WARNING
    assert finding.seen == "11 in the last day: 9 record, 2 line."
    assert "postwatch join --from" in finding.remedy


def test_migrations_and_clocks_and_servers() -> None:
    assert table_states(missing_migrations=["0003_x.sql"])["migrations"] == TROUBLE
    assert table_states(edited_migrations=["0001_x.sql"])["migrations"] == TROUBLE
    assert table_states(now_ms=NOW + 3_000)["clock of ClickHouse"] == WARNING
    assert table_states(now_ms=NOW - HOUR)["clock of ClickHouse"] == TROUBLE
    assert table_states(heartbeats={})["servers"] == WARNING
    assert table_states(heartbeats={}, without_shipper=["web1"])["servers"] == OK  # rsyslog sends no heartbeats
    assert table_states(heartbeats={"a": NOW, "b": NOW - HOUR})["servers"] == WARNING
    assert table_states(heartbeats={"a": NOW - HOUR})["servers"] == TROUBLE
    assert table_states(heartbeats={"a": NOW + HOUR})["clocks of servers"] == TROUBLE
    assert table_states(heartbeats={"a": NOW, "b": NOW - 90 * 24 * HOUR})["servers"] == OK  # taken out long ago


def test_the_worst_state_is_the_exit_status() -> None:
    assert worst([Finding("a", OK, ""), Finding("b", TROUBLE, ""), Finding("c", WARNING, "")]) == 2
    assert worst([Finding("a", OK, ""), Finding("c", WARNING, "")]) == 1
    assert worst([Finding("a", OK, "")]) == 0


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
    connect(database).command(
        "INSERT INTO servers (server, sent_at, files, shipper_version) VALUES ('web1', now64(3), 1, '0.1.0')"
    )
    wait_until(lambda: doctor(capsys)[0] == 0, "a new broker knows its groups and topics")
    _, found = doctor(capsys)
    assert found["migrations"]["seen"] == "All migrations are applied."

    by_sender_time(topics)  # so that a record can be old
    status, found = doctor(capsys)
    assert status == 1
    assert "postwatch migrate --topics" in found[f"topic {topics.raw_topic}"]["remedy"]
    producer = Producer({"bootstrap.servers": topics.brokers})
    old = time.time_ns() // 1_000_000 - 40 * HOUR
    producer.produce(topics.dead_letters_topic, b"x", headers=[("reason", b"line")])
    producer.produce(topics.raw_topic, b"x\n", b"web1", partition=1, timestamp=old)
    producer.flush(PATIENCE)
    status, found = doctor(capsys)
    assert status == 1
    assert found["dead letters"]["seen"] == "2 in the last day: 1 line, 1 unknown."
    assert found["lag of postwatch-join"]["state"] == WARNING
    assert cli.main(["doctor"]) == 1
    assert "→" in capsys.readouterr().out


@pytest.fixture
def two_servers(topics: KafkaSettings, database: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch) -> KafkaSettings:
    """The settings of fresh topics, with a join group of their own, in the environment."""
    for name in ("brokers", "raw_topic", "outcomes_topic", "heartbeats_topic", "dead_letters_topic"):
        monkeypatch.setenv(f"POSTWATCH_KAFKA_{name.upper()}", getattr(topics, name))
    monkeypatch.setenv("POSTWATCH_CLICKHOUSE_URL", database.url)
    monkeypatch.setenv("POSTWATCH_CLICKHOUSE_DATABASE", database.database)
    monkeypatch.setenv("POSTWATCH_JOIN_GROUP", f"{topics.raw_topic}.join")
    create_topics(topics, 1)
    return topics


@pytest.mark.stack
def test_a_partition_that_stands_still_is_told(
    two_servers: KafkaSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("postwatch.deploy.lag_facts.WATCH_SECONDS", 0.5)
    by_sender_time(two_servers)
    group = f"{two_servers.raw_topic}.join"
    producer = Producer({"bootstrap.servers": two_servers.brokers})
    worker = Consumer({**two_servers.client_config(), "group.id": group, "enable.auto.commit": False})
    try:
        worker.subscribe([two_servers.raw_topic])
        wait_until(lambda: worker.poll(0.1) or worker.assignment(), "it has its partition")
        producer.produce(two_servers.raw_topic, b"x\n", timestamp=time.time_ns() // 1_000_000 - 30_000)
        producer.flush(PATIENCE)
        assert "It has just started: 1 records" in doctor(capsys)[1][f"lag of {group}"]["seen"]
        for _ in range(2):
            producer.produce(two_servers.raw_topic, b"x\n", timestamp=time.time_ns() // 1_000_000 - 600_000)
        producer.flush(PATIENCE)
        worker.commit(offsets=[TopicPartition(two_servers.raw_topic, 0, 1)], asynchronous=False)
        found = doctor(capsys)[1][f"lag of {group}"]
        assert found["state"] == WARNING
        assert "It stands still: nothing of partition 0 was acknowledged" in found["seen"]

        def commit(_seconds: float) -> None:
            worker.commit(offsets=[TopicPartition(two_servers.raw_topic, 0, 2)], asynchronous=False)

        monkeypatch.setattr("postwatch.deploy.lag_facts.sleep", commit)  # between the two looks
        assert "stands still" not in doctor(capsys)[1][f"lag of {group}"]["seen"]
    finally:
        worker.close()
    assert "No worker is in the group" in doctor(capsys)[1][f"lag of {group}"]["seen"]


@pytest.mark.stack
def test_the_changelog_of_a_real_broker_is_judged(
    two_servers: KafkaSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    join = JoinSettings(group=f"{two_servers.raw_topic}.join")
    check = f"topic {changelog_topic(join)}"
    assert doctor(capsys)[1][check]["seen"].startswith("It does not exist: the join makes it")
    ensure_changelog(two_servers, changelog_topic(join), join.group)
    wait_until(lambda: "compacted" in doctor(capsys)[1][check]["seen"], "the broker knows the new topic")
    admin = AdminClient(two_servers.client_config())
    wrong = ConfigEntry("cleanup.policy", "delete", incremental_operation=AlterConfigOpType.SET)
    asked = ConfigResource(ConfigResource.Type.TOPIC, changelog_topic(join), incremental_configs=[wrong])
    for altered in admin.incremental_alter_configs([asked]).values():
        altered.result(PATIENCE)
    status, found = doctor(capsys)
    assert (status, found[check]["state"]) == (2, TROUBLE)
    assert "cleanup.policy is delete" in found[check]["seen"]
    for raised in admin.create_partitions([NewPartitions(two_servers.raw_topic, 2)]).values():
        raised.result(PATIENCE)
    raw = two_servers.raw_topic
    wait_until(lambda: f"{raw} has 2" in doctor(capsys)[1][check]["seen"], "the partitions that differ are told")


@pytest.mark.stack
def test_control_markers_alone_are_no_lag(two_servers: KafkaSettings, capsys: pytest.CaptureFixture[str]) -> None:
    group = f"{two_servers.raw_topic}.join"
    producer = Producer({"bootstrap.servers": two_servers.brokers, "transactional.id": group})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(two_servers.raw_topic, b"x\n")
    producer.commit_transaction(30)
    worker = Consumer({**two_servers.client_config(), "group.id": group})
    worker.commit(offsets=[TopicPartition(two_servers.raw_topic, 0, 1)], asynchronous=False)  # the marker is behind it
    worker.close()
    found = doctor(capsys)[1][f"lag of {group}"]
    assert (found["state"], found["seen"]) == (OK, f"It has finished all of {two_servers.raw_topic}.")


@pytest.mark.stack
def test_a_log_file_that_is_not_there_is_named(
    two_servers: KafkaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mainlog").touch()
    monkeypatch.setenv("POSTWATCH_SHIP_FILES", f"{tmp_path}/mainlog,{tmp_path}/rejectlog=exim-reject")
    assert doctor(capsys)[1]["log files here"]["seen"] == f"{tmp_path}/rejectlog: no such file yet."


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
