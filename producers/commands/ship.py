"""`postwatch ship`: follow this server's log files and publish their lines."""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path

import structlog
from postwatch.producers import ship_metrics
from postwatch.producers.files.checkpoint import claim_checkpoint, load_checkpoint
from postwatch.producers.files.file_registry import FileRegistry
from postwatch.producers.publisher import KafkaPublisher
from postwatch.producers.service.errors import ClockError
from postwatch.producers.service.health import Health, serve_metrics
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.lifecycle import await_server, now_ms, stop_on_signal
from postwatch.producers.service.logs import configure_logs
from postwatch.producers.service.memory import bound_heap
from postwatch.producers.service.outages import OutageLog, Repeats
from postwatch.producers.service.renewal import Renewal, end_in_order
from postwatch.producers.service.settings import describe, load
from postwatch.producers.service.systemd import Systemd
from postwatch.producers.ship_settings import ShipSettings, followed_globs, server_name, time_zone
from postwatch.producers.shipper import Shipper, ShipPlan

log = structlog.get_logger()

_CLOCK_RETRY_SECONDS = 10.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = """\
Follow this server's log files through every rotation and publish their lines
to Kafka. Runs until SIGTERM. Nothing is lost while Kafka is away: the lines
wait in their files, and a checkpoint remembers how far Kafka has them.

example:
  POSTWATCH_SHIP_FILES=/var/log/exim_mainlog=exim-main \\
  POSTWATCH_KAFKA_BROKERS=kafka1:9092 postwatch ship"""
    parser.epilog = describe(ShipSettings, KafkaSettings)


def _ship(
    shipper: Shipper, publisher: KafkaPublisher, health: Health, stopping: threading.Event, systemd: Systemd
) -> None:
    """Until it is time to stop. Raises PublishError."""
    while not stopping.is_set():
        shipper.turn()
        systemd.ready()  # Kafka has answered, and the files are open
        systemd.alive()
        if publisher.has_acknowledged:
            health.settle("clock")
    systemd.stopping()
    shipper.stop()


def run(arguments: argparse.Namespace) -> int:
    bound_heap()
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
    load_checkpoint(checkpoint_file)  # one that can't be read ends the process at once
    health = Health()
    outage = OutageLog("kafka", health)
    serve_metrics(settings.metrics_address, "POSTWATCH_SHIP_METRICS_ADDRESS", health, ship_metrics.SHIP.expose)
    Renewal([KafkaSettings], end_in_order).watch(kafka.renewal_seconds)
    log.info("shipper_started", server=server, files=settings.files, tz=plan.tz, brokers=kafka.brokers)
    repeats, systemd = Repeats(), Systemd(health)
    while not stopping.is_set():
        publisher = KafkaPublisher(kafka, server, outage)
        registry = FileRegistry(load_checkpoint(checkpoint_file), now_ms())
        shipper = Shipper(plan, registry, publisher, health, outage, now_ms)
        try:
            if await_server(outage, publisher.check, stopping, systemd.alive):
                _ship(shipper, publisher, health, stopping, systemd)
        except ClockError as error:
            publisher.close()
            registry.close()
            health.complain("clock", str(error))
            if repeats.is_due("clock", time.monotonic()):
                log.error("clock_refused", reason=str(error))
            stopping.wait(_CLOCK_RETRY_SECONDS)
    log.info("shipper_stopped", server=server)
    return 0
