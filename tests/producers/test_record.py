"""Headers of mail.raw: what is encoded comes back, and whatever a stranger sends means something without raising."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st
from postwatch.producers.record import Heartbeat, RawHeaders, decode_headers

OFFSETS = st.integers(-1, (1 << 63) - 1)
TIMES = st.integers(0, 253_402_300_799_999)


@given(st.builds(RawHeaders, st.text(min_size=1), st.text(), st.text(), OFFSETS, OFFSETS, TIMES))
def test_headers_of_lines_come_back(headers: RawHeaders) -> None:
    assert decode_headers(headers.encode()) == headers


@given(st.builds(Heartbeat, TIMES, TIMES, st.integers(0, (1 << 63) - 1), st.integers(0, (1 << 32) - 1), st.text()))
def test_heartbeats_come_back(beat: Heartbeat) -> None:
    assert decode_headers(beat.encode()) == beat


NAMES = st.sampled_from(["v", "format", "tz", "file", "offset", "end", "sent", "heartbeat"]) | st.text()
VALUES = st.none() | st.binary(max_size=30) | st.from_regex(rb"-?[0-9]{1,25}", fullmatch=True)


@given(st.lists(st.tuples(NAMES, VALUES)))
@example([("heartbeat", b"[" * 100_000)])
@example([("heartbeat", b'{"lag_bytes": 1e999, "files": true, "last_line": -1, "shipper": null}')])
@example([("offset", "²".encode())])
def test_hostile_headers_never_raise_and_stay_in_bounds(headers: list[tuple[str, bytes | None]]) -> None:
    found = decode_headers(headers)
    assert 0 <= found.sent_ms < 253_402_300_800_000
    if isinstance(found, Heartbeat):
        assert "heartbeat" in dict(headers)
        assert 0 <= found.files < 1 << 32
        assert 0 <= found.lag_bytes < 1 << 63
        assert 0 <= found.last_line_ms < 253_402_300_800_000
    else:
        assert -1 <= found.byte_offset < 1 << 63
        assert -1 <= found.end_offset < 1 << 63


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)))
def test_a_heartbeat_of_any_json_is_a_heartbeat(body: object) -> None:
    keys = ("last_line", "lag_bytes", "files", "shipper")
    for value in (json.dumps(body), json.dumps(dict.fromkeys(keys, body))):
        assert isinstance(decode_headers([("heartbeat", value.encode())]), Heartbeat)


def test_half_a_character_in_a_heartbeat_becomes_a_mark() -> None:
    beat = decode_headers([("heartbeat", rb'{"shipper": "1.\ud800"}')])
    assert isinstance(beat, Heartbeat)
    assert beat.shipper_version == "1.?"


def test_a_record_without_headers_is_of_unknown_format_and_place() -> None:
    assert decode_headers(None) == decode_headers([]) == RawHeaders("auto", "", "", -1, -1, 0)


def test_unknown_headers_are_ignored() -> None:
    assert decode_headers([("format", b"exim-main"), ("traceparent", b"00-x")]) == RawHeaders("exim-main")
