"""`postwatch outcomes`: the topic of delivery rows as newline-delimited JSON, for people and scripts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import msgspec
from confluent_kafka import Message
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.settings import load
from postwatch.streams.contracts.outcome import REASONS, RESULTS, Outcome, to_json_object
from postwatch.streams.contracts.outcome_records import decode_outcomes, from_table
from postwatch.streams.contracts.topic_reader import read_topic


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print the topic of outcomes, one JSON object for each row: the rows it holds now, or with --follow the new "
        "ones. Joins no consumer group and commits nothing. The same row may appear again with a higher version; "
        "is_deleted=1 retracts it."
    )
    parser.add_argument("--follow", action="store_true", help="print new rows as they come, until Ctrl-C")
    parser.add_argument("--from-beginning", action="store_true", help="with --follow: print the stored rows first")
    for name, metavar, words in (
        ("account", "ACCOUNT", "only rows of this account: user@domain"),
        ("domain", "DOMAIN", "only rows of accounts of this domain"),
        ("status", "STATUS", "only rows with this status"),
        ("reason", "REASON", "only rows that failed or wait for this reason"),
        ("server", "SERVER", "only rows of this server"),
    ):
        choices = {"status": tuple(RESULTS), "reason": tuple(REASONS)}.get(name)
        shown = f"{words}: {', '.join(choices)}" if choices else words
        parser.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar=metavar,
            type=str.lower,
            choices=choices,
            help=f"{shown}; repeatable",
        )


def run(arguments: argparse.Namespace) -> int:
    kafka = load(KafkaSettings)
    encoder = msgspec.json.Encoder()
    wanted = _filter(arguments)
    out = sys.stdout.buffer
    for message in read_topic(
        kafka,
        kafka.outcomes_topic,
        from_beginning=arguments.from_beginning or not arguments.follow,
        follow=arguments.follow,
        warn=_warn,
    ):
        try:
            objects = [to_json_object(row) for row in _rows(message) if wanted(row)]
        except (ValueError, OverflowError) as error:
            _warn(f"{message.topic()}, partition {message.partition()}, offset {message.offset()}: {error}")
            continue
        out.write(b"".join(encoder.encode(each) + b"\n" for each in objects))
        out.flush()
    return 0


def _rows(message: Message) -> list[Outcome]:
    return from_table(decode_outcomes(message.value() or b""))


def _filter(arguments: argparse.Namespace) -> Callable[[Outcome], bool]:
    """Whether a row has one of the values of each option that was given. A retraction has those of its row."""
    columns = {"account": "account", "domain": "account_domain", "status": "status", "reason": "reason"}
    given = {
        column: frozenset(word.removeprefix("@") if option == "domain" else word for word in words)
        for option, column in {**columns, "server": "server"}.items()
        if (words := getattr(arguments, option))
    }

    def wanted(row: Outcome) -> bool:
        return all(getattr(row, column).lower() in words for column, words in given.items())

    return wanted


def _warn(words: str) -> None:
    print(f"postwatch outcomes: {words}", file=sys.stderr)
