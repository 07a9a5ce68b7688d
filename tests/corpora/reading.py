"""Logs to rows as the stream would make them, and the ways in which the same lines may come. Pure but for files.

Whatever the way, the rows must be the same: lines of different messages interleaved differently, cut into records at
any place, any prefix seen twice.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.events import Ignored, Unreadable
from postwatch.streams.parsers.lines import LineCounts, decode_lines, parse_lines
from postwatch.streams.parsers.log_format import LineParser
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

SERVER = "mx1.corpus.example"
SENT_MS = 1_796_000_000_000
"""The last day of November 2026: stamps without a year are of the months before."""
Rows = dict[tuple[object, ...], Outcome]
"""By key, as reports show them: without what was retracted, and without what is known better of a whole message."""


def read_lines(path: Path) -> list[str]:
    return decode_lines(path.read_bytes())


def new_parser(log_format: str) -> LineParser:
    stamps = StampReader(find_zone("UTC", "a corpus"))
    stamps.shipped(SENT_MS)
    return make_parser(log_format, stamps)


def rows_of(blocks: Iterable[Sequence[str]], log_format: str) -> Rows:
    """Join blocks of lines of one server, one after the other."""
    joiner, parser, counts = Joiner(AccountBook(None)), new_parser(log_format), LineCounts()
    newest: Rows = {}
    for block in blocks:
        joiner.add(SERVER, parse_lines(parser, block, counts).events)
        _keep_newest(newest, joiner.take_dirty()[0])
    for message in joiner.open_messages():
        _keep_newest(newest, joiner.pending_rows(message))
    shown = {key: row for key, row in newest.items() if not row.is_deleted}
    whole = {(row.queue_id, row.recipient) for row in shown.values() if row.account}
    return {key: row for key, row in shown.items() if row.account or (row.queue_id, row.recipient) not in whole}


def _keep_newest(newest: Rows, fresh: Iterable[Outcome]) -> None:
    for row in fresh:
        key = (row.account, row.queued_at, row.server, row.queue_id, row.recipient, row.direction)
        known = newest.get(key)
        if known is None or row.version >= known.version:
            newest[key] = row


def message_of(parser: LineParser, line: str) -> str:
    """The queue id that a line is about; empty for a line of no message."""
    parsed = parser.parse(line)
    if isinstance(parsed, Ignored | Unreadable):
        return ""
    return parsed[0].queue_id if isinstance(parsed, list) else parsed.queue_id


def interleave(lines: Sequence[str], log_format: str, seed: int) -> list[str]:
    """The same lines in another order, in which each message keeps its own."""
    parser = new_parser(log_format)
    messages = [message_of(parser, line) for line in lines]
    queues: dict[str, list[str]] = {}
    for message, line in zip(messages, lines, strict=True):
        queues.setdefault(message, []).append(line)
    random.Random(seed).shuffle(messages)
    following = {message: iter(queue) for message, queue in queues.items()}
    return [next(following[message]) for message in messages]


def cut(lines: Sequence[str], seed: int) -> list[Sequence[str]]:
    """Records that end anywhere, of one line to a few hundred."""
    chooser = random.Random(seed)
    records: list[Sequence[str]] = []
    start = 0
    while start < len(lines):
        end = start + int(chooser.paretovariate(0.7))
        records.append(lines[start:end])
        start = end
    return records
