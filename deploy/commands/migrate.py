"""`postwatch migrate`: create or upgrade the tables and the topics."""

from __future__ import annotations

import argparse

from postwatch.deploy.access import grant_access
from postwatch.deploy.migrate import Place, migrate
from postwatch.deploy.topic_settings import TopicSettings
from postwatch.deploy.topics import create_topics
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.settings import load
from postwatch.streams.clickhouse.client import TRANSPORT_ERRORS, connect, unavailable
from postwatch.streams.settings import ClickHouseSettings, JoinSettings

_PARTITIONS = 6


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Create or upgrade the tables in ClickHouse and, with --topics, the topics in Kafka. "
        "Safe to repeat: it prints what it did, and skips what is already done."
    )
    parser.add_argument(
        "--cluster",
        default="",
        metavar="NAME",
        help="create replicated, distributed tables on all servers of this ClickHouse cluster; give it at every run",
    )
    parser.add_argument(
        "--access",
        action="store_true",
        help="create the roles, limits and row policies of ClickHouse too; the user needs the right to manage access",
    )
    parser.add_argument("--topics", action="store_true", help="create or upgrade the topics too")
    parser.add_argument(
        "--partitions",
        type=_partitions,
        default=_PARTITIONS,
        metavar="N",
        help="partitions of new topics; no more join workers than this can run (default: %(default)s)",
    )
    parser.add_argument(
        "--raise-partitions",
        type=_partitions,
        metavar="N",
        help="instead: raise the partitions of the topics that are there, and move the parked messages of the join; "
        "stop the shippers first, then, when everything is joined, the join (docs/partitions.md)",
    )
    parser.add_argument(
        "--undrained",
        action="store_true",
        help="with --raise-partitions: although records are not joined yet; messages under way may stay pending",
    )


def _partitions(text: str) -> int:
    """A topic has at least one. Checked here, before anything is changed in ClickHouse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of partitions: use 1 or more")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    kafka = load(KafkaSettings)
    if arguments.raise_partitions:
        from postwatch.deploy.partitions import PartitionRaise  # imports Faust, which is slow

        PartitionRaise(kafka, load(JoinSettings), arguments.raise_partitions, print).run(undrained=arguments.undrained)
        return 0
    settings, topics = load(ClickHouseSettings), load(TopicSettings)
    try:
        client = connect(settings, database="")
        done = migrate(client, settings, arguments.cluster)
        if arguments.access:
            done += grant_access(client, Place(settings.database, settings.retention_days, arguments.cluster))
    except TRANSPORT_ERRORS as error:
        raise unavailable(settings, error) from error
    for line in done or [f"the tables of {settings.database} are up to date"]:
        print(line)
    if arguments.topics:
        for topic, state in create_topics(kafka, arguments.partitions, topics).items():
            print(f"topic {topic}: {state}")
    return 0
