"""`postwatch outcomes`: the topic of delivery rows as newline-delimited JSON, for people and scripts."""

from __future__ import annotations

import argparse
import sys

import msgspec
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.settings import load
from postwatch.streams.contracts.outcome import decode_outcomes, from_table, to_json_object
from postwatch.streams.contracts.topic_reader import read_topic


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print the topic of outcomes, one JSON object for each row: the rows it holds now, or with --follow the new "
        "ones. Joins no consumer group and commits nothing. The same row may appear again with a higher version; "
        "is_deleted=1 retracts it."
    )
    parser.add_argument("--follow", action="store_true", help="print new rows as they come, until Ctrl-C")
    parser.add_argument("--from-beginning", action="store_true", help="with --follow: print the stored rows first")


def run(arguments: argparse.Namespace) -> int:
    kafka = load(KafkaSettings)
    encoder = msgspec.json.Encoder()
    out = sys.stdout.buffer
    for message in read_topic(
        kafka,
        kafka.outcomes_topic,
        from_beginning=arguments.from_beginning or not arguments.follow,
        follow=arguments.follow,
        warn=_warn,
    ):
        try:
            objects = [to_json_object(row) for row in from_table(decode_outcomes(message.value() or b""))]
        except (ValueError, OverflowError) as error:
            _warn(f"{message.topic()}, partition {message.partition()}, offset {message.offset()}: {error}")
            continue
        out.write(b"".join(encoder.encode(each) + b"\n" for each in objects))
        out.flush()
    return 0


def _warn(words: str) -> None:
    print(f"postwatch outcomes: {words}", file=sys.stderr)
