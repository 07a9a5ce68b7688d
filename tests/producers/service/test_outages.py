"""A server that is away is one line when it goes, one a minute meanwhile, and one when it is back."""

from __future__ import annotations

from postwatch.producers.service.health import Health
from postwatch.producers.service.outages import Outage, OutageLog, Repeats
from structlog.testing import capture_logs


def test_a_line_is_due_at_once_then_once_a_minute() -> None:
    outage = Outage()
    due = [(now, seconds) for now in range(1000, 1200) if (seconds := outage.away(now)) is not None]
    assert due == [(1000, 0), (1060, 60), (1120, 120), (1180, 180)]
    assert outage.is_on
    assert outage.back(1201) == 201
    assert not outage.is_on


def test_reminders_do_not_catch_up() -> None:
    outage = Outage()
    assert [outage.away(now) for now in (0, 500, 501, 559, 560)] == [0, 500, None, None, 560]


def test_a_server_that_was_not_away_is_not_back() -> None:
    outage = Outage()
    assert outage.back(5) is None
    outage.away(10)
    assert outage.back(12) == 2
    assert outage.back(13) is None
    assert outage.away(14) == 0


def test_the_log_and_health_are_told() -> None:
    health, now = Health(), [0.0]
    outage = OutageLog("clickhouse", health, lambda: now[0])
    with capture_logs() as lines:
        outage.back()
        for now[0] in (3.0, 4.0, 64.5):
            outage.away(f"ClickHouse does not answer at {now[0]}")
        assert health.complaints() == {"clickhouse": "ClickHouse does not answer at 64.5"}
        now[0] = 70.0
        outage.back()
        outage.back()
    assert health.complaints() == {}
    assert lines == [
        {"event": "clickhouse_away", "reason": "ClickHouse does not answer at 3.0", "log_level": "warning"},
        {
            "event": "clickhouse_still_away",
            "away_seconds": 62,
            "reason": "ClickHouse does not answer at 64.5",
            "log_level": "warning",
        },
        {"event": "clickhouse_back", "away_seconds": 67, "log_level": "info"},
    ]


def test_a_terminal_gets_sentences() -> None:
    said: list[str] = []
    now = [0.0]
    outage = OutageLog("kafka", Health(), lambda: now[0], said.append)
    for now[0] in (0.0, 1.0, 61.0):
        outage.away("Kafka does not answer")
    outage.back()
    assert said == ["Kafka does not answer", "Kafka does not answer (away for 61 s)", "kafka is back after 61 s"]


def test_the_same_message_once_a_minute() -> None:
    repeats = Repeats()
    assert [repeats.is_due("a", now) for now in (0, 59.9, 60, 61)] == [True, False, True, False]
    assert repeats.is_due("b", 61)


def test_what_is_remembered_of_messages_is_bounded() -> None:
    repeats = Repeats()
    for number in range(5_000):
        assert repeats.is_due(str(number), 0)
    assert len(repeats._said) <= 1_000
