"""Real-looking logs and the rows that must come of them, whatever the way in."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postwatch.streams.contracts.outcome import Attempt, Outcome, to_json_object
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.lines import LineCounts, decode_lines, parse_lines
from postwatch.streams.parsers.log_format import LineParser
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

GOLDEN = Path(__file__).parents[2] / "golden"
LOGS = sorted(GOLDEN.glob("*/*.log"))
IN_ORDER = {
    ("exim-main", "handed-back"),
    ("postfix", "requeued-twice"),
    ("postfix", "redirected"),
    ("postfix", "given-back-from-afar"),
    ("postfix", "held-at-rcpt"),
}
LOGS_IN_ANY_ORDER = [log for log in LOGS if (log.parent.name, log.stem) not in IN_ORDER]
"""Exim logs what a program gives back before that program ends, and a mailbox's rule its copy before the delivery is
over; they are not tied the other way round. A filter with a public address gives a message back while that is open. A
message that was requeued is tied when its line comes, so of two requeues
the first one must come first. A hold without a queue id is of the next message of its process."""
HOSTING_DAY = GOLDEN / "exim-main/hosting-day.log"
SERVER = "web7.hosting.example"
SENT_MS = 1_795_500_000_000
"""24 November 2026: when the logs were shipped, for stamps without a year."""


def parser_of_all() -> LineParser:
    stamps = StampReader(find_zone("UTC", "test"))
    stamps.shipped(SENT_MS)
    return make_parser("auto", stamps)


def rows_of(blocks: list[list[str]]) -> list[dict[str, Any]]:
    """Join blocks of lines one after the other; the rows that a table would show, sorted."""
    joiner = Joiner(AccountBook(None))
    parser = parser_of_all()
    newest: dict[tuple[Any, ...], Outcome] = {}
    counts = LineCounts()

    def keep(rows: list[Outcome]) -> None:
        for row in rows:
            key = (row.account, row.queued_at, row.queue_id, row.recipient, row.direction)
            if key not in newest or row.version >= newest[key].version:
                newest[key] = row

    for block in blocks:
        parsed = parse_lines(parser, block, counts)
        assert parsed.unreadable == []
        joiner.add(SERVER, parsed.events)
        keep(joiner.take_dirty()[0])
    for message in joiner.open_messages():
        keep(joiner.pending_rows(message))
    return ordered([to_json_object(row) for row in newest.values() if not row.is_deleted])


def ordered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["account"], row["queue_id"], row["recipient"], row["direction"]))


def lines_of(log: Path) -> list[str]:
    return decode_lines(log.read_bytes())


def golden_rows(log: Path) -> list[dict[str, Any]]:
    """A column that the file does not name has its default: so a new one leaves all files as they are."""
    rows = [json.loads(line) for line in log.with_suffix(".rows.jsonl").read_text().splitlines()]
    defaults = to_json_object(Outcome(attempts=(Attempt(),)))
    [attempt] = defaults["attempts"]
    return ordered([{**defaults, **row, "attempts": [{**attempt, **one} for one in row["attempts"]]} for row in rows])


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_rows_are_the_golden_ones(log: Path) -> None:
    assert rows_of([lines_of(log)]) == golden_rows(log)


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_cut_into_records_changes_nothing(log: Path, data: st.DataObject) -> None:
    lines = lines_of(log)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(lines) - 1))))
    blocks = [lines[start:end] for start, end in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
    assert rows_of(blocks) == golden_rows(log)


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_repetition_changes_nothing(log: Path, data: st.DataObject) -> None:
    """A shipper begins anew as often as it dies, and lines come twice at once.

    `streams/partition/processed_ranges.py` keeps out what it repeats of messages that were closed long before:
    `test_partition_join.py::test_crashes_change_no_row`.
    """
    lines = lines_of(log)
    prefixes = data.draw(st.lists(st.integers(1, len(lines)), max_size=3))
    times = data.draw(st.integers(1, 2))
    blocks = [[line for line in lines[:end] for _ in range(times)] for end in [*prefixes, len(lines)]]
    assert rows_of(blocks) == golden_rows(log)


@pytest.mark.parametrize("log", LOGS_IN_ANY_ORDER, ids=lambda log: log.stem)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_interleaving_of_messages_changes_nothing(log: Path, seed: int) -> None:
    """Lines of one message, and of the connection that it came by, keep their order; others are shuffled."""
    chooser = random.Random(seed)
    parser = parser_of_all()
    queues: dict[str, list[str]] = {}
    sessions: dict[str, str] = {}
    told: list[tuple[str, str]] = []
    for line in lines_of(log):
        parsed = parser.parse(line)
        first = parsed[0] if isinstance(parsed, list) else parsed
        queue_id = getattr(first, "queue_id", "")
        if getattr(first, "session_id", ""):
            sessions[queue_id] = getattr(first, "session_id", "")
        told.append((queue_id, line))
    for queue_id, line in told:
        queues.setdefault(sessions.get(queue_id, queue_id), []).append(line)
    shuffled: list[str] = []
    while queues:
        name = chooser.choice(list(queues))
        shuffled.append(queues[name].pop(0))
        if not queues[name]:
            del queues[name]
    assert rows_of([shuffled]) == golden_rows(log)
