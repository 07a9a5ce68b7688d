"""The contract of `mail.heartbeats`: the newest sign of life of each server, as rows of the table `servers`.

The join forwards each heartbeat of `mail.raw` as an Arrow IPC stream with one row, keyed by the server's name.
"""

from __future__ import annotations

import pyarrow as pa
from postwatch.producers.record import Heartbeat
from postwatch.streams.contracts.arrow_stream import decode_stream, encode_stream

_TIME = pa.timestamp("ms", tz="UTC")
SCHEMA = pa.schema(
    [
        pa.field("server", pa.string(), nullable=False),
        pa.field("sent_at", _TIME, nullable=False),
        pa.field("last_line_at", _TIME, nullable=False),
        pa.field("lag_bytes", pa.uint64(), nullable=False),
        pa.field("files", pa.uint32(), nullable=False),
        pa.field("shipper_version", pa.string(), nullable=False),
    ]
)
"""The columns of `servers` in order. `last_line_at` is the epoch while no line was read."""


def encode_heartbeat(server: str, beat: Heartbeat) -> bytes:
    columns = [
        [server],
        [beat.sent_ms],
        [beat.last_line_ms],
        [beat.lag_bytes],
        [beat.files],
        [beat.shipper_version],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return encode_stream(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))


def decode_heartbeat(value: bytes) -> pa.Table:
    """The value of a `mail.heartbeats` record → a table of SCHEMA. Raises ValueError."""
    return decode_stream(value, SCHEMA, "a heartbeat")
