"""The contract of an outcome: rows survive Arrow unchanged, and people read them as JSON of one shape."""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postwatch.streams.contracts.columns import NESTED, TEXT, TIME, WORD, Column, Kind
from postwatch.streams.contracts.columns import TEXTS as TEXTS_KIND
from postwatch.streams.contracts.outcome import COLUMNS, KEY, RESULTS, Attempt, Outcome, iso_time, to_json_object
from postwatch.streams.contracts.outcome_records import SCHEMA, decode_outcomes, encode_outcomes, from_table, to_batch

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
TIMES = st.integers(-62_135_596_800_000, 253_402_300_799_999)
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    TEXT: TEXTS,
    WORD: TEXTS,
    TIME: TIMES,
    TEXTS_KIND: st.lists(TEXTS, max_size=3).map(tuple),
}


def rows_with(row_class: type[Any], columns: Sequence[Column]) -> st.SearchStrategy[Any]:
    """Rows with any values that the columns have room for."""
    values = {}
    for column in columns:
        if column.kind is NESTED:
            values[column.name] = st.lists(rows_with(Attempt, column.parts), max_size=3).map(tuple)
        else:
            most = (1 << column.kind.arrow.bit_width) - 1 if column.kind not in VALUES else 0
            values[column.name] = VALUES.get(column.kind, st.integers(0, most))
    return st.builds(row_class, **values)


OUTCOMES = rows_with(Outcome, COLUMNS)

EXAMPLE = Outcome(
    account="info@example.org",
    account_domain="example.org",
    direction="sent",
    server="mail1",
    queue_id="1vNBqy-000000001Ab-2cDe",
    message_id="1@example.org",
    sender="info@example.org",
    recipient="someone@example.net",
    original_recipient="",
    client_host="",
    client_ip="192.0.2.1",
    authenticated_as="info@example.org",
    auth_method="dovecot_login",
    subject="größe",
    size_bytes=1234,
    queued_at=1_795_441_338_000,
    updated_at=1_795_441_340_250,
    delay_ms=2250,
    status="delivered",
    result="accepted",
    smtp_code=250,
    enhanced_code="2.0.0",
    response="250 2.0.0 OK",
    reason="",
    remote_host="mx.example.net",
    remote_ip="192.0.2.25",
    remote_provider="",
    tls="TLS1.3",
    router="lookuphost",
    transport="remote_smtp",
    attempts=(Attempt(1_795_441_340_250, "delivered", 250, "250 2.0.0 OK", "mx.example.net", "192.0.2.25"),),
    next_queue_id="",
    parent_queue_id="",
    log_lines=("one", "two"),
    version=7,
    is_deleted=0,
)


@settings(max_examples=50)
@given(st.lists(OUTCOMES, max_size=4))
def test_rows_come_back_from_arrow(rows: list[Outcome]) -> None:
    assert from_table(decode_outcomes(encode_outcomes(rows))) == rows


def test_a_batch_has_the_columns_of_the_table_in_order() -> None:
    assert to_batch([EXAMPLE]).schema.equals(SCHEMA)
    assert to_batch([]).schema.equals(SCHEMA)
    flat = [name.partition(".")[0] for name in SCHEMA.names]
    assert list(dict.fromkeys(flat)) == list(Outcome._fields)
    assert set(KEY) <= set(Outcome._fields)


def test_a_heartbeat_is_no_outcome() -> None:
    rows = pa.RecordBatch.from_pydict({"server": ["mail1"]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_batch(rows)
    with pytest.raises(ValueError, match="the columns are not those of an outcome"):
        decode_outcomes(sink.getvalue().to_pybytes())


def test_attempts_of_unequal_length_are_no_rows() -> None:
    batch = to_batch([EXAMPLE])
    place = SCHEMA.get_field_index("attempts.response")
    broken = pa.Table.from_batches([batch]).set_column(place, SCHEMA.field(place), pa.array([["a", "b"]]))
    with pytest.raises(ValueError, match="zip"):
        from_table(broken)


def test_the_json_of_a_row() -> None:
    found = to_json_object(EXAMPLE)
    assert list(found) == list(Outcome._fields)
    assert found["queued_at"] == "2026-11-23T13:42:18.000Z"
    assert found["updated_at"] == "2026-11-23T13:42:20.250Z"
    assert found["log_lines"] == ["one", "two"]
    [attempt] = found["attempts"]
    assert list(attempt) == list(Attempt._fields)
    assert attempt == {**EXAMPLE.attempts[0]._asdict(), "at": "2026-11-23T13:42:20.250Z"}
    rest = {"queued_at", "updated_at", "attempts", "log_lines"}
    assert {name: found[name] for name in found if name not in rest} == {
        name: value for name, value in EXAMPLE._asdict().items() if name not in rest
    }


@settings(max_examples=50)
@given(OUTCOMES)
def test_the_json_of_any_row_is_json(row: Outcome) -> None:
    assert json.loads(json.dumps(to_json_object(row)))["version"] == row.version


@given(TIMES)
def test_times_are_of_one_width_and_sort_as_text(at_ms: int) -> None:
    shown = iso_time(at_ms)
    assert len(shown) == 24
    assert shown[-5:-1].strip(string.digits) == "."
    assert int(shown[-4:-1]) == at_ms % 1000
    assert at_ms == 253_402_300_799_999 or shown < iso_time(at_ms + 1)


def test_a_time_beyond_the_calendar_has_no_text() -> None:
    with pytest.raises(OverflowError):
        iso_time(253_402_300_800_000)


def test_every_status_has_a_result() -> None:
    statuses = "pending deferred delivered bounced expired rejected discarded cancelled".split()
    assert sorted(RESULTS) == sorted(statuses)
    assert set(RESULTS.values()) == {"pending", "accepted", "failed", "discarded"}
