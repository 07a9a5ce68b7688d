"""`postwatch push`: sends new final statuses, and what stands out, to webhooks."""

from __future__ import annotations

import argparse
import threading
from functools import partial

import structlog
from confluent_kafka import Consumer, KafkaException
from postwatch.producers.service.errors import SettingsError
from postwatch.producers.service.health import Health, serve_metrics
from postwatch.producers.service.kafka import KafkaWatch, check_topics
from postwatch.producers.service.kafka_settings import RECONNECT_MAX_MS, KafkaSettings
from postwatch.producers.service.lifecycle import await_server, stop_on_signal
from postwatch.producers.service.logs import configure_logs
from postwatch.producers.service.outages import OutageLog
from postwatch.producers.service.renewal import Renewal, end_in_order
from postwatch.producers.service.settings import load
from postwatch.producers.service.systemd import Systemd
from postwatch.query.access.settings import AccessSettings
from postwatch.query.access.state import StateStore
from postwatch.query.push.addresses import read_networks
from postwatch.query.push.outbox import Outbox
from postwatch.query.push.pusher import Pusher
from postwatch.query.push.sender import Sender
from postwatch.query.push.settings import PushSettings
from postwatch.query.push.webhooks import WebhookBook
from postwatch.query.report_service import open_report_service
from postwatch.query.settings import QuerySettings
from postwatch.streams.exposition import expose
from postwatch.streams.settings import ClickHouseSettings

log = structlog.get_logger()


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Send new final statuses to the webhooks that `postwatch webhook create` made. Runs until SIGTERM; waits while "
        "Kafka, ClickHouse or an endpoint is away. Settings are POSTWATCH_PUSH_*, POSTWATCH_ACCESS_STATE, "
        "POSTWATCH_KAFKA_* and POSTWATCH_CLICKHOUSE_*."
    )


def run(arguments: argparse.Namespace) -> int:
    settings, kafka = load(PushSettings), load(KafkaSettings)
    networks = read_networks(settings.allowed_networks)
    service = open_report_service(load(QuerySettings), load(ClickHouseSettings))
    configure_logs("push")
    stopping, health = stop_on_signal(), Health()
    systemd = Systemd(health)
    outage = OutageLog("kafka", health)
    store = StateStore(load(AccessSettings).state)
    try:
        watch = KafkaWatch(kafka, outage)
        consumer = Consumer({**_consumer_config(settings, kafka), **watch.config()}, logger=watch.logger)
    except KafkaException as error:
        raise SettingsError(f"the POSTWATCH_KAFKA_* settings can't be used: {error.args[0].str()}") from error
    serve_metrics(settings.metrics_address, "POSTWATCH_PUSH_METRICS_ADDRESS", health, expose)
    sender = Sender(networks, settings.timeout_seconds)
    pusher = Pusher(settings, WebhookBook(store), Outbox(store), service, sender, health, stopping, systemd.alive)
    Renewal([KafkaSettings, ClickHouseSettings], end_in_order).watch(kafka.renewal_seconds)
    log.info("push_started", brokers=kafka.brokers, group=settings.group)
    has_topic = partial(check_topics, consumer, kafka, [kafka.outcomes_topic], watch.logger)
    if await_server(outage, has_topic, stopping, systemd.alive):
        systemd.ready()
        sending = threading.Thread(target=pusher.send, name="push-send", daemon=True)
        sending.start()
        pusher.read(consumer, kafka.outcomes_topic)
        systemd.stopping()
        sending.join(5)
    systemd.stopping()
    consumer.close()  # commits the stored offsets and leaves the group
    store.close()
    log.info("push_stopped")
    return 0


def _consumer_config(settings: PushSettings, kafka: KafkaSettings) -> dict[str, object]:
    return {
        **kafka.client_config(),
        "client.id": "postwatch-push",
        "group.id": settings.group,
        "auto.offset.reset": "latest",  # what ended before anybody asked is told to nobody
        "enable.auto.commit": True,
        "auto.commit.interval.ms": 1_000,
        "enable.auto.offset.store": False,
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 2_000,
        "queued.max.messages.kbytes": 8_192,
        "reconnect.backoff.max.ms": RECONNECT_MAX_MS,
    }
