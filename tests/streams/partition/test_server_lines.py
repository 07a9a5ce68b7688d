"""What a worker knows of a server's lines, through windows, clocks that jump and more servers than it has room for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.streams.contracts.heartbeat import NOTHING_JOINED
from postwatch.streams.partition import server_lines
from postwatch.streams.partition.server_lines import MOST_FORMATS, RECENT_MS, ServerLines, ServersLines


@given(st.integers(1, 1000), st.integers(0, 100_000))
def test_the_recent_lines_give_the_rate(lines_a_second: int, start_ms: int) -> None:
    one = ServerLines(start_ms)
    for second in range(600):
        one.add(start_ms + second * 1000, lines_a_second, 0)
    told = one.joined(start_ms + 599_999)
    assert told.lines == 600 * lines_a_second
    assert RECENT_MS <= told.recent_ms <= 2 * RECENT_MS
    assert told.recent_lines / told.recent_ms * 1000 == pytest.approx(lines_a_second, rel=0.02)


def test_a_silence_empties_the_window() -> None:
    one = ServerLines(0)
    one.add(0, 5000, 0)
    assert one.joined(10 * RECENT_MS).recent_lines == 0
    assert one.joined(10 * RECENT_MS).lines == 5000


@given(st.lists(st.tuples(st.integers(0, 1 << 42), st.integers(0, 100))))
def test_a_clock_that_jumps_breaks_nothing(steps: list[tuple[int, int]]) -> None:
    one = ServerLines(steps[0][0] if steps else 0)
    for at_ms, lines in steps:
        one.add(at_ms, lines, lines)
        told = one.joined(at_ms)
        assert 0 <= told.recent_lines <= told.lines
        assert 0 <= told.recent_ms <= 2 * RECENT_MS
    assert one.suppressed_lines == sum(lines for _, lines in steps)


def test_the_least_skew_of_the_last_minutes_counts() -> None:
    """What a shipper sends late, after an outage, is behind; then it catches up."""
    one = ServerLines(0)
    one.stamped(1000, -3_600_000)
    one.stamped(2000, 1500)
    assert one.joined(3000).clock_skew_ms == 500
    assert one.joined(3 * RECENT_MS).clock_skew_ms == 0  # nothing is known of the last minutes


def test_formats_and_servers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    one = ServerLines(0)
    for number in range(2 * MOST_FORMATS):
        one.seen_format(f"format-{number}")
    assert len(one.joined(0).formats) == MOST_FORMATS
    monkeypatch.setattr(server_lines, "MOST_SOURCES", 1)
    servers = ServersLines()
    assert servers.of("first", 0)
    assert servers.of("second", 0) is None
    servers.count_letter("second", "line")
    assert servers.joined("second", 0) == NOTHING_JOINED
