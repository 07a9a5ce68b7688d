"""Blocks of lines: each line comes to the same wherever it stands, and a line that is too long is cut."""

from __future__ import annotations

import random

import pytest
from postwatch.producers.record import CUT_MARK, MAX_LINE_BYTES
from postwatch.streams.parsers.events import Event
from postwatch.streams.parsers.lines import LineCounts, decode_lines, parse_lines
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

_SENT_MS = 1_795_900_000_000
_LINES = (
    "2026-11-28 19:09:55 1xXNo3-0000Hx-6E <= a@b.example U=c P=local S=7 for d@e.example",
    "Nov 28 19:09:56 mx postfix/qmgr[7]: 4F0A1B2C3D: from=<a@b.example>, size=7, nrcpt=1 (queue active)",
    "2026-11-28 19:09:57 1xXNo3-0000Hx-6E Completed",
    "2026-11-28T19:09:57.000000+00:00 mx postfix/qmgr[7]: 4F0A1B2C3D: removed",
    "Nov 28 19:09:58 mx sshd[7]: session opened",
    "",
    "  a header",
)


def _parse(lines: list[str]) -> tuple[list[Event], LineCounts]:
    counts = LineCounts()
    parser = make_parser("auto", StampReader(find_zone("UTC", "test"), sent_ms=_SENT_MS))
    return parse_lines(parser, lines, counts).events, counts


@pytest.mark.parametrize("seed", range(5))
def test_a_line_comes_to_the_same_in_any_order_of_formats(seed: int) -> None:
    lines = random.Random(seed).choices(_LINES, k=50)
    events, counts = _parse(lines)
    assert events == [event for line in lines for event in _parse([line])[0]]
    assert counts.lines == 50 == counts.events + counts.ignored.total() + counts.unreadable.total()


@pytest.mark.parametrize("before", [0, 1, MAX_LINE_BYTES, 2 * MAX_LINE_BYTES])
@pytest.mark.parametrize("behind", [0, 1, 2 * MAX_LINE_BYTES])
def test_only_what_is_too_long_is_cut(before: int, behind: int) -> None:
    around = ["x" * 99] * (before // 100), ["y" * 99] * (behind // 100)
    for length, is_cut in ((MAX_LINE_BYTES, False), (MAX_LINE_BYTES + 1, True)):
        lines = [*around[0], "z" * length, *around[1]]
        found = decode_lines("\n".join([*lines, ""]).encode())
        long_line = found.pop(len(around[0]))
        assert found == [*around[0], *around[1]]
        assert len(long_line) == MAX_LINE_BYTES
        assert long_line.endswith(CUT_MARK.decode()) == is_cut
