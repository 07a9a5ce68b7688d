"""`postwatch erase`: an account, or an address wherever it stands, on request of whom it belongs to."""

from __future__ import annotations

import argparse

import structlog
from postwatch.deploy import erase
from postwatch.deploy.migrate import Place
from postwatch.deploy.topics import topic_configs, topic_retentions
from postwatch.producers.service.errors import BadInputError, UnavailableError
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.lifecycle import now_ms
from postwatch.producers.service.logs import configure_logs
from postwatch.producers.service.settings import load
from postwatch.query.commands.scopes import operator
from postwatch.query.wording import count
from postwatch.streams.clickhouse.client import TRANSPORT_ERRORS, connect, unavailable
from postwatch.streams.contracts.outcome import iso_time
from postwatch.streams.settings import ClickHouseSettings

log = structlog.get_logger()


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Erase an account from every table, and say when it is gone from Kafka's topics. Without --yes it only says "
        "what there is. Rows of other accounts that name the address stay, unless --everywhere is given."
    )
    parser.add_argument("account", metavar="ACCOUNT|ADDRESS", help="user@domain, or user@server for a system user")
    parser.add_argument("--yes", action="store_true", help="erase it; this can't be undone")
    parser.add_argument(
        "--everywhere",
        action="store_true",
        help="also rows of other accounts in which the address is sender, recipient or login, or stands in a reply or "
        "a log line",
    )
    parser.add_argument(
        "--cluster", default="", metavar="NAME", help="the ClickHouse cluster, as at `postwatch migrate`"
    )


def run(arguments: argparse.Namespace) -> int:
    configure_logs("erase")
    account = erase.read_address(arguments.account)
    settings, kafka = load(ClickHouseSettings), load(KafkaSettings)
    place = Place(settings.database, settings.retention_days, arguments.cluster)
    try:
        client = connect(settings, database="", timeout_seconds=600.0)
        found = erase.find(client, place, account)
        print(f"{account.name}: {count(found.own, 'row')} of the account")
        print(f"other accounts: {count(found.naming, 'row')} with it as sender, recipient or login")
        print(f"other accounts: {count(found.mentioning, 'more row')} with it in a reply or a log line")
        if not arguments.yes:
            raise BadInputError("nothing was erased: add --yes to erase this, which can't be undone")
        erase.erase(client, place, account, everywhere=arguments.everywhere, say=print)
    except TRANSPORT_ERRORS as error:
        raise unavailable(settings, error) from error
    log.info(
        "account_erased",
        account=account.name,
        rows=found.own,
        of_others=found.naming + found.mentioning if arguments.everywhere else 0,
        by=operator(),
    )
    if not arguments.everywhere and found.naming + found.mentioning:
        print("the rows of other accounts stay; --everywhere erases them too")
    _say_topics(kafka)
    return 0


def _say_topics(kafka: KafkaSettings) -> None:
    """Nothing in a topic can be deleted by itself: it goes with its segment."""
    try:
        retentions = topic_retentions(kafka)
    except UnavailableError as error:
        print(f"Kafka could not be asked how long the topics keep their records: {error}")
        retentions = {topic: int(config["retention.ms"]) for topic, config in topic_configs(kafka).items()}
        print("as `postwatch migrate --topics` makes them:")
    for topic in (kafka.raw_topic, kafka.outcomes_topic, kafka.dead_letters_topic):
        kept_ms = retentions.get(topic, -1)
        until = f"until {iso_time(now_ms() + kept_ms)[:16].replace('T', ' ')} UTC" if kept_ms >= 0 else "for ever"
        print(f"topic {topic}: may hold it {until}, and a segment's length beyond")
    print("what a replay of these records, or mail of today, brings is a new row: run this again after that time")
