"""aiokafka's tokens: kept while they are fresh, renewed before they end; a refusal is a connection that failed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from postwatch.producers.service.errors import SettingsError
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.kafka_trouble import unavailable
from postwatch.streams.faust_glue.oauth import TokenSource, _read

from tests.secured_kafka.token_server import LIFE_SECONDS, SECRET, TokenServer


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[TokenServer]:
    server = TokenServer(tmp_path)
    yield server
    server.close()


def settings(url: str, **changes: str) -> KafkaSettings:
    values: dict[str, Any] = {
        "security_protocol": "sasl_ssl",
        "sasl_mechanism": "OAUTHBEARER",
        "oauth_token_url": url,
        "oauth_client_id": "join",
        "oauth_client_secret": SECRET,
    }
    return KafkaSettings(**(values | changes))


def test_a_token_is_kept_while_it_is_fresh_and_renewed_before_it_ends(endpoint: TokenServer) -> None:
    now = [100.0]
    source = TokenSource(settings(endpoint.url), lambda: now[0])
    first = asyncio.run(source.token())
    now[0] += LIFE_SECONDS * 0.79
    assert asyncio.run(source.token()) == first  # in another loop, as Faust's consumer has
    now[0] += LIFE_SECONDS * 0.02
    assert asyncio.run(source.token()) != first
    assert endpoint.given == 2


@pytest.mark.parametrize("wrong", ["secret", "address"])
def test_an_endpoint_that_gives_none_is_a_connection_that_failed(wrong: str, endpoint: TokenServer) -> None:
    kafka = settings(endpoint.url)
    kafka = replace(kafka, oauth_client_secret="another") if wrong == "secret" else settings("http://127.0.0.1:1/token")
    with pytest.raises(KafkaConnectionError, match="no token from http://127") as raised:
        asyncio.run(TokenSource(kafka).token())
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("answer", [None, [], {}, {"access_token": 5}, {"access_token": ""}, {"token": "x"}])
def test_an_answer_without_a_token_is_none(answer: object) -> None:
    with pytest.raises(ValueError, match="no access_token"):
        _read(answer)


def test_an_answer_that_names_no_life_is_kept_for_five_minutes() -> None:
    assert _read({"access_token": "x", "expires_in": "soon"}) == ("x", 300.0)
    assert _read({"access_token": "x", "expires_in": True}) == ("x", 300.0)
    assert _read({"access_token": "x", "expires_in": -5}) == ("x", 0.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"oauth_client_id": ""}, "needs POSTWATCH_KAFKA_OAUTH_CLIENT_ID"),
        ({"oauth_client_secret": ""}, "needs POSTWATCH_KAFKA_OAUTH_CLIENT_SECRET"),
        ({"sasl_username": "anna"}, "POSTWATCH_KAFKA_SASL_USERNAME is set, but .*OAUTHBEARER does not use it"),
        ({"oauth_token_url": "http://id.example.net/token"}, "is not an https:// address"),
        ({"oauth_token_url": "https://anna:secret@id.example.net/token"}, "is not an https:// address"),
        ({"sasl_mechanism": "PLAIN", "sasl_username": "a", "sasl_password": "b"}, "OAUTH_TOKEN_URL is set, but"),
        ({"security_protocol": "ssl", "sasl_mechanism": ""}, "OAUTH_TOKEN_URL is set, but .* uses no SASL"),
    ],
)
def test_settings_that_would_not_be_used_are_refused(changes: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as raised:
        settings("https://id.example.net/token", **changes)
    assert SECRET not in str(raised.value)


def test_what_is_wrong_with_a_token_is_told() -> None:
    kafka = settings("https://id.example.net/token")
    words = "Failed to acquire SASL OAUTHBEARER token: Failed to retrieve OIDC token: Couldn't connect to server (-1)"
    assert "no token for Kafka at" in str(unavailable(kafka, words))
    refused = 'SASL authentication error: {"status":"invalid_token"}'
    assert "refuses the token of 'join'" in str(unavailable(kafka, refused))
