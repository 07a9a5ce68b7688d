"""The contract of `mail.heartbeats`: the newest heartbeat of each server, as rows of the table `servers`.

The join forwards each heartbeat of `mail.raw` as an Arrow IPC stream with one row, keyed by the server's name.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import pyarrow as pa
from postwatch.producers.record import Heartbeat
from postwatch.streams.contracts.arrow_stream import encode_stream
from postwatch.streams.contracts.columns import TEXT, TIME, UINT32, UINT64, About, columns_of
from postwatch.streams.contracts.row_contract import RowContract

STALE_AFTER_SECONDS = 120
"""A server without a heartbeat for longer is silent: its newest mail may be missing. Shippers send one in 10 s, and the
way through Kafka may take a while; reports, doctor and alerts all go by this."""
STALE_WITHOUT_HEARTBEATS_SECONDS = 3600
"""The same for a server that rsyslog, Vector or Fluent Bit feeds: only its lines tell that it lives, and at night there
may be none for a while."""
HEARD_EVERY_MS = 30_000
"""The lines of such a server make a heartbeat this often, at most."""


class HeartbeatRow(NamedTuple):
    """A row of `servers`."""

    server: Annotated[str, About(TEXT, "The mail server's name.", is_required=True)] = ""
    sent_at: Annotated[int, About(TIME, "When the shipper sent it.", is_required=True)] = 0
    last_line_at: Annotated[int, About(TIME, "When it last read a line; 1970 while no line was read.")] = 0
    lag_bytes: Annotated[int, About(UINT64, "Bytes of its logs that are not shipped yet.")] = 0
    files: Annotated[int, About(UINT32, "How many log files it follows.")] = 0
    shipper_version: Annotated[
        str, About(TEXT, "The version of the shipper; empty: rsyslog or the like, which sends no heartbeats.")
    ] = ""
    retired_at: Annotated[int, About(TIME, "When an engineer retired the server; 1970: it is not retired.")] = 0


COLUMNS = columns_of(HeartbeatRow)
CONTRACT = RowContract("a heartbeat", COLUMNS)
SCHEMA = CONTRACT.schema
"""The columns of `servers`."""


def encode_heartbeat(server: str, beat: Heartbeat) -> bytes:
    """A server's heartbeat → the value of a `mail.heartbeats` record."""
    row = HeartbeatRow(
        server=server,
        sent_at=beat.sent_ms,
        last_line_at=beat.last_line_ms,
        lag_bytes=beat.lag_bytes,
        files=beat.files,
        shipper_version=beat.shipper_version,
    )
    arrays = [pa.array([value], field.type) for value, field in zip(row, SCHEMA, strict=True)]
    return encode_stream(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))


def decode_heartbeat(value: bytes) -> pa.Table:
    """The value of a `mail.heartbeats` record of any version → a table of SCHEMA. Raises ValueError."""
    record = CONTRACT.decode(value)
    if record.unfit:
        raise ValueError(record.unfit[0].said)
    return record.rows
