"""`postwatch read` in two processes: one reads and parses, the other one joins, sorts and writes the rows.

Events go between them as the tuples of their fields, which cost least to send.
Invariant: what is parsed is the same, in the same order, in one process and in two.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from postwatch.streams.commands.child_iterator import Form, in_child
from postwatch.streams.commands.parsing import Block, FileEnd
from postwatch.streams.parsers.lines import LineCounts
from postwatch.streams.parsers.sent_events import from_fields, to_fields

FIRST_BLOCKS = 16
"""Of this process: another one would cost more than it gives for a small file."""
MOST_PROCESSES = 2


def side_by_side(parsed: Iterator[Block | FileEnd], processes: int) -> Iterator[Block | FileEnd]:
    """The same; after the first blocks another process reads and parses."""
    if processes == 1:
        yield from parsed
        return
    yield from islice(parsed, FIRST_BLOCKS)
    if threading.active_count() > 1:  # a fork would copy what they hold
        yield from parsed
        return
    yield from in_child(parsed, Form(_pack, _unpack))


def usable_cores() -> int:
    """How many processes can run side by side."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _pack(one: Block | FileEnd) -> object:
    if isinstance(one, Block):
        return to_fields(one.events), one.unreadable
    counts = one.counts
    return one.name, (
        counts.lines,
        counts.events,
        dict(counts.ignored),
        dict(counts.unreadable),
        counts.suppressed_lines,
    )


def _unpack(sent: Any) -> Block | FileEnd:
    first, second = sent
    if not isinstance(first, str):
        return Block(from_fields(first), second)
    lines, events, ignored, unreadable, suppressed_lines = second
    return FileEnd(first, LineCounts(lines, events, Counter(ignored), Counter(unreadable), suppressed_lines))
