"""Dead letters as a report: read from a real broker, without a trace; each line as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Producer
from postwatch.deploy.topics import create_topics
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.query import letters
from postwatch.query.errors import FilterError, ForbiddenError
from postwatch.query.letters import KafkaLetters, LettersFound
from postwatch.query.reports.dead_letters import HOUR_MS, REPORT, DeadLetters, DeadLettersQuestion
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.dead_letters import DeadLetter, DeadLetterSender, LineOrigin, RecordOrigin

from tests.query.conftest import NOW_MS, Office, Open, make_letter
from tests.streams.sink.sink_process import groups
from tests.waiting import wait_until


def _send(kafka: KafkaSettings, *sent: DeadLetter) -> None:
    producer = Producer(kafka.client_config())
    sender = DeadLetterSender(producer, kafka.dead_letters_topic)
    for letter in sent:
        sender.send(letter)

    def is_acknowledged() -> bool:
        sender.poll(0.1)
        return not sender.unacknowledged

    wait_until(is_acknowledged, "the letters are acknowledged")


def _line(server: str, line: bytes, reason: str = "line", detail: str = "no queue id") -> DeadLetter:
    return DeadLetter(line, reason, LineOrigin(server, "/var/log/maillog", 4096), detail)


def test_letters_are_read_as_they_were_sent_and_leave_no_trace(topics: KafkaSettings) -> None:
    create_topics(topics, 3)
    read = KafkaLetters(topics)
    assert read(0) == LettersFound(())
    _send(
        topics,
        _line("web1", b"no sense \xff\xe9 \x1b[31m\n"),
        DeadLetter(b"ARROW", "refused-row", RecordOrigin("mail.outcomes", 3, 17), "constraint violated"),
    )
    found = read(0)
    assert found.is_complete
    by_reason = {one.reason: one for one in found.letters}
    line, row = by_reason["line"], by_reason["refused-row"]
    assert (line.server, line.file, line.byte_offset) == ("web1", "/var/log/maillog", 4096)
    assert (line.line, line.detail, line.size_bytes) == ("no sense \\xff\\xe9 \x1b[31m", "no queue id", 18)
    assert (row.server, row.topic, row.partition, row.kafka_offset) == ("", "mail.outcomes", 3, 17)
    assert read(line.at_ms + 60_000).letters == ()
    assert read(0).letters == found.letters
    assert "postwatch-letters" not in groups(topics)


def test_of_too_many_letters_the_newest_are_read_and_that_is_told(
    topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_topics(topics, 1)
    _send(topics, *(_line("web1", b"line %d" % number) for number in range(30)))
    monkeypatch.setattr(letters, "MOST_RECORDS", 10)
    found = KafkaLetters(topics)(0)
    assert not found.is_complete
    assert {one.line for one in found.letters} == {f"line {number}" for number in range(20, 30)}


def test_a_topic_that_is_not_there_yet_has_no_letters_and_a_broker_that_is_away_is_told(topics: KafkaSettings) -> None:
    assert KafkaLetters(topics)(0) == LettersFound(())
    with pytest.raises(UnavailableError):
        KafkaLetters(replace(topics, brokers="127.0.0.1:1"))(0)


LETTERS = [
    make_letter(id="0-3", at_ms=NOW_MS - 1_000, server="web1", line="third"),
    make_letter(id="0-2", at_ms=NOW_MS - 2_000, server="web2", line="second <script>alert(1)</script>"),
    make_letter(id="0-1", at_ms=NOW_MS - 3_000, server="", topic="mail.outcomes", partition=2, reason="refused-row"),
    make_letter(id="0-0", at_ms=NOW_MS - 4_000, server="web1", reason="parser-error", line="=1+1 \x1b[31m"),
]


def _asked(office: Office, **asked: Any) -> DeadLetters:
    office.letters = LETTERS
    return office.answer(REPORT, DeadLettersQuestion(**asked))


def test_the_filters_choose_and_the_numbers_are_of_all(office: Office) -> None:
    every = _asked(office)
    assert [one.id for one in every.rows] == ["0-3", "0-2", "0-1", "0-0"]
    assert every.by_reason == {"line": 2, "refused-row": 1, "parser-error": 1}
    assert every.by_server == {"web1": 2, "web2": 1}
    of_web1 = _asked(office, server="WEB1", limit=1)
    assert ([one.id for one in of_web1.rows], of_web1.number) == (["0-3"], 2)
    assert of_web1.replay_from_ms == NOW_MS - 1_000 - HOUR_MS
    assert of_web1.by_server == {"web1": 2, "web2": 1}
    assert [one.id for one in _asked(office, reason="refused-row").rows] == ["0-1"]
    assert _asked(office, reason="refused-row").replay_command == ""
    for words, age_ms in (("90m", 90 * 60_000), ("6h", 6 * HOUR_MS), ("99d", 14 * 24 * HOUR_MS), ("", 24 * HOUR_MS)):
        assert _asked(office, since=words).since_ms == NOW_MS - age_ms
    for wrong in ("soon", "2126-01-01"):
        with pytest.raises(FilterError):
            _asked(office, since=wrong)


def test_letters_are_for_engineers_and_shown_as_text(office: Office, open_site: Open) -> None:
    office.letters = LETTERS
    with pytest.raises(ForbiddenError):
        office.service.answer(Viewer("dashboard", sees_all=True), REPORT, DeadLettersQuestion())
    site = open_site(office.service)
    page = site.get("/dead-letters").text
    assert "<script>alert" not in page
    assert "second &lt;script&gt;" in page
    assert "postwatch join --from" in page
    assert 'href="/dead-letters?server=web2"' in page
    assert site.get("/dead-letters?server=web2").text.count("<li>") == 1
    csv = REPORT.csv(_asked(office))
    assert "'=1+1 \\x1b[31m" in csv
