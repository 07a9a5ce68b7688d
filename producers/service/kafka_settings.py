"""How every part reaches Kafka: the settings, and the properties of librdkafka's clients that follow from them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from postwatch.producers.service.errors import SettingsError
from postwatch.producers.service.settings import setting

ClientConfig = dict[str, str | int | float | bool]

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""The largest record, compressed, that brokers, topics and producers take."""
RECONNECT_MAX_MS = 2_000
"""Longest wait between two attempts to reach a broker that is away."""

OAUTH = "OAUTHBEARER"
SASL_MECHANISMS = ("", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", OAUTH)
_BROKER = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?")


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
        doc="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, if SASL is used.",
        choices=SASL_MECHANISMS,
    )
    sasl_username: str = setting("", doc="SASL user.")
    sasl_password: str = setting("", doc="SASL password.", secret=True)
    oauth_token_url: str = setting(
        "", doc="Token endpoint for OAUTHBEARER: https://…; it gives tokens to this client (client_credentials)."
    )
    oauth_client_id: str = setting("", doc="Client id at the token endpoint.")
    oauth_client_secret: str = setting("", doc="Client secret at the token endpoint.", secret=True)
    oauth_scope: str = setting("", doc="Scope to ask the token endpoint for.")
    oauth_ca_file: str = setting(
        "", doc="PEM file of the CA that signed the token endpoint's certificate, if it is a private one.", is_read=True
    )
    ssl_ca_file: str = setting("", doc="PEM file of the CA that signed the certificates of the brokers.", is_read=True)
    ssl_certificate_file: str = setting(
        "", doc="PEM file of this client's certificate, where the brokers want one.", is_read=True
    )
    ssl_key_file: str = setting("", doc="PEM file of that certificate's key, without a password.", is_read=True)
    renewal_seconds: float = setting(
        30.0,
        doc="Seconds between two looks at secrets and certificates in files. What was renewed is taken up: the part "
        "finishes what it has begun, and begins anew as the same process. 0: never.",
        least=0,
    )
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
        if (right := right_brokers(self.brokers)) != self.brokers or not right:
            raise SettingsError(f"POSTWATCH_KAFKA_BROKERS={self.brokers!r} {_brokers_remedy(right)}")
        _check_security(self)

    def client_config(self) -> ClientConfig:
        """The librdkafka properties that reach these brokers."""
        config: ClientConfig = {
            "bootstrap.servers": self.brokers,
            "security.protocol": self.security_protocol,
        }
        if self.sasl_mechanism == OAUTH:
            config |= self._oauth_config()
        elif self.sasl_mechanism:
            config |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.sasl_username,
                "sasl.password": self.sasl_password,
            }
        if self.ssl_ca_file:
            config["ssl.ca.location"] = self.ssl_ca_file
        if self.ssl_certificate_file:
            config |= {"ssl.certificate.location": self.ssl_certificate_file, "ssl.key.location": self.ssl_key_file}
        return config

    def _oauth_config(self) -> ClientConfig:
        config: ClientConfig = {
            "sasl.mechanism": OAUTH,
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": self.oauth_client_id,
            "sasl.oauthbearer.client.secret": self.oauth_client_secret,
            "sasl.oauthbearer.token.endpoint.url": self.oauth_token_url,
        }
        if self.oauth_scope:
            config["sasl.oauthbearer.scope"] = self.oauth_scope
        if self.oauth_ca_file:
            config["https.ca.location"] = self.oauth_ca_file
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


def right_brokers(brokers: str) -> str:
    """The list as both clients understand it: HOST:PORT, comma-separated; empty if it can't be told what was meant.

    librdkafka takes a scheme, a blank or an empty entry silently. Faust then asks a broker on 127.0.0.1.
    """
    found = []
    for entry in re.split(r"[,;\s]+", brokers):
        address = re.sub(r"^[A-Za-z_]*://", "", entry).rstrip("/")
        if address and not (match := _BROKER.fullmatch(address)):
            return ""
        if address and match:
            if match["port"] and not 0 < int(match["port"]) < 65536:
                return ""
            found.append(address if match["port"] else f"{address}:9092")
    return ",".join(found)


def _brokers_remedy(right: str) -> str:
    if right:
        return f"is not a list of HOST:PORT, comma-separated: write {right}"
    return "is not a list of HOST:PORT, comma-separated, such as kafka1:9092,kafka2:9092"


_OF_USERS = ("sasl_username", "sasl_password")
_OF_OAUTH = ("oauth_token_url", "oauth_client_id", "oauth_client_secret", "oauth_scope", "oauth_ca_file")
_NEEDED_OF_OAUTH = _OF_OAUTH[:3]
_TOKEN_URL = re.compile(r"https://[^\s@?#]+|http://(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?(?:/[^\s@?#]*)?")


def _check_log_in(kafka: KafkaSettings) -> None:
    """What the mechanism needs is there, and nothing that it would ignore."""
    mechanism = kafka.sasl_mechanism
    needed, unused = (_NEEDED_OF_OAUTH, _OF_USERS) if mechanism == OAUTH else (_OF_USERS, _OF_OAUTH)
    for name in needed:
        if not getattr(kafka, name):
            raise SettingsError(f"POSTWATCH_KAFKA_SASL_MECHANISM={mechanism} needs POSTWATCH_KAFKA_{name.upper()}")
    for name in unused:
        if getattr(kafka, name):
            raise SettingsError(
                f"POSTWATCH_KAFKA_{name.upper()} is set, but POSTWATCH_KAFKA_SASL_MECHANISM={mechanism} does not use it"
            )
    if mechanism == OAUTH and not _TOKEN_URL.fullmatch(kafka.oauth_token_url):
        raise SettingsError(
            f"POSTWATCH_KAFKA_OAUTH_TOKEN_URL={kafka.oauth_token_url!r} is not an https:// address without a user and "
            "options: the client's secret goes there"
        )


def _check_security(kafka: KafkaSettings) -> None:
    """What the client would ignore or misunderstand is refused: librdkafka sends in the clear, and says nothing."""
    protocol, mechanism = kafka.security_protocol, kafka.sasl_mechanism
    if protocol.startswith("sasl"):
        if not mechanism:
            raise SettingsError(
                f"POSTWATCH_KAFKA_SECURITY_PROTOCOL={protocol} needs POSTWATCH_KAFKA_SASL_MECHANISM: "
                f"{', '.join(filter(None, SASL_MECHANISMS))}"
            )
        _check_log_in(kafka)
    else:
        for name in ("sasl_mechanism", *_OF_USERS, *_OF_OAUTH):
            if getattr(kafka, name):
                raise SettingsError(
                    f"POSTWATCH_KAFKA_{name.upper()} is set, but POSTWATCH_KAFKA_SECURITY_PROTOCOL={protocol} uses no "
                    f"SASL: set sasl_ssl"
                )
    if bool(kafka.ssl_certificate_file) != bool(kafka.ssl_key_file):
        missing = "SSL_KEY_FILE" if kafka.ssl_certificate_file else "SSL_CERTIFICATE_FILE"
        raise SettingsError(f"a client certificate needs POSTWATCH_KAFKA_{missing} too")
    for name in ("ssl_ca_file", "ssl_certificate_file", "ssl_key_file"):
        path = getattr(kafka, name)
        if path and not protocol.endswith("ssl"):
            raise SettingsError(
                f"POSTWATCH_KAFKA_{name.upper()} is set, but POSTWATCH_KAFKA_SECURITY_PROTOCOL={protocol} uses no TLS: "
                f"set {'sasl_ssl' if protocol.startswith('sasl') else 'ssl'}"
            )
