"""`postwatch join`: one join worker; start as many as there is work, each with a data folder of its own."""

from __future__ import annotations

import argparse
import gc
import logging
import time

import structlog
from postwatch.producers.errors import UnavailableError
from postwatch.producers.logs import configure_logs
from postwatch.producers.metrics import Health, serve_metrics
from postwatch.producers.settings import KafkaSettings, load
from postwatch.streams.settings import JoinSettings
from prometheus_client import REGISTRY

log = structlog.get_logger()

_RETRY_SECONDS = 2.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Join the log lines of each message into one outcome per recipient. "
        "Reads the raw topic, writes the topic of outcomes; settings are POSTWATCH_JOIN_* and POSTWATCH_KAFKA_*."
    )


def run(arguments: argparse.Namespace) -> int:
    configure_logs("join")
    for library in ("faust", "mode", "aiokafka", "postwatch.streams.fetches"):
        logging.getLogger(library).setLevel(logging.WARNING)
    settings = load(JoinSettings)
    kafka = load(KafkaSettings)
    from faust import Worker  # slow to import: settings are checked first
    from postwatch.streams.app import changelog_topic, create_app, join_rules
    from postwatch.streams.changelogs import ensure_changelog
    from postwatch.streams.metrics import JoinCollector

    join_rules(settings)
    health = Health()
    serve_metrics(settings.metrics_address, "POSTWATCH_JOIN_METRICS_ADDRESS", health)
    while True:
        try:
            partitions = ensure_changelog(kafka, changelog_topic(settings))
            break
        except UnavailableError as error:
            log.error("kafka_unavailable", error=str(error), retry_seconds=_RETRY_SECONDS)
            health.complain("kafka", str(error))
            time.sleep(_RETRY_SECONDS)
    health.settle("kafka")
    app, worker = create_app(settings, kafka, partitions, health)
    REGISTRY.register(JoinCollector(worker))
    gc.collect()
    gc.freeze()
    gc.disable()
    faust_worker = Worker(app, loglevel="WARNING", override_logging=False, quiet=True, redirect_stdouts=False)
    faust_worker.spinner = None  # it writes terminal codes, into log files too
    try:
        faust_worker.execute_from_commandline()
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        worker.close()
    return 0
