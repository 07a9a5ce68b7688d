"""Why Kafka does not serve, in a sentence that names it and says what to do: away, TLS, password or rights.

The words are librdkafka's, of a connection that failed; a broker that is away is what is left.
"""

from __future__ import annotations

import re

from confluent_kafka import KafkaError
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.kafka_settings import OAUTH, KafkaSettings

_FAILURE = re.compile(r"(?:\S+: )?(.*?)(?: \(after \d+ms.*)?", re.DOTALL)
"""'host:port/id: Connect to ipv4#… failed: Connection refused (after 0ms in state CONNECT, …)' → the middle."""
_CERTIFICATE = re.compile(r"certificate verify failed|certificate could not be verified|CERTIFICATE_VERIFY_FAILED")
_CLIENT_CERTIFICATE = re.compile(r"certificate required|(?:bad|unknown|expired|revoked) certificate|alert unknown ca")
_PASSWORD = re.compile(r"SASL|[Aa]uthentication failed|SaslAuthenticationFailed")
_TOKEN = re.compile(r"acquire SASL OAUTHBEARER token|OIDC")
_NO_TLS = re.compile(r"wrong version number|packet length too long|SSL handshake failed: Disconnected|record layer")
_CLOSED_AT_ONCE = re.compile(r"\d+/\d+ brokers are down|Disconnected.*")
"""A broker that was reached and closed the connection is no error of a connection: nothing else is said of it."""
_RIGHTS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}


def unavailable(kafka: KafkaSettings, reason: str) -> UnavailableError:
    """No broker serves us. `reason` is what the client said of a connection, or empty."""
    said = f" ({shorten(reason)})" if reason else ""
    at = f"Kafka at {kafka.brokers}"
    if _CERTIFICATE.search(reason):
        by = kafka.ssl_ca_file or "this system"
        return UnavailableError(
            f"{at} shows a certificate that {by} does not vouch for{said}; "
            "set POSTWATCH_KAFKA_SSL_CA_FILE to the CA that signed it, and the brokers to names that stand in it"
        )
    if _CLIENT_CERTIFICATE.search(reason):
        return UnavailableError(
            f"{at} refuses the client certificate{said}; "
            "check POSTWATCH_KAFKA_SSL_CERTIFICATE_FILE and POSTWATCH_KAFKA_SSL_KEY_FILE"
        )
    if _NO_TLS.search(reason):
        return UnavailableError(
            f"{at} does not speak TLS on this port{said}; check the port and POSTWATCH_KAFKA_SECURITY_PROTOCOL"
        )
    if kafka.sasl_mechanism == OAUTH and _TOKEN.search(reason):
        return UnavailableError(
            f"no token for {at} comes from {kafka.oauth_token_url}{said}; check POSTWATCH_KAFKA_OAUTH_TOKEN_URL, "
            "POSTWATCH_KAFKA_OAUTH_CLIENT_ID, POSTWATCH_KAFKA_OAUTH_CLIENT_SECRET and POSTWATCH_KAFKA_OAUTH_CA_FILE"
        )
    if kafka.sasl_mechanism == OAUTH and _PASSWORD.search(reason):
        return UnavailableError(
            f"{at} refuses the token of {kafka.oauth_client_id!r}{said}; check that it has the audience, issuer and "
            "scope that the brokers want (POSTWATCH_KAFKA_OAUTH_SCOPE)"
        )
    if _PASSWORD.search(reason):
        return UnavailableError(
            f"{at} refuses the user {kafka.sasl_username!r}{said}; check POSTWATCH_KAFKA_SASL_USERNAME, "
            "POSTWATCH_KAFKA_SASL_PASSWORD and POSTWATCH_KAFKA_SASL_MECHANISM"
        )
    if _CLOSED_AT_ONCE.fullmatch(shorten(reason)) and not kafka.security_protocol.endswith("ssl"):
        return UnavailableError(
            f"{at} closes the connection at once{said}; if this port wants TLS, "
            "set POSTWATCH_KAFKA_SECURITY_PROTOCOL to ssl or sasl_ssl"
        )
    return UnavailableError(f"Kafka does not answer at {kafka.brokers}{said}; start it, or set POSTWATCH_KAFKA_BROKERS")


def missing_topic(kafka: KafkaSettings, topic: str) -> UnavailableError:
    """Brokers hide a topic from a user who may not describe it."""
    if kafka.security_protocol == "plaintext":
        return UnavailableError(
            f"the topic {topic} does not exist at {kafka.brokers}; create it with `postwatch migrate --topics`"
        )
    who = (
        f"the user {name!r}" if (name := kafka.sasl_username or kafka.oauth_client_id) else "this client's certificate"
    )
    return UnavailableError(
        f"the topic {topic} does not exist at {kafka.brokers}, or {who} may not see it; "
        "create it with `postwatch migrate --topics`, or grant `describe` on it"
    )


def with_remedy(error: KafkaError) -> str:
    """What Kafka refused us, and for want of a right the remedy."""
    remedy = "; grant the rights that docs/secured-kafka.md lists" if error.code() in _RIGHTS else ""
    return error.str().rstrip(".") + remedy


def concerns_reader(error: KafkaError) -> bool:
    """Whether an error is one to somebody who reads partitions without a group.

    The end of a partition is none. librdkafka wants the name of a group all the same, and now and then looks for its
    coordinator, which a user may be refused who has no right to that group and needs none.
    """
    return error.code() not in (KafkaError._PARTITION_EOF, KafkaError.GROUP_AUTHORIZATION_FAILED)


def shorten(reason: str) -> str:
    """What librdkafka says of a failed broker, without the broker's internal name and the time that it took."""
    found = _FAILURE.fullmatch(reason)
    return found[1] if found else reason
