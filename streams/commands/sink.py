"""`postwatch sink`: one member of the group that carries rows into ClickHouse; start as many as there is work."""

from __future__ import annotations

import argparse
from functools import partial

import structlog
from confluent_kafka import Consumer, KafkaException, Producer
from postwatch.producers.service.errors import SettingsError
from postwatch.producers.service.health import Health, serve_metrics
from postwatch.producers.service.kafka import ClientErrors, KafkaWatch, check_topics
from postwatch.producers.service.kafka_settings import RECONNECT_MAX_MS, KafkaSettings
from postwatch.producers.service.lifecycle import await_server, stop_on_signal
from postwatch.producers.service.logs import configure_logs
from postwatch.producers.service.memory import BATCH_BYTES, bound_arrow, bound_heap
from postwatch.producers.service.outages import OutageLog
from postwatch.producers.service.renewal import Renewal, end_in_order
from postwatch.producers.service.settings import load
from postwatch.producers.service.systemd import Systemd
from postwatch.streams.exposition import expose
from postwatch.streams.settings import ClickHouseSettings, SinkSettings
from postwatch.streams.sink import metrics

log = structlog.get_logger()


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write outcomes and heartbeats from Kafka to ClickHouse. Runs until SIGTERM; waits while ClickHouse is away. "
        "Settings are POSTWATCH_SINK_*, POSTWATCH_KAFKA_* and POSTWATCH_CLICKHOUSE_*."
    )


def run(arguments: argparse.Namespace) -> int:
    settings, kafka, clickhouse = load(SinkSettings), load(KafkaSettings), load(ClickHouseSettings)
    configure_logs("sink")
    bound_heap(BATCH_BYTES)
    bound_arrow()
    from postwatch.streams.contracts import heartbeat, outcome_records
    from postwatch.streams.contracts.dead_letters import (
        REFUSED_ROW,
        UNDECODABLE_RECORD,
        DeadLetterSender,
        count_from_zero,
    )
    from postwatch.streams.sink.batch import RowBatcher
    from postwatch.streams.sink.consumer import Sink, Target
    from postwatch.streams.sink.writer import ClickHouseWriter  # with Arrow, which is bounded before it is read

    stopping = stop_on_signal()
    health = Health()
    systemd = Systemd(health)
    outage, clickhouse_outage = OutageLog("kafka", health), OutageLog("clickhouse", health)
    writer = ClickHouseWriter(clickhouse)
    try:
        watch = KafkaWatch(kafka, outage, metrics.LAG)
        errors = ClientErrors(outage)
        consumer = Consumer({**_consumer_config(settings, kafka), **watch.config()}, logger=watch.logger)
        producer = Producer({**kafka.producer_config("postwatch-sink"), **errors.config()}, logger=errors)
    except KafkaException as error:
        raise SettingsError(f"the POSTWATCH_KAFKA_* settings can't be used: {error.args[0].str()}") from error
    serve_metrics(settings.metrics_address, "POSTWATCH_SINK_METRICS_ADDRESS", health, expose)
    targets = {
        kafka.outcomes_topic: Target("deliveries", outcome_records.CONTRACT.decode, writer.insert_deliveries),
        kafka.heartbeats_topic: Target("servers", heartbeat.CONTRACT.decode, partial(writer.insert, "servers")),
    }
    Renewal([KafkaSettings, ClickHouseSettings], end_in_order).watch(kafka.renewal_seconds)
    log.info("sink_started", brokers=kafka.brokers, group=settings.group, clickhouse=clickhouse.url)
    topics = [*targets, kafka.dead_letters_topic]
    if await_server(clickhouse_outage, writer.connect, stopping, systemd.alive) and await_server(
        outage, partial(check_topics, consumer, kafka, topics, watch.logger), stopping, systemd.alive
    ):
        count_from_zero(REFUSED_ROW, UNDECODABLE_RECORD)
        letters = DeadLetterSender(producer, kafka.dead_letters_topic)
        buffer = RowBatcher(
            settings.max_rows, settings.max_wait_ms / 1000, busy_wait_seconds=settings.busy_wait_ms / 1000
        )
        systemd.ready()
        Sink(consumer, targets, letters, buffer, health, clickhouse_outage, stopping, alive=systemd.alive).run()
    systemd.stopping()
    consumer.close()  # commits the stored offsets and leaves the group
    log.info("sink_stopped")
    return 0


def _consumer_config(settings: SinkSettings, kafka: KafkaSettings) -> dict[str, object]:
    return {
        **kafka.client_config(),
        "client.id": "postwatch-sink",
        "group.id": settings.group,
        "auto.offset.reset": "earliest",
        # librdkafka commits what was stored each second, at a revocation and at close; only the sink stores.
        "enable.auto.commit": True,
        "auto.commit.interval.ms": 1_000,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,  # so that markers of transactions behind the last record are committed too
        "partition.assignment.strategy": "range",  # eager: all partitions at once, see Sink
        "topic.metadata.refresh.interval.ms": 10_000,  # by default a new partition is read after five minutes
        "session.timeout.ms": 6_000,
        "heartbeat.interval.ms": 1_000,
        # What is fetched ahead, in plain bytes; and one answer of a broker, which is compressed to a fifth.
        "queued.max.messages.kbytes": 8_192,
        "fetch.max.bytes": 1024 * 1024,
        "max.partition.fetch.bytes": 512 * 1024,
        "fetch.queue.backoff.ms": 50,  # by default a full queue is left alone for a second after it was emptied
        "reconnect.backoff.max.ms": RECONNECT_MAX_MS,
    }
