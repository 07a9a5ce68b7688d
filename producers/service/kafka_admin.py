"""A client for administration that says nothing by itself, and knows why it reaches no broker.

A module of its own: the shipper administers nothing, and need not load it.
"""

from __future__ import annotations

import logging
from typing import Any

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient
from postwatch.producers.service.kafka_settings import KafkaSettings

SILENT = logging.getLogger("postwatch.kafka_admin")
"""A logger for clients: librdkafka's own words go nowhere, for ours are for people."""
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False


class LatestFailure:
    """What a client that nobody watches said last of a connection; nothing is logged."""

    def __init__(self) -> None:
        self.latest = ""

    def take(self, error: KafkaError) -> None:
        """librdkafka's error_cb."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN or not self.latest:
            self.latest = error.str()


def open_admin(kafka: KafkaSettings, **more: Any) -> tuple[AdminClient, LatestFailure]:
    """A silent client for administration, and why it reaches no broker. `more` are librdkafka's properties."""
    failure = LatestFailure()
    config: dict[str, Any] = {**kafka.client_config(), "error_cb": failure.take, **more}
    return AdminClient(config, logger=SILENT), failure
