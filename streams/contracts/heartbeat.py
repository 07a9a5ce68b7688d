"""The contract of `mail.heartbeats`: the newest heartbeat of each server, as rows of the table `servers`.

The join forwards each heartbeat of `mail.raw` as an Arrow IPC stream with one row, keyed by the server's name.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import pyarrow as pa
from postwatch.producers.record import Heartbeat
from postwatch.streams.contracts.arrow_stream import encode_stream
from postwatch.streams.contracts.columns import INT64, TEXT, TEXTS, TIME, UINT32, UINT64, About, columns_of
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
    shipper_started_at: Annotated[
        int, About(TIME, "Since when its shipper counts the three that follow; 1970: it does not count.")
    ] = 0
    truncations: Annotated[int, About(UINT32, "Log files that were truncated: what was unread may be gone.")] = 0
    unread_files: Annotated[
        int, About(UINT32, "Log files that disappeared, or could not be read, before their end: those lines are lost.")
    ] = 0
    cut_lines: Annotated[int, About(UINT64, "Lines that were too long: only their beginning was sent.")] = 0
    joined_since: Annotated[
        int, About(TIME, "Since when its join worker counts what follows; 1970: the worker does not count.")
    ] = 0
    lines: Annotated[int, About(UINT64, "Lines that were read, repeated ones left out.")] = 0
    recent_lines: Annotated[int, About(UINT64, "How many of them in the last one to two minutes.")] = 0
    recent_ms: Annotated[int, About(UINT32, "How long these took, in ms.")] = 0
    formats: Annotated[tuple[str, ...], About(TEXTS, "The log formats of its lines.")] = ()
    letter_reasons: Annotated[tuple[str, ...], About(TEXTS, "Why lines of it became dead letters.")] = ()
    letter_counts: Annotated[tuple[int, ...], About(UINT64.listed(), "How many, for each of these reasons.")] = ()
    suppressed_lines: Annotated[
        int, About(UINT64, "Lines that its own logger threw away, as the log says: they are in no log.")
    ] = 0
    clock_skew_ms: Annotated[
        int,
        About(
            INT64,
            "How far its lines' stamps are behind the time when Kafka got them, the least of the last minutes, in ms;"
            " negative: ahead of it, so its clock or its time zone is wrong.",
        ),
    ] = 0


COLUMNS = columns_of(HeartbeatRow)
CONTRACT = RowContract("a heartbeat", COLUMNS)
SCHEMA = CONTRACT.schema
"""The columns of `servers`."""


class JoinedLines(NamedTuple):
    """What a join worker knows of a server's lines: the columns of that name."""

    since_ms: int = 0
    lines: int = 0
    recent_lines: int = 0
    recent_ms: int = 0
    formats: tuple[str, ...] = ()
    letters: tuple[tuple[str, int], ...] = ()
    """Reason and number."""
    suppressed_lines: int = 0
    clock_skew_ms: int = 0


NOTHING_JOINED = JoinedLines()


def encode_heartbeat(server: str, beat: Heartbeat, joined: JoinedLines = NOTHING_JOINED) -> bytes:
    """A server's heartbeat, with what the join knows → the value of a `mail.heartbeats` record."""
    row = HeartbeatRow(
        server=server,
        sent_at=beat.sent_ms,
        last_line_at=beat.last_line_ms,
        lag_bytes=beat.lag_bytes,
        files=beat.files,
        shipper_version=beat.shipper_version,
        shipper_started_at=beat.started_ms,
        truncations=beat.truncations,
        unread_files=beat.unread_files,
        cut_lines=beat.cut_lines,
        joined_since=joined.since_ms,
        lines=joined.lines,
        recent_lines=joined.recent_lines,
        recent_ms=joined.recent_ms,
        formats=joined.formats,
        letter_reasons=tuple(reason for reason, _ in joined.letters),
        letter_counts=tuple(number for _, number in joined.letters),
        suppressed_lines=joined.suppressed_lines,
        clock_skew_ms=joined.clock_skew_ms,
    )
    arrays = [pa.array([value], field.type) for value, field in zip(row, SCHEMA, strict=True)]
    return encode_stream(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))


def decode_heartbeat(value: bytes) -> pa.Table:
    """The value of a `mail.heartbeats` record of any version → a table of SCHEMA. Raises ValueError."""
    record = CONTRACT.decode(value)
    if record.unfit:
        raise ValueError(record.unfit[0].said)
    return record.rows
