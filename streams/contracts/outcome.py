"""The contract of an outcome: one delivery row per account, message and final recipient.

The fields stand here once. `mail.outcomes` carries them as Arrow IPC streams, the table `deliveries` has the very same
columns (a test compares the DDL with SCHEMA), `postwatch read` and `postwatch outcomes` print them as JSON.
Times are whole milliseconds since the epoch, UTC.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
from postwatch.streams.contracts.arrow_stream import decode_stream, encode_stream

PENDING, DEFERRED, DELIVERED, BOUNCED = "pending", "deferred", "delivered", "bounced"
EXPIRED, REJECTED, DISCARDED, CANCELLED = "expired", "rejected", "discarded", "cancelled"
SENT, RECEIVED = "sent", "received"

RESULTS = {
    PENDING: "pending",
    DEFERRED: "pending",
    DELIVERED: "accepted",
    BOUNCED: "failed",
    EXPIRED: "failed",
    REJECTED: "failed",
    CANCELLED: "failed",
    DISCARDED: "discarded",
}
"""What a mailbox owner reads for each status, as cPanel's Track Delivery words it."""

REASONS = (
    "unknown-user mailbox-full greylisted reputation spam authentication rate-limit dns connection tls size "
    "relay-denied routing policy expired other"
).split()
"""Every value of the column `reason`; the empty text stands for no trouble."""


class Attempt(NamedTuple):
    """One try to hand a message to one recipient."""

    at: int
    status: str
    smtp_code: int
    response: str
    remote_host: str
    remote_ip: str


class Outcome(NamedTuple):
    """A delivery row. Empty text or 0 stands for "the log does not say"."""

    account: str
    """The mailbox or system user that this row is reported under."""
    account_domain: str
    direction: str
    """sent or received; local mail between two hosted mailboxes gives a row to each."""
    server: str
    queue_id: str
    message_id: str
    """The Message-ID header without its angle brackets."""
    sender: str
    """Envelope sender; empty for bounces."""
    recipient: str
    """Final address."""
    original_recipient: str
    """The address as submitted, where aliasing changed it; else empty."""
    client_host: str
    client_ip: str
    authenticated_as: str
    auth_method: str
    subject: str
    size_bytes: int
    queued_at: int
    """The time in the queue id where it carries one, else of the first line. Part of the key: never changes."""
    updated_at: int
    delay_ms: int
    status: str
    result: str
    smtp_code: int
    enhanced_code: str
    response: str
    reason: str
    remote_host: str
    remote_ip: str
    remote_provider: str
    tls: str
    router: str
    transport: str
    attempts: Sequence[Attempt]
    """All of the first 50, then the last."""
    next_queue_id: str
    parent_queue_id: str
    log_lines: Sequence[str]
    version: int
    """A newer row of the same key has a higher one; see `streams/joining/joiner.py`."""
    is_deleted: int
    """1 withdraws the row: an address as submitted gave way to its final addresses."""


KEY = ("account_domain", "account", "queued_at", "server", "queue_id", "recipient", "direction")

_TIME = pa.timestamp("ms", tz="UTC")
_TYPES: dict[str, pa.DataType] = {
    "size_bytes": pa.uint64(),
    "queued_at": _TIME,
    "updated_at": _TIME,
    "delay_ms": pa.uint64(),
    "smtp_code": pa.uint16(),
    "attempts.at": pa.list_(_TIME),
    "attempts.smtp_code": pa.list_(pa.uint16()),
    "log_lines": pa.list_(pa.string()),
    "version": pa.uint64(),
    "is_deleted": pa.uint8(),
}


def _columns() -> Iterator[tuple[str, pa.DataType]]:
    for name in Outcome._fields:
        if name == "attempts":
            for part in Attempt._fields:
                column = f"attempts.{part}"
                yield column, _TYPES.get(column, pa.list_(pa.string()))
        else:
            yield name, _TYPES.get(name, pa.string())


SCHEMA = pa.schema([pa.field(name, kind, nullable=False) for name, kind in _columns()])
"""The Arrow schema of `mail.outcomes`, and the columns of `deliveries` in order."""


def encode_outcomes(rows: Sequence[Outcome]) -> bytes:
    """Rows → one Arrow IPC stream with one batch, the value of a `mail.outcomes` record."""
    return encode_stream(to_batch(rows))


def decode_outcomes(value: bytes) -> pa.Table:
    """The value of a `mail.outcomes` record → a table of SCHEMA. Raises ValueError."""
    return decode_stream(value, SCHEMA, "an outcome")


def to_batch(rows: Sequence[Outcome]) -> pa.RecordBatch:
    """Rows → a record batch of SCHEMA, in the order given."""
    if not rows:
        return pa.RecordBatch.from_pylist([], schema=SCHEMA)
    arrays: list[pa.Array] = []
    for name, values in zip(Outcome._fields, zip(*rows, strict=True), strict=True):
        if name == "attempts":
            arrays += _attempt_arrays(values)
        elif name == "log_lines":
            arrays.append(_list_array(values, pa.string()))
        else:
            arrays.append(pa.array(values, SCHEMA.field(name).type))
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _offsets(lists: Sequence[Sequence[Any]]) -> pa.Array:
    offsets = [0]
    total = 0
    for item in lists:
        total += len(item)
        offsets.append(total)
    return pa.array(offsets, pa.int32())


def _list_array(lists: Sequence[Sequence[Any]], kind: pa.DataType) -> pa.Array:
    return pa.ListArray.from_arrays(_offsets(lists), pa.array([x for one in lists for x in one], kind))


def _attempt_arrays(lists: Sequence[Sequence[Attempt]]) -> list[pa.Array]:
    offsets = _offsets(lists)
    flat = [attempt for one in lists for attempt in one]
    columns: Sequence[Sequence[Any]] = list(zip(*flat, strict=True)) or [()] * len(Attempt._fields)
    kinds = [SCHEMA.field(f"attempts.{part}").type.value_type for part in Attempt._fields]
    return [
        pa.ListArray.from_arrays(offsets, pa.array(column, kind)) for column, kind in zip(columns, kinds, strict=True)
    ]


_EPOCH = datetime.datetime(1970, 1, 1)


def iso_time(at_ms: int) -> str:
    """Milliseconds since the epoch → '2026-11-23T13:42:18.000Z'. Raises OverflowError outside the years 1 to 9999."""
    moment = _EPOCH + datetime.timedelta(milliseconds=at_ms)
    return f"{moment.isoformat(timespec='milliseconds')}Z"


def to_json_object(row: Outcome) -> dict[str, Any]:
    """A row as people and scripts read it: the fields by name, times in ISO 8601 UTC, attempts as objects."""
    found = row._asdict()
    found["queued_at"] = iso_time(row.queued_at)
    found["updated_at"] = iso_time(row.updated_at)
    found["attempts"] = [{**attempt._asdict(), "at": iso_time(attempt.at)} for attempt in row.attempts]
    found["log_lines"] = list(row.log_lines)
    return found


def from_table(table: pa.Table) -> list[Outcome]:
    """A decoded table back to rows: the inverse of `to_batch`. Raises ValueError on attempts of unequal length."""
    columns = {name: table.column(name) for name in table.schema.names}

    def values(name: str) -> list[Any]:
        column = columns[name]
        if column.type == _TIME:
            column = column.cast(pa.int64())
        elif column.type == pa.list_(_TIME):
            column = column.cast(pa.list_(pa.int64()))
        return list(column.to_pylist())

    attempts = [
        tuple(Attempt(*parts) for parts in zip(*row, strict=True))
        for row in zip(*(values(f"attempts.{part}") for part in Attempt._fields), strict=True)
    ]
    rest = [attempts if name == "attempts" else values(name) for name in Outcome._fields]
    rows = (Outcome._make(row) for row in zip(*rest, strict=True))
    return [row._replace(log_lines=tuple(row.log_lines)) for row in rows]
