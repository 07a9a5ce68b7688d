"""Arrow streams: rows come back, and any damage is a ValueError, never a crash."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.streams.contracts.arrow_stream import decode_stream, encode_stream

SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("lines", pa.list_(pa.string()), nullable=False),
    ]
)
ROWS = pa.RecordBatch.from_pydict({"name": ["a", "ö"], "lines": [["x", "y"], []]}, schema=SCHEMA)
ENCODED = encode_stream(ROWS)


def test_rows_come_back() -> None:
    assert decode_stream(ENCODED).to_pylist() == ROWS.to_pylist()


def test_a_batch_makes_the_bytes_that_arrow_would_write() -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA) as writer:
        writer.write(ROWS)
    assert sink.getvalue().to_pybytes() == ENCODED


def test_a_slice_carries_its_own_rows_only() -> None:
    table = pa.Table.from_batches([ROWS])
    assert decode_stream(encode_stream(table.slice(1, 1))).to_pylist() == ROWS.to_pylist()[1:]


def test_text_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(ValueError, match="not an Arrow stream"):
        decode_stream(ENCODED.replace("ö".encode(), b"\xff\xff"))


@given(st.binary())
def test_noise_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"not an Arrow stream"):
        decode_stream(value)


@given(st.integers(0, len(ENCODED) - 1), st.integers(0, 255))
def test_a_damaged_byte_is_refused_or_harmless(place: int, byte: int) -> None:
    damaged = ENCODED[:place] + bytes([byte]) + ENCODED[place + 1 :]
    try:
        table = decode_stream(damaged)
    except ValueError:
        return
    assert len(table.combine_chunks().to_pylist()) == table.num_rows


@given(st.integers(0, len(ENCODED) - 1))
def test_a_stream_that_ends_early_is_refused_or_lacks_only_its_end_mark(length: int) -> None:
    try:
        table = decode_stream(ENCODED[:length])
    except ValueError:
        return
    assert table.to_pylist() in ([], ROWS.to_pylist())
