"""The sink against the official images of Kafka and ClickHouse, set up as docker-compose.yml has them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from postwatch.deploy.embedded.ports import answers, choose_port
from postwatch.deploy.migrate import migrate
from postwatch.deploy.topics import create_topics
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

from tests.streams.sink.sink_process import SinkProcess, committed, read_all, send
from tests.streams.sink.test_sink_stack import batches, count, outcomes, stored
from tests.waiting import wait_until

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[3]
START_SECONDS = 120.0


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of docker-compose.yml; skips where no Docker engine answers."""
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"docker is not installed here: {error}")
    if done.returncode:
        pytest.skip(f"no Docker engine answers: {done.stderr.strip().splitlines()[-1]}")
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))["services"]
    return found


@pytest.fixture(scope="module")
def official_kafka(services: dict[str, Any]) -> Iterator[KafkaSettings]:
    from testcontainers.core.container import DockerContainer

    service = services["kafka"]
    port = choose_port()
    container = DockerContainer(service["image"]).with_bind_ports(19092, port)
    environment = service["environment"] | {
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://localhost:9092,EXTERNAL://127.0.0.1:{port}",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    }
    for name, value in environment.items():
        container.with_env(name, value)
    kafka = KafkaSettings(brokers=f"127.0.0.1:{port}")

    def create() -> bool:
        try:
            create_topics(kafka, partitions=2)
        except UnavailableError:
            return False
        return True

    with container:
        wait_until(create, "Kafka answers", seconds=START_SECONDS)
        yield kafka


@pytest.fixture(scope="module")
def official_clickhouse(services: dict[str, Any]) -> Iterator[tuple[ClickHouseSettings, Any]]:
    """Settings of a migrated database, and the container."""
    from testcontainers.core.container import DockerContainer

    service = services["clickhouse"]
    port = choose_port()
    container = DockerContainer(service["image"]).with_bind_ports(8123, port)
    for name, value in service["environment"].items():
        container.with_env(name, value)
    environment = service["environment"]
    settings = ClickHouseSettings(
        url=f"http://127.0.0.1:{port}",
        user=environment["CLICKHOUSE_USER"],
        password=environment["CLICKHOUSE_PASSWORD"],
    )
    with container:
        wait_until(lambda: answers(port) and _takes_queries(settings), "ClickHouse answers", seconds=START_SECONDS)
        migrate(connect(settings, database=""), settings)
        yield settings, container


def _takes_queries(settings: ClickHouseSettings) -> bool:
    try:
        connect(settings, database="")
    except UnavailableError:
        return False
    return True


def test_rows_arrive_through_an_outage_and_refused_ones_are_dead_lettered(
    official_kafka: KafkaSettings, official_clickhouse: tuple[ClickHouseSettings, Any], tmp_path: Path
) -> None:
    kafka, (clickhouse, container) = official_kafka, official_clickhouse
    connect(clickhouse).command("ALTER TABLE deliveries ADD CONSTRAINT sane CHECK size_bytes != 13")
    rows = outcomes(0, 300)
    with SinkProcess(kafka, clickhouse, tmp_path / "sink.log") as sink:
        send(kafka, kafka.outcomes_topic, batches(rows[:100], 10))
        wait_until(lambda: count(clickhouse) == 99, "the first rows are stored")
        container.get_wrapped_container().pause()
        try:
            send(kafka, kafka.outcomes_topic, batches(rows[100:], 10))
            wait_until(lambda: "clickhouse" in (sink.complaints() or {}), "/health complains", seconds=120)
        finally:
            container.get_wrapped_container().unpause()
        wait_until(lambda: count(clickhouse) == 299, "all rows are stored", seconds=120)
        assert sink.terminate() == 0
    assert stored(clickhouse) == rows[:13] + rows[14:]
    [(_, headers)] = read_all(kafka, kafka.dead_letters_topic, 1)
    assert headers["reason"] == b"refused-row"
    assert committed(kafka)[kafka.outcomes_topic, 0] == 30
