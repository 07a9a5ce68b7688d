"""`postwatch outcomes` over a real broker: every row as JSON, nothing left behind, clear errors."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from postwatch.deploy.embedded.ports import choose_port
from postwatch.deploy.topics import create_topics
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.contracts.outcome import Outcome, to_json_object
from postwatch.streams.contracts.outcome_records import encode_outcomes

from tests.streams.contracts.test_outcome import EXAMPLE
from tests.streams.sink.sink_process import POSTWATCH, groups, kafka_environment, send
from tests.waiting import wait_until

pytestmark = pytest.mark.stack


def outcomes(kafka: KafkaSettings, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **kafka_environment(kafka)}
    return subprocess.run(
        [POSTWATCH, "outcomes", *options], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def row(number: int) -> Outcome:
    return EXAMPLE._replace(queue_id=f"message-{number}")


@pytest.fixture
def kafka_topics(topics: KafkaSettings) -> KafkaSettings:
    create_topics(topics, partitions=3)
    return topics


def test_what_the_topic_holds_is_printed_and_no_group_comes_of_it(kafka_topics: KafkaSettings) -> None:
    topic = kafka_topics.outcomes_topic
    send(kafka_topics, topic, [encode_outcomes([row(1), row(2)]), encode_outcomes([]), encode_outcomes([row(3)])])
    send(kafka_topics, topic, [b"noise", encode_outcomes([row(4)])], partition=2)
    done = outcomes(kafka_topics)
    assert done.returncode == 0
    found = sorted((json.loads(line) for line in done.stdout.splitlines()), key=lambda each: str(each["queue_id"]))
    assert found == [to_json_object(row(number)) for number in (1, 2, 3, 4)]
    assert done.stderr.startswith(f"postwatch outcomes: {topic}, partition 2, offset 0: not an Arrow stream")
    assert "postwatch-outcomes" not in groups(kafka_topics)


def test_an_empty_topic_prints_nothing_and_ends(kafka_topics: KafkaSettings) -> None:
    done = outcomes(kafka_topics)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("options", "expected"), [(["--follow"], ["new"]), (["--follow", "--from-beginning"], ["old"])]
)
def test_following_begins_at_the_end_or_the_beginning(
    kafka_topics: KafkaSettings, tmp_path: Path, options: list[str], expected: list[str]
) -> None:
    topic = kafka_topics.outcomes_topic
    send(kafka_topics, topic, [encode_outcomes([EXAMPLE._replace(queue_id="old")])])
    printed = tmp_path / "printed"
    environment = {**os.environ, **kafka_environment(kafka_topics)}
    with (
        printed.open("wb") as out,
        subprocess.Popen([POSTWATCH, "outcomes", *options], env=environment, stdout=out) as process,
    ):
        try:
            # It can't be seen from outside when following has begun: something new is sent until something is printed.
            def something_is_printed() -> bool:
                send(kafka_topics, topic, [encode_outcomes([EXAMPLE._replace(queue_id="new")])])
                return printed.stat().st_size > 0

            wait_until(something_is_printed, "a row is printed")
        finally:
            process.terminate()
    first = json.loads(printed.read_text().splitlines()[0])
    assert [first["queue_id"]] == expected


def test_no_broker_is_one_line_with_the_remedy() -> None:
    nowhere = KafkaSettings(brokers=f"127.0.0.1:{choose_port()}")
    done = outcomes(nowhere)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = set(done.stderr.splitlines())
    assert line.startswith(f"postwatch outcomes: Kafka does not answer at {nowhere.brokers} (")
    assert line.endswith("start it, or set POSTWATCH_KAFKA_BROKERS")


def test_a_missing_topic_is_one_line_with_the_remedy(topics: KafkaSettings) -> None:
    done = outcomes(topics)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"postwatch outcomes: the topic {topics.outcomes_topic} does not exist at {topics.brokers}; "
        "create it with `postwatch migrate --topics`\n"
    )


def test_filters_choose_rows(kafka_topics: KafkaSettings) -> None:
    rows = [
        row(1)._replace(
            account="ann@a.example", account_domain="a.example", server="web1", status="bounced", reason="dns"
        ),
        row(2)._replace(
            account="ben@a.example", account_domain="a.example", server="WEB2", status="delivered", reason=""
        ),
        row(3)._replace(
            account="ann@b.example", account_domain="b.example", server="web1", status="deferred", reason="dns"
        ),
    ]
    send(kafka_topics, kafka_topics.outcomes_topic, [encode_outcomes(rows)])
    for options, numbers in (
        (["--domain", "@A.example"], "12"),
        (["--account", "Ann@a.example", "--account", "ben@a.example"], "12"),
        (["--reason", "dns", "--server", "web1"], "13"),
        (["--server", "web2"], "2"),
        (["--status", "deferred", "--status", "delivered", "--domain", "a.example"], "2"),
    ):
        done = outcomes(kafka_topics, *options)
        assert [json.loads(line)["queue_id"][-1] for line in done.stdout.splitlines()] == list(numbers), options
    assert "invalid choice: 'sent'" in outcomes(kafka_topics, "--status", "sent").stderr
