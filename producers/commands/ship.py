"""`postwatch ship`: follow this server's log files and publish their lines."""

from __future__ import annotations

import argparse
from pathlib import Path

import structlog
from postwatch.producers.files.checkpoint import claim_checkpoint, load_checkpoint
from postwatch.producers.files.file_registry import FileRegistry
from postwatch.producers.publisher import KafkaPublisher
from postwatch.producers.service.health import Health, serve_metrics
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.lifecycle import await_server, now_ms, stop_on_signal
from postwatch.producers.service.logs import configure_logs
from postwatch.producers.service.outages import OutageLog
from postwatch.producers.service.settings import describe, load
from postwatch.producers.ship_settings import ShipSettings, followed_globs, server_name, time_zone
from postwatch.producers.shipper import Shipper, ShipPlan

log = structlog.get_logger()


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = """\
Follow this server's log files through every rotation and publish their lines to Kafka. Runs until SIGTERM.
Nothing is lost while Kafka is away: the lines wait in their files, and a checkpoint remembers how far Kafka has them.

example:
  POSTWATCH_SHIP_FILES=/var/log/exim_mainlog=exim-main POSTWATCH_KAFKA_BROKERS=kafka1:9092 postwatch ship"""
    parser.epilog = describe(ShipSettings, KafkaSettings)


def run(arguments: argparse.Namespace) -> int:
    stopping = stop_on_signal()
    settings, kafka = load(ShipSettings), load(KafkaSettings)
    checkpoint_file = Path(settings.checkpoint_file)
    plan = ShipPlan(
        followed_globs(settings),
        time_zone(settings),
        checkpoint_file,
        settings.linger_ms,
        round(settings.heartbeat_seconds * 1000),
    )
    server = server_name(settings)
    configure_logs("ship")
    claim_checkpoint(checkpoint_file, "POSTWATCH_SHIP_CHECKPOINT_FILE")
    checkpoint = load_checkpoint(checkpoint_file)
    health = Health()
    outage = OutageLog("kafka", health)
    serve_metrics(settings.metrics_address, "POSTWATCH_SHIP_METRICS_ADDRESS", health)
    publisher = KafkaPublisher(kafka, server, outage)
    log.info("shipper_started", server=server, files=settings.files, tz=plan.tz, brokers=kafka.brokers)
    if await_server(outage, publisher.check, stopping):
        shipper = Shipper(plan, FileRegistry(checkpoint, now_ms()), publisher, health, outage, now_ms)
        while not stopping.is_set():
            shipper.turn()
        shipper.stop()
    log.info("shipper_stopped", server=server)
    return 0
