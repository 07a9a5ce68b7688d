"""`postwatch join`: one join worker; start as many as there is work, each with a data folder of its own."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import gc
import re
import tempfile
import threading
from pathlib import Path

import structlog
from postwatch.producers.service.errors import BadInputError, SettingsError
from postwatch.producers.service.health import Health, serve_metrics
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.lifecycle import await_server, now_ms
from postwatch.producers.service.logs import configure_logs
from postwatch.producers.service.memory import BATCH_BYTES, bound_arrow, bound_heap
from postwatch.producers.service.outages import OutageLog
from postwatch.producers.service.renewal import Renewal, begin_anew, end_in_order
from postwatch.producers.service.settings import load
from postwatch.producers.service.systemd import Systemd
from postwatch.streams import core_build
from postwatch.streams.errors import EXIT_FAILED
from postwatch.streams.exposition import expose
from postwatch.streams.huge_pages import use_huge_pages
from postwatch.streams.settings import JoinSettings
from prometheus_client import REGISTRY

log = structlog.get_logger()

_AGE = re.compile(r"(\d{1,6})([smhd])")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Join the log lines of each message into one outcome per recipient. "
        "Reads the raw topic, writes the topic of outcomes; settings are POSTWATCH_JOIN_* and POSTWATCH_KAFKA_*."
    )
    parser.add_argument(
        "--from",
        dest="start",
        metavar="TIME",
        help="replay: re-reads raw records since TIME with the current parsers, dead letters included, while the "
        "workers keep running, and ends. TIME is an ISO 8601 time (UTC unless it names a zone) or an age such as 90m, "
        "6h or 2d",
    )


def run(arguments: argparse.Namespace) -> int:
    bound_heap(BATCH_BYTES)
    bound_arrow()
    use_huge_pages()
    if arguments.start is not None:
        return _replay(parse_start(arguments.start, now_ms()))
    configure_logs("join")
    settings = load(JoinSettings)
    kafka = load(KafkaSettings)
    if settings.core == core_build.INTERPRETED != core_build.running.kind:
        raise SettingsError(f"{core_build.SWITCH} must stand in the environment: it is read before any file")
    log.info("core_chosen", build=core_build.running.kind, reason=core_build.running.reason)
    gc.disable()  # it would look at all that is imported again and again: a tenth of the start
    from faust import Worker  # slow to import: settings are checked first
    from postwatch.streams.faust_glue.app import create_app, join_rules
    from postwatch.streams.faust_glue.internals import start_of
    from postwatch.streams.faust_glue.library_logs import quieten_libraries
    from postwatch.streams.faust_glue.metrics import JoinCollector

    gc.enable()
    join_rules(settings)
    health = Health()
    serve_metrics(settings.metrics_address, "POSTWATCH_JOIN_METRICS_ADDRESS", health, expose)
    renewal = Renewal([KafkaSettings], begin_anew)  # nothing is begun yet
    renewal.watch(kafka.renewal_seconds)
    partitions: list[int] = []
    outage, systemd = OutageLog("kafka", health), Systemd(health)
    quieten_libraries(outage)
    await_server(
        outage,
        lambda: partitions.append(_prepare(kafka, settings)),
        threading.Event(),  # until Faust runs, a signal ends the process at once
        systemd.alive,
    )
    app, worker = create_app(settings, kafka, partitions[0], health, outage, systemd)
    renewal.act = end_in_order  # Faust knows what to do
    REGISTRY.register(JoinCollector(worker))
    gc.collect()
    gc.freeze()
    gc.disable()
    faust_worker = Worker(app, loglevel="WARNING", override_logging=False, quiet=True, redirect_stdouts=False)
    faust_worker.spinner = None  # it writes terminal codes, into log files too
    systemd.watch_loop(faust_worker.loop)
    try:
        faust_worker.execute_from_commandline()
    except SystemExit as ended:
        return EXIT_FAILED if _lost_kafka(start_of(faust_worker)) else int(ended.code or 0)
    finally:
        worker.close()
    return 0


def _prepare(kafka: KafkaSettings, settings: JoinSettings) -> int:
    """The changelog is there and the group's offsets are of this topic; returns the number of partitions."""
    from postwatch.streams.faust_glue.changelog import ensure_changelog
    from postwatch.streams.faust_glue.changelog_topic import changelog_topic
    from postwatch.streams.faust_glue.group_offsets import correct_offsets

    partitions = ensure_changelog(kafka, changelog_topic(settings), settings.group, settings.changelog_replication)
    correct_offsets(kafka, settings.group, kafka.raw_topic, partitions)
    return partitions


def _lost_kafka(started: asyncio.Future[None] | None) -> bool:
    """Whether Kafka went away while the worker started, which Faust does not retry: the supervisor does."""
    from aiokafka.errors import KafkaConnectionError

    if started is None or not started.done() or started.cancelled():
        return False
    return isinstance(started.exception(), KafkaConnectionError)


def parse_start(text: str, now_ms: int) -> int:
    """'2026-11-23T14:00', '2026-11-23 14:00+01:00' or '6h' → ms since the epoch. Raises BadInputError."""
    if age := _AGE.fullmatch(text):
        return now_ms - int(age[1]) * _UNIT_MS[age[2]]
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise BadInputError(
            f"--from {text!r} is not a time: use 2026-11-23T14:00 or an age such as 90m, 6h, 2d"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    start = round(moment.timestamp() * 1000)
    if start > now_ms:
        raise BadInputError(f"--from {text!r} lies in the future (a time without a zone is UTC)")
    return start


def _replay(from_ms: int) -> int:
    configure_logs("replay")
    settings, kafka = load(JoinSettings), load(KafkaSettings)
    from postwatch.streams.contracts.outcome import iso_time
    from postwatch.streams.faust_glue.app import join_rules
    from postwatch.streams.faust_glue.worker import fail
    from postwatch.streams.partition.replay import replay

    rules = join_rules(settings)
    with tempfile.TemporaryDirectory(prefix="postwatch-replay-") as folder:
        report = asyncio.run(replay(kafka, rules, from_ms, Path(folder), fail))
    counts = report.counts
    print(f"Read {report.lines} lines in {report.records} records; sent {counts.rows} rows since {iso_time(from_ms)}.")
    if counts.older_rows:
        print(f"{counts.older_rows} rows of messages that arrived earlier were left as they are.")
    if counts.unreadable:
        print(f"{counts.unreadable} lines are still unreadable (they stay in the dead letters).")
    if report.expired_partitions:
        print(f"Kafka has deleted some of the records of {kafka.raw_topic} since then; all others were read.")
    return 0
