"""The ranges of seen bytes against a plain set of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.streams.partition import processed_ranges
from postwatch.streams.partition.processed_ranges import FileRanges, ProcessedRanges, decode_ranges, encode_ranges

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda pair: (pair[0], pair[0] + pair[1])))


@given(ranges=RANGES, asked=st.tuples(st.integers(0, 60), st.integers(1, 20)))
def test_ranges_hold_exactly_what_was_added(ranges: list[tuple[int, int]], asked: tuple[int, int]) -> None:
    file = FileRanges()
    model: set[int] = set()
    for start, end in ranges:
        file.add(start, end, 1)
        model.update(range(start, end))
    start, end = asked[0], asked[0] + asked[1]
    assert file.covers(start, end) == model.issuperset(range(start, end))
    until = file.processed_until(start)
    assert model.issuperset(range(start, until))
    assert until not in model
    assert file.starts == sorted(file.starts)
    assert all(before < after for before, after in zip(file.ends, file.starts[1:], strict=False))


def test_too_many_pieces_forget_the_first() -> None:
    file = FileRanges()
    for number in range(processed_ranges.MOST_RANGES + 5):
        file.add(number * 10, number * 10 + 5, 1)
    assert len(file.starts) == processed_ranges.MOST_RANGES
    assert not file.covers(0, 5)
    assert file.covers((processed_ranges.MOST_RANGES + 4) * 10, (processed_ranges.MOST_RANGES + 4) * 10 + 5)


def test_a_server_keeps_its_newest_files() -> None:
    seen = ProcessedRanges()
    for number in range(processed_ranges.FILES_A_SERVER + 3):
        seen.add("web1", f"file{number}", 0, 10, now_ms=1000 + number)
    assert len(seen.servers["web1"]) == processed_ranges.FILES_A_SERVER
    assert "file0" not in seen.servers["web1"]
    assert f"file{processed_ranges.FILES_A_SERVER + 2}" in seen.servers["web1"]


def test_quiet_files_are_forgotten() -> None:
    seen = ProcessedRanges()
    seen.add("web1", "old", 0, 10, now_ms=0)
    seen.add("web2", "new", 0, 10, now_ms=processed_ranges.FORGET_AFTER_MS)
    seen.forget_quiet(processed_ranges.FORGET_AFTER_MS + 1)
    assert set(seen.servers) == {"web2"}


def test_stored_marks_come_back() -> None:
    seen = ProcessedRanges()
    seen.add("web1", "file", 5, 10, now_ms=7)
    assert decode_ranges(encode_ranges(seen)).file("web1", "file").covers(5, 10)
    assert decode_ranges(None).servers == {}


def test_marks_of_a_newer_version_are_refused() -> None:
    with pytest.raises(ValueError, match="newer Postwatch"):
        decode_ranges(b"\x09whatever")
