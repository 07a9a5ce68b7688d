"""Partitions raised on the secured broker: the rights that the page's commands give are enough, and each is needed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from confluent_kafka import Producer
from postwatch.deploy.partitions import PartitionRaise
from postwatch.deploy.topics import create_topics
from postwatch.producers.service.errors import PostwatchError
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.settings import load
from postwatch.streams.faust_glue.changelog import ensure_changelog
from postwatch.streams.faust_glue.changelog_topic import changelog_topic
from postwatch.streams.settings import JoinSettings

from tests.benchmarks.growth import parked_entries
from tests.secured_kafka.broker import Grant, SecuredKafka
from tests.secured_kafka.rights import documented_grants, grants_to_raise
from tests.waiting import PATIENCE

JOIN = JoinSettings()
MIGRATE = "postwatch-migrate"


class Raiser:
    """Raises by one each time, as one user or another."""

    def __init__(self, secured: SecuredKafka, monkeypatch: pytest.MonkeyPatch) -> None:
        self._secured = secured
        self._monkeypatch = monkeypatch
        self.partitions = 1

    def settings_of(self, user: str) -> KafkaSettings:
        for name, value in self._secured.settings_of(user).items():
            self._monkeypatch.setenv(name, value)
        return load(KafkaSettings)

    def run(self, user: str) -> list[str]:
        """Raises PostwatchError."""
        said: list[str] = []
        PartitionRaise(self.settings_of(user), JOIN, self.partitions, said.append).run()
        return said


def rights_of_migrate(user: str) -> list[Grant]:
    return [grant._replace(user=user) for grant in documented_grants() if grant.user == MIGRATE]


@pytest.mark.stack
@pytest.mark.skipif(not os.environ.get("POSTWATCH_FLEET"), reason="takes a minute: `make fleet-test`")
def test_the_rights_to_raise_are_enough_and_each_one_that_is_missing_is_told(
    secured: SecuredKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = grants_to_raise(tmp_path, "--add")
    assert sorted(more) == sorted(grants_to_raise(tmp_path, "--remove"))
    assert {grant.user for grant in more} == {MIGRATE}
    admin = KafkaSettings(brokers=secured.broker.brokers)
    create_topics(admin, 1)
    ensure_changelog(admin, changelog_topic(JOIN), JOIN.group)
    producer = Producer(admin.client_config())
    for _, key, value in parked_entries(3, 2):
        producer.produce(changelog_topic(JOIN), value, key, 0)
    assert producer.flush(PATIENCE) == 0
    raiser = Raiser(secured, monkeypatch)
    whole = "raise-all"
    secured.add_user(whole)
    secured.grant([*rights_of_migrate(whole), *(grant._replace(user=whole) for grant in more)])
    said: dict[str, str] = {}
    for number, missing in enumerate(more):
        raiser.partitions += 1
        user = f"raise-{number}"
        secured.add_user(user)
        kept = [grant._replace(user=user) for grant in more if grant != missing]
        secured.grant([*rights_of_migrate(user), *kept])
        try:
            raiser.run(user)
        except PostwatchError as error:
            said[f"{missing.operation} {missing.name}"] = str(error)
        raiser.run(whole)

    assert set(said) == {f"{grant.operation} {grant.name}" for grant in more}
    assert [words for words in said.values() if "docs/secured-kafka.md" not in words] == []
