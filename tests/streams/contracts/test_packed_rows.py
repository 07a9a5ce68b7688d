"""Rows as bytes: keys keep the order of their cells, and the compiled code makes the same bytes as the other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from postwatch.streams import core_build
from postwatch.streams.contracts import packed_rows
from postwatch.streams.contracts.outcome import Attempt, Outcome
from postwatch.streams.contracts.outcome_json import encode_row
from postwatch.streams.contracts.packed_rows import PackedRows, key_of, pack_interpreted, pack_rows, place_of

only_compiled = pytest.mark.skipif(
    core_build.running.kind != core_build.COMPILED, reason="tests/deploy/test_core_build.py runs it compiled"
)
END_OF_9999_MS = 253_402_300_800_000
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.text('\0\1\2\x1f"\\/\x7fä', max_size=20)
TIMES = st.integers(0, END_OF_9999_MS - 1)
WORDS = st.integers(0, 65_535)
ATTEMPTS = st.builds(Attempt, TIMES, TEXTS, WORDS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS)
LINES = st.lists(TEXTS, max_size=3)


def make_row(cells: dict[str, Any]) -> Outcome:
    return Outcome(**cells)


ROWS = st.fixed_dictionaries(
    {
        **dict.fromkeys(("server", "queue_id", "recipient", "account", "direction", "subject"), TEXTS),
        "size_bytes": st.integers(0, 2**64 - 1),
        "queued_at": TIMES,
        "updated_at": TIMES,
        "smtp_code": WORDS,
        "attempts": st.lists(ATTEMPTS, max_size=3).map(tuple),
        "log_lines": LINES | LINES.map(tuple),
        "version": st.integers(0, 2**64 - 1),
        "is_deleted": st.integers(0, 1),
    }
).map(make_row)


def by_compiled_code(rows: list[Outcome], start: int = 0) -> PackedRows:
    pack = packed_rows._find_packer()
    assert pack is not None
    return PackedRows(*pack(rows, start))


@only_compiled
@settings(deadline=None, max_examples=400)
@given(st.lists(ROWS, max_size=4), st.integers(0, 2**60))
def test_the_bytes_are_those_of_the_interpreted_code(rows: list[Outcome], start: int) -> None:
    assert by_compiled_code(rows, start) == pack_interpreted(rows, start)


@only_compiled
def test_every_character_and_many_days_are_written_as_the_interpreted_code_does() -> None:
    characters = [chr(code) for code in (*range(0x3000), *range(0xFFF0, 0x10010))]
    rows = [Outcome(subject=one, response=one * 9, log_lines=(f"0123456{one}89", one)) for one in characters]
    rows += [Outcome(updated_at=day * 86_400_000 + day) for day in range(0, END_OF_9999_MS // 86_400_000, 13)]
    rows += [Outcome(queued_at=0), Outcome(updated_at=END_OF_9999_MS - 1), Outcome(size_bytes=2**64 - 1)]
    assert by_compiled_code(rows) == pack_interpreted(rows)


@only_compiled
@pytest.mark.parametrize(
    "cells",
    [
        {"subject": None},
        {"subject": b"x"},
        {"subject": "\ud800"},
        {"size_bytes": -1},
        {"size_bytes": 2**64},
        {"size_bytes": "1"},
        {"updated_at": END_OF_9999_MS},
        {"attempts": ("x",)},
        {"attempts": ((1, "x"),)},
        {"log_lines": "x"},
        {"log_lines": (1,)},
        {"queue_id": 7},
        {"queued_at": -1},
        {"version": -1},
    ],
)
def test_cells_that_it_does_not_know_are_left_to_the_interpreted_code(cells: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        by_compiled_code([Outcome(**cells)])


def test_a_number_of_another_type_is_written_all_the_same() -> None:
    assert b'"size_bytes":true,' in pack_rows([Outcome(size_bytes=True)]).text


@given(st.lists(ROWS, min_size=2, max_size=6))
@example([Outcome(server="a\0"), Outcome(server="a", queue_id="\0")])
def test_keys_have_the_order_of_their_cells(rows: list[Outcome]) -> None:
    cells = [(row.queued_at, row.server, row.queue_id, row.recipient, row.account, row.direction) for row in rows]
    keys = list(map(key_of, pack_rows(rows).entries))
    assert [key for _, key in sorted(zip(cells, keys, strict=True))] == sorted(keys)
    assert len(set(keys)) == len(set(cells))
    assert not any(one != other and one.startswith(other) for one in keys for other in keys)


def test_entries_of_one_key_have_the_order_of_their_versions_then_that_in_which_they_came() -> None:
    versions = [7, 256, 7, 0, 2**64 - 1]
    entries = pack_rows([Outcome(version=version) for version in versions], 1 << 40).entries
    assert sorted(entries) == [entries[place] for place in (3, 0, 2, 1, 4)]


def test_an_entry_says_where_the_line_is_and_a_tombstone_has_none() -> None:
    rows = [Outcome(subject="one"), Outcome(is_deleted=1), Outcome(subject="three")]
    packed = pack_rows(rows, 1_000)
    first, second, third = (slice(*(place - 1_000 for place in place_of(entry))) for entry in packed.entries)
    assert packed.text[first] == encode_row(rows[0]) + b"\n"
    assert packed.text[second] == b""
    assert packed.text[third] == encode_row(rows[2]) + b"\n"
    assert len(packed.text) == third.stop
