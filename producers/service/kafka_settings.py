"""How every part reaches Kafka: the settings, and the properties of librdkafka's clients that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from postwatch.producers.service.errors import SettingsError
from postwatch.producers.service.settings import setting

ClientConfig = dict[str, str | int | float | bool]

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""The largest record, compressed, that brokers, topics and producers take."""
RECONNECT_MAX_MS = 2_000
"""Longest wait between two attempts to reach a broker that is away."""


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How every part reaches Kafka, and the names of the topics."""

    SECTION: ClassVar[str] = "kafka"

    brokers: str = setting("127.0.0.1:9092", doc="Bootstrap brokers: host:port, comma-separated.")
    security_protocol: str = setting(
        "plaintext",
        doc="plaintext, ssl, sasl_plaintext or sasl_ssl.",
        choices=("plaintext", "ssl", "sasl_plaintext", "sasl_ssl"),
    )
    sasl_mechanism: str = setting(
        "",
        doc="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, if SASL is used.",
        choices=("", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
    )
    sasl_username: str = setting("", doc="SASL user.")
    sasl_password: str = setting("", doc="SASL password.", secret=True)
    ssl_ca_file: str = setting("", doc="PEM file of the CA that signed the certificates of the brokers.")
    raw_topic: str = setting("mail.raw", doc="Topic of raw log lines.")
    outcomes_topic: str = setting("mail.outcomes", doc="Topic of delivery rows.")
    heartbeats_topic: str = setting("mail.heartbeats", doc="Topic of heartbeats, as rows.")
    dead_letters_topic: str = setting("mail.dead-letters", doc="Topic of lines and rows that can't be read or stored.")

    def __post_init__(self) -> None:
        """Raises SettingsError. The brokers are shown in logs and by /health: they may hold no password."""
        if "@" in self.brokers:
            raise SettingsError(
                "POSTWATCH_KAFKA_BROKERS must not hold a user and password: "
                "set POSTWATCH_KAFKA_SASL_USERNAME and POSTWATCH_KAFKA_SASL_PASSWORD, and leave only HOST:PORT"
            )

    def client_config(self) -> ClientConfig:
        """The librdkafka properties that reach these brokers."""
        config: ClientConfig = {
            "bootstrap.servers": self.brokers,
            "security.protocol": self.security_protocol,
        }
        if self.sasl_mechanism:
            config |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.sasl_username,
                "sasl.password": self.sasl_password,
            }
        if self.ssl_ca_file:
            config["ssl.ca.location"] = self.ssl_ca_file
        return config

    def producer_config(self, client_id: str) -> ClientConfig:
        """A producer that loses nothing: idempotent, acknowledged by all replicas, retried until brokers are back."""
        return {
            **self.client_config(),
            "client.id": client_id,
            "acks": "all",
            "enable.idempotence": True,
            "message.timeout.ms": 0,  # for ever: what is sent is kept upstream until it is acknowledged
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "compression.type": "lz4",
            "linger.ms": 5,
            "reconnect.backoff.max.ms": RECONNECT_MAX_MS,
        }
