"""The API asked by its own description, with a token: no answer is an error of ours, and each is as described."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
import schemathesis
from hypothesis import given, settings
from postwatch.deploy.embedded.kafka import EmbeddedKafka
from postwatch.deploy.topics import create_topics
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.query.access.passwords import password_line
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.browser.site import Filled, Site, open_site
from tests.waiting import PATIENCE

EXAMPLES = 25
"""Of each operation."""
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]


class Api(NamedTuple):
    site: Site
    headers: dict[str, str]


@pytest.fixture(scope="module")
def api(filled_table: Filled, kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    topics = {name: f"openapi.mail.{name}" for name in ("raw", "outcomes", "heartbeats", "dead-letters")}
    create_topics(
        KafkaSettings(
            brokers=kafka.brokers,
            raw_topic=topics["raw"],
            outcomes_topic=topics["outcomes"],
            heartbeats_topic=topics["heartbeats"],
            dead_letters_topic=topics["dead-letters"],
        ),
        1,
    )
    (folder / "passwords").write_text(password_line("nina", "a long enough password", "engineer") + "\n")
    environment = {
        "POSTWATCH_ACCESS_STATE": str(folder / "access.sqlite"),
        "POSTWATCH_ACCESS_PASSWORDS": str(folder / "passwords"),
        "POSTWATCH_KAFKA_BROKERS": kafka.brokers,
        "POSTWATCH_KAFKA_DEAD_LETTERS_TOPIC": topics["dead-letters"],
        "POSTWATCH_KAFKA_RAW_TOPIC": topics["raw"],
    }
    site = open_site(filled_table, folder, environment)
    command = [sys.executable, "-m", "postwatch.deploy", "token", "create", "test", "--all", "--engineer"]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    token = next(word for word in made.stdout.split() if len(word) > 30)
    yield Api(site, {"Authorization": f"Bearer {token}"})
    site.worker.kill()


def test_every_answer_is_as_described(api: Api) -> None:
    described = httpx.get(f"{api.site.address}/api/v1/openapi.json", headers=api.headers, timeout=PATIENCE)
    assert described.status_code == 200
    schema = schemathesis.openapi.from_dict(json.loads(described.text))
    schema.config.update(base_url=api.site.address)
    statuses: Counter[int] = Counter()
    asked: list[str] = []
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        asked.append(operation.label)

        @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case[Any]) -> None:
            answer = case.call(headers=api.headers, timeout=30)
            statuses[answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS, headers=api.headers)

        ask()
    print(f"{statuses.total()} requests to {len(asked)} operations, by status: {dict(sorted(statuses.items()))}")
    assert statuses[200] > EXAMPLES
    assert max(statuses) < 500


def test_without_a_token_there_is_no_answer(api: Api) -> None:
    paths = httpx.get(f"{api.site.address}/api/v1/openapi.json", headers=api.headers, timeout=PATIENCE).json()["paths"]
    asked = 0
    for path in paths:
        if path.startswith("/api/") and "get" in paths[path]:
            address = api.site.address + path.replace("{account}", "anna@bakery.example").replace("{id}", "1")
            for headers in ({}, {"Authorization": "Bearer nothing"}):
                answer = httpx.get(address, headers=headers, timeout=PATIENCE)
                if "/reasons" not in path:
                    assert answer.status_code in (401, 403), path
                    asked += 1
    assert asked >= 6
