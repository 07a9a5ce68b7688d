"""A real broker that asks for TLS and a password or a client certificate, and lets each user do what its ACLs say.

The loopback listener without TLS is the administrator's: whoever comes through it is a super user.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)
from postwatch.deploy.embedded.kafka import EmbeddedKafka
from postwatch.deploy.embedded.ports import LOOPBACK, choose_port

from tests.certificates import make_certificates
from tests.secured_kafka.token_server import AUDIENCE, ISSUER, SCOPE, SECRET, TokenServer

PASSWORD = "a long enough password"
CERTIFIED = "certified"
"""The user of the client certificate."""
OAUTH_CLIENTS = "oauth-"
"""How the names of clients begin that show a token."""
_OAUTH = "org.apache.kafka.common.security.oauthbearer.OAuthBearer"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
_SECONDS = 20.0


class _Broker(EmbeddedKafka):
    def environment(self) -> Mapping[str, str]:
        """Kafka reads a key set only where the machine's owner allows it."""
        allowed = (self.data_dir.parent / "jwks.json").as_uri()
        return {"JAVA_TOOL_OPTIONS": f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={allowed}"}


class Grant(NamedTuple):
    """One line of an access-control list."""

    user: str
    kind: str
    """topic, group or cluster"""
    name: str
    """Exact, or a prefix that ends in `*`."""
    operation: str


class SecuredKafka:
    """`start` and `kill` it; `settings_of` gives the POSTWATCH_KAFKA_* variables of a user."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        make_certificates(folder, CERTIFIED)
        key_store = folder / "server-all.pem"
        key_store.write_bytes((folder / "server.key").read_bytes() + (folder / "server.pem").read_bytes())
        port, self.sasl_port, self.tls_port, self.oauth_port, controller = (choose_port() for _ in range(5))
        listeners = {"PLAINTEXT": port, "SASL_SSL": self.sasl_port, "SSL": self.tls_port, "OAUTH": self.oauth_port}
        self.tokens = TokenServer(folder)
        key_set = self.tokens.key_set.as_uri()
        addresses = ",".join(f"{name}://{LOOPBACK}:{at}" for name, at in listeners.items())
        self.broker = _Broker(
            folder / "kafka",
            port,
            controller_port=controller,
            properties={
                "listeners": f"{addresses},CONTROLLER://{LOOPBACK}:{controller}",
                "advertised.listeners": addresses,
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,"
                "OAUTH:SASL_SSL",
                "sasl.enabled.mechanisms": "SCRAM-SHA-512",
                "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": _SCRAM + " required;",
                "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
                "listener.name.oauth.oauthbearer.sasl.jaas.config": f"{_OAUTH}LoginModule required;",
                "listener.name.oauth.oauthbearer.sasl.server.callback.handler.class": _OAUTH
                + "ValidatorCallbackHandler",
                "listener.name.oauth.oauthbearer.connections.max.reauth.ms": "10000",
                "listener.name.oauth.sasl.oauthbearer.jwks.endpoint.url": key_set,
                "listener.name.oauth.sasl.oauthbearer.expected.audience": AUDIENCE,
                "listener.name.oauth.sasl.oauthbearer.expected.issuer": ISSUER,
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": str(key_store),
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": str(folder / "ca.pem"),
                "listener.name.ssl.ssl.client.auth": "required",
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": "User:ANONYMOUS",
            },
        )

    def start(self) -> None:
        self.broker.start()
        self._admin = AdminClient({"bootstrap.servers": self.broker.brokers})

    def kill(self) -> None:
        self.broker.kill()
        self.tokens.close()

    def add_user(self, name: str, password: str = PASSWORD) -> None:
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        asked: list[UserScramCredentialAlteration] = [UserScramCredentialUpsertion(name, scram, password.encode())]
        for done in self._admin.alter_user_scram_credentials(asked).values():
            done.result(_SECONDS)

    def grant(self, grants: Iterable[Grant]) -> None:
        for done in self._admin.create_acls([_binding(grant) for grant in dict.fromkeys(grants)]).values():
            done.result(_SECONDS)

    def settings_of(self, user: str) -> Mapping[str, str]:
        if user == CERTIFIED:
            return {
                "POSTWATCH_KAFKA_BROKERS": f"{LOOPBACK}:{self.tls_port}",
                "POSTWATCH_KAFKA_SECURITY_PROTOCOL": "ssl",
                "POSTWATCH_KAFKA_SSL_CA_FILE": str(self.folder / "ca.pem"),
                "POSTWATCH_KAFKA_SSL_CERTIFICATE_FILE": str(self.folder / f"{user}.pem"),
                "POSTWATCH_KAFKA_SSL_KEY_FILE": str(self.folder / f"{user}.key"),
            }
        if user.startswith(OAUTH_CLIENTS):
            secret = self.folder / f"{user}.secret"
            secret.write_text(SECRET)
            return {
                "POSTWATCH_KAFKA_BROKERS": f"{LOOPBACK}:{self.oauth_port}",
                "POSTWATCH_KAFKA_SECURITY_PROTOCOL": "sasl_ssl",
                "POSTWATCH_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
                "POSTWATCH_KAFKA_OAUTH_TOKEN_URL": self.tokens.url,
                "POSTWATCH_KAFKA_OAUTH_CLIENT_ID": user,
                "POSTWATCH_KAFKA_OAUTH_CLIENT_SECRET_FILE": str(secret),
                "POSTWATCH_KAFKA_OAUTH_SCOPE": SCOPE,
                "POSTWATCH_KAFKA_SSL_CA_FILE": str(self.folder / "ca.pem"),
            }
        password = self.folder / f"{user}.password"
        password.write_text(f"{PASSWORD}\n")
        return {
            "POSTWATCH_KAFKA_BROKERS": f"{LOOPBACK}:{self.sasl_port}",
            "POSTWATCH_KAFKA_SECURITY_PROTOCOL": "sasl_ssl",
            "POSTWATCH_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "POSTWATCH_KAFKA_SASL_USERNAME": user,
            "POSTWATCH_KAFKA_SASL_PASSWORD_FILE": str(password),
            "POSTWATCH_KAFKA_SSL_CA_FILE": str(self.folder / "ca.pem"),
        }


def _binding(grant: Grant) -> AclBinding:
    kind = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "cluster": ResourceType.BROKER}[grant.kind]
    pattern = ResourcePatternType.PREFIXED if grant.name.endswith("*") else ResourcePatternType.LITERAL
    return AclBinding(
        kind,
        grant.name.removesuffix("*"),
        pattern,
        f"User:{grant.user}",
        "*",
        AclOperation[grant.operation.upper()],
        AclPermissionType.ALLOW,
    )
