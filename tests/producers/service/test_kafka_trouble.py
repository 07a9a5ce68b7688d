"""What librdkafka says of a connection becomes a sentence that names the trouble and the remedy."""

from __future__ import annotations

import pytest
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.kafka_trouble import missing_topic, unavailable

PLAIN = KafkaSettings(brokers="kafka:9092")
SASL = KafkaSettings(
    brokers="kafka:9093",
    security_protocol="sasl_ssl",
    sasl_mechanism="SCRAM-SHA-512",
    sasl_username="ship",
    sasl_password="s3cret",
    ssl_ca_file="/etc/ca.pem",
)
CERTIFIED = KafkaSettings(
    brokers="kafka:9094", security_protocol="ssl", ssl_certificate_file="/etc/c.pem", ssl_key_file="/etc/c.key"
)


@pytest.mark.parametrize(
    ("kafka", "reason", "sentence"),
    [
        (
            SASL,
            "sasl_ssl://kafka:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify "
            "failed: broker certificate could not be verified (after 7ms in state SSL_HANDSHAKE)",
            "Kafka at kafka:9093 shows a certificate that /etc/ca.pem does not vouch for (",
        ),
        (
            CERTIFIED,
            "ssl://kafka:9094/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed",
            "Kafka at kafka:9094 shows a certificate that this system does not vouch for (",
        ),
        (
            SASL,
            "sasl_ssl://kafka:9093/bootstrap: SASL authentication error: Authentication failed during authentication "
            "due to invalid credentials with SASL mechanism SCRAM-SHA-512 (after 5ms in state AUTH_REQ)",
            "Kafka at kafka:9093 refuses the user 'ship' (SASL authentication error: ",
        ),
        (
            CERTIFIED,
            "ssl://kafka:9094/1: Receive failed: error:0A00045C:SSL routines::tlsv13 alert certificate required: "
            "SSL alert number 116 (after 0ms in state APIVERSION_QUERY)",
            "Kafka at kafka:9094 refuses the client certificate (Receive failed: ",
        ),
        (
            PLAIN,
            "kafka:9092/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN "
            "(after 1ms in state APIVERSION_QUERY)",
            "Kafka at kafka:9092 closes the connection at once (Disconnected: ",
        ),
        (
            SASL,
            "sasl_ssl://kafka:9093/bootstrap: SSL handshake failed: error:0A00010B:SSL routines::wrong version number",
            "Kafka at kafka:9093 does not speak TLS on this port (SSL handshake failed: ",
        ),
        (
            SASL,
            "sasl_ssl://kafka:9093/bootstrap: Connect to ipv4#192.0.2.1:9093 failed: Connection refused (after 0ms)",
            "Kafka does not answer at kafka:9093 (Connect to ipv4#192.0.2.1:9093 failed: Connection refused); start it",
        ),
        (PLAIN, "", "Kafka does not answer at kafka:9092; start it, or set POSTWATCH_KAFKA_BROKERS"),
    ],
)
def test_each_trouble_has_its_sentence(kafka: KafkaSettings, reason: str, sentence: str) -> None:
    said = str(unavailable(kafka, reason))
    assert said.startswith(sentence)
    assert "s3cret" not in said


def test_a_topic_that_brokers_may_hide_is_told_so() -> None:
    assert str(missing_topic(PLAIN, "mail.raw")) == (
        "the topic mail.raw does not exist at kafka:9092; create it with `postwatch migrate --topics`"
    )
    assert "or the user 'ship' may not see it" in str(missing_topic(SASL, "mail.raw"))
    assert "or this client's certificate may not see it" in str(missing_topic(CERTIFIED, "mail.raw"))
