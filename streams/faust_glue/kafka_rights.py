"""Whether this user may do what a part needs, asked of the brokers at start.

aiokafka keeps a refusal to itself and goes on asking, so a worker without its rights would sit there in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.faust_glue.internals import AclOperation

READ, WRITE = AclOperation.READ, AclOperation.WRITE
_TIMEOUT_SECONDS = 10.0


class Need(NamedTuple):
    """What a part does with a topic or with its consumer group."""

    kind: str
    """topic or group"""
    name: str
    operation: AclOperation


def check_rights(admin: AdminClient, kafka: KafkaSettings, needs: Iterable[Need]) -> None:
    """Raises UnavailableError that names each right that is missing; brokers that ask nobody who he is grant all."""
    if kafka.security_protocol == "plaintext":
        return
    missing = list(_missing(admin, list(needs)))
    if missing:
        name = kafka.sasl_username or kafka.oauth_client_id
        who = f"user {name!r}" if name else "this client's certificate"
        raise UnavailableError(
            f"Kafka at {kafka.brokers} does not let {who} {', '.join(missing)}; "
            "grant the rights that docs/secured-kafka.md lists"
        )


def _missing(admin: AdminClient, needs: list[Need]) -> Iterator[str]:
    topics = sorted({need.name for need in needs if need.kind == "topic"})
    groups = sorted({need.name for need in needs if need.kind == "group"})
    asked: dict[tuple[str, str], Any] = {}
    options = {"include_authorized_operations": True, "request_timeout": _TIMEOUT_SECONDS}
    if topics:
        answers = admin.describe_topics(TopicCollection(topics), **options)
        asked |= {("topic", name): future for name, future in answers.items()}
    if groups:
        answers = admin.describe_consumer_groups(groups, **options)
        asked |= {("group", name): future for name, future in answers.items()}
    for need in needs:
        try:
            granted = asked[need.kind, need.name].result(2 * _TIMEOUT_SECONDS).authorized_operations
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:  # nobody has joined it: not told, so may be
                continue
            granted = []
        if granted is not None and need.operation not in granted:
            yield f"{need.operation.name.lower()} {need.kind} {need.name}"
