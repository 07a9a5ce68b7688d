"""Heartbeats as rows of the table `servers`."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.producers.record import Heartbeat, decode_headers
from postwatch.streams.contracts.heartbeat import SCHEMA, JoinedLines, decode_heartbeat, encode_heartbeat


def test_a_heartbeat_is_one_row() -> None:
    beat = Heartbeat(
        sent_ms=1_795_441_338_250,
        last_line_ms=1_795_441_337_000,
        lag_bytes=5,
        files=2,
        shipper_version="0.1",
        started_ms=1_795_438_800_000,
        truncations=1,
        unread_files=2,
        cut_lines=3,
    )
    letters = (("line", 4), ("record", 5))
    joined = JoinedLines(1_795_438_800_000, 100, 10, 60_000, ("exim", "postfix"), letters, 6, -7)
    table = decode_heartbeat(encode_heartbeat("mail1", beat, joined))
    assert table.schema.equals(SCHEMA)
    assert table.to_pylist() == [
        {
            "server": "mail1",
            "sent_at": datetime.datetime(2026, 11, 23, 13, 42, 18, 250_000, datetime.UTC),
            "last_line_at": datetime.datetime(2026, 11, 23, 13, 42, 17, 0, datetime.UTC),
            "lag_bytes": 5,
            "files": 2,
            "shipper_version": "0.1",
            "retired_at": datetime.datetime.fromtimestamp(0, datetime.UTC),
            "shipper_started_at": datetime.datetime(2026, 11, 23, 13, 0, 0, 0, datetime.UTC),
            "truncations": 1,
            "unread_files": 2,
            "cut_lines": 3,
            "joined_since": datetime.datetime(2026, 11, 23, 13, 0, 0, 0, datetime.UTC),
            "lines": 100,
            "recent_lines": 10,
            "recent_ms": 60_000,
            "formats": ["exim", "postfix"],
            "letter_reasons": ["line", "record"],
            "letter_counts": [4, 5],
            "suppressed_lines": 6,
            "clock_skew_ms": -7,
        }
    ]


HEADERS = st.tuples(
    st.sampled_from(["sent", "heartbeat"]), st.binary() | st.from_regex(rb"[0-9]{1,20}", fullmatch=True)
)


@given(st.lists(HEADERS))
def test_whatever_headers_say_becomes_a_row(headers: list[tuple[str, bytes]]) -> None:
    beat = decode_headers([*headers, ("heartbeat", b'{"lag_bytes": 99999999999999999999, "files": 4294967296}')])
    assert isinstance(beat, Heartbeat)
    assert decode_heartbeat(encode_heartbeat("mail1", beat)).num_rows == 1


def test_noise_is_no_heartbeat() -> None:
    with pytest.raises(ValueError, match="not an Arrow stream"):
        decode_heartbeat(b"noise")
