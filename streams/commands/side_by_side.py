"""`postwatch read` in several processes: one reads and parses, one joins, and the first one sorts and writes the rows.

Rows go between two of them as bytes, and events as the tuples of their fields, which cost least to send.
Invariant: the turns are the same, in the same order, in one process and in several.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from postwatch.streams.commands.child_iterator import Form, MovableIterator, in_child
from postwatch.streams.commands.log_rows import Turn
from postwatch.streams.commands.parsing import Block, FileEnd
from postwatch.streams.contracts.packed_rows import PackedRows
from postwatch.streams.parsers.lines import LineCounts
from postwatch.streams.parsers.sent_events import from_fields, to_fields

FIRST_TURNS = 16
"""Of this process: others would cost more than they give for a small file."""
MOST_PROCESSES = 3


def movable(parsed: Iterator[Block | FileEnd]) -> MovableIterator[Block | FileEnd]:
    """The same; a process of its own can go on with it."""
    return MovableIterator(parsed, Form(_pack_parsed, _unpack_parsed))


def side_by_side(turns: Iterator[Turn], parsed: MovableIterator[Block | FileEnd], processes: int) -> Iterator[Turn]:
    """The turns, which are made of `parsed`; after the first ones by a second process, for which a third one parses."""
    if processes == 1:
        yield from turns
        return
    yield from islice(turns, FIRST_TURNS)
    if threading.active_count() > 1:  # a fork would copy what they hold
        yield from turns
        return
    yield from in_child(_join(turns, parsed, processes), Form(_pack_turn, _unpack_turn))


def usable_cores() -> int:
    """How many processes can run side by side."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _join(turns: Iterator[Turn], parsed: MovableIterator[Block | FileEnd], processes: int) -> Iterator[Turn]:
    """Of the second process."""
    if processes == MOST_PROCESSES:
        parsed.move()
    yield from turns


def _pack_turn(turn: Turn) -> object:
    return tuple(turn.rows), turn.told, turn.counts and _pack_counts(turn.counts)


def _unpack_turn(sent: Any) -> Turn:
    rows, told, counts = sent
    return Turn(PackedRows(*rows), told, counts and _unpack_counts(counts))


def _pack_parsed(one: Block | FileEnd) -> object:
    if isinstance(one, Block):
        return to_fields(one.events), one.unreadable
    return one.name, _pack_counts(one.counts)


def _unpack_parsed(sent: Any) -> Block | FileEnd:
    first, second = sent
    if isinstance(first, str):
        return FileEnd(first, _unpack_counts(second))
    return Block(from_fields(first), second)


def _pack_counts(counts: LineCounts) -> object:
    """In the order of its fields, without the classes that `marshal` does not know."""
    return counts.lines, counts.events, dict(counts.ignored), dict(counts.unreadable), counts.suppressed_lines


def _unpack_counts(sent: Any) -> LineCounts:
    lines, events, ignored, unreadable, suppressed_lines = sent
    return LineCounts(lines, events, Counter(ignored), Counter(unreadable), suppressed_lines)
