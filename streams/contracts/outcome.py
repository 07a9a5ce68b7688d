"""The contract of an outcome: one delivery row per account, message and final recipient.

The columns stand here once. `mail.outcomes` carries them as Arrow IPC streams, the table `deliveries` has the very same
(a test compares the DDL), the API, exports and docs/columns.md are made from them. To add a column: a field here with a
default, its line in streams/joining/rows.py, and a new file in deploy/clickhouse; then write docs/columns.md anew.
Times are whole milliseconds since the epoch, UTC.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from postwatch.streams.contracts.columns import (
    NESTED,
    TEXT,
    TEXTS,
    TIME,
    UINT8,
    UINT16,
    UINT64,
    WORD,
    About,
    Column,
    columns_of,
)

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
    "relay-denied own-login routing policy expired other"
).split()
"""Every value of the column `reason`; the empty text stands for no trouble."""


class Attempt(NamedTuple):
    """One try to hand a message to one recipient."""

    at: Annotated[int, About(TIME, "When it ended.")] = 0
    status: Annotated[str, About(WORD, "The status after it.")] = ""
    smtp_code: Annotated[int, About(UINT16, "The SMTP reply code.")] = 0
    response: Annotated[str, About(TEXT, "What the remote server said.")] = ""
    remote_host: Annotated[str, About(TEXT, "The remote server's name.")] = ""
    remote_ip: Annotated[str, About(TEXT, "The remote server's address.")] = ""
    reason: Annotated[str, About(WORD, "Why it failed, in the words of the row's `reason`; empty: no problem.")] = ""
    source_ip: Annotated[str, About(WORD, "The address of ours that it was made from.")] = ""


class Outcome(NamedTuple):
    """A delivery row. Empty text or 0 stands for "the log does not say"."""

    account: Annotated[
        str,
        About(TEXT, "The mailbox, or system user at its server, that this is reported under.", is_required=True),
    ] = ""
    account_domain: Annotated[
        str, About(TEXT, "The domain of the account; of a system user the server.", is_required=True, in_csv=False)
    ] = ""
    direction: Annotated[
        str, About(WORD, "sent or received. Mail between two hosted mailboxes gives a row to each.", is_required=True)
    ] = ""
    server: Annotated[str, About(WORD, "The mail server that wrote the log.", "Server", is_required=True)] = ""
    queue_id: Annotated[str, About(TEXT, "The message's id on that server.", "Queue ID", is_required=True)] = ""
    message_id: Annotated[str, About(TEXT, "The Message-ID header without its brackets.", "Message-ID")] = ""
    sender: Annotated[str, About(TEXT, "Envelope sender; empty for bounces.")] = ""
    recipient: Annotated[str, About(TEXT, "The final address.", is_required=True)] = ""
    original_recipient: Annotated[
        str, About(TEXT, "The address as submitted, if aliasing changed it.", "Original recipient")
    ] = ""
    client_host: Annotated[str, About(TEXT, "The name of the client: the host that submitted the message.")] = ""
    client_ip: Annotated[str, About(TEXT, "The IP address of the client.")] = ""
    authenticated_as: Annotated[str, About(TEXT, "The login that submitted the message.")] = ""
    auth_method: Annotated[str, About(WORD, "How that login was authenticated.")] = ""
    subject: Annotated[str, About(TEXT, "The Subject header, where it is logged.", "Subject")] = ""
    size_bytes: Annotated[int, About(UINT64, "The size of the message, where it is logged.")] = 0
    queued_at: Annotated[
        int,
        About(
            TIME,
            "When the message was received. It never changes.",
            is_required=True,
        ),
    ] = 0
    updated_at: Annotated[
        int,
        About(
            TIME,
            "The delivery time: the time of the last event. Reports are sorted by it, newest first.",
            is_required=True,
        ),
    ] = 0
    delay_ms: Annotated[int, About(UINT64, "From queued_at to updated_at.")] = 0
    status: Annotated[
        str,
        About(
            WORD, "pending, deferred, delivered, bounced, expired, rejected, discarded or cancelled.", is_required=True
        ),
    ] = ""
    result: Annotated[str, About(WORD, "accepted, failed, pending or discarded.")] = ""
    smtp_code: Annotated[int, About(UINT16, "The SMTP reply code that decided the status.")] = 0
    enhanced_code: Annotated[str, About(WORD, "The enhanced status code (RFC 3463).")] = ""
    response: Annotated[str, About(TEXT, "The reply of the remote server, such as the error message.")] = ""
    reason: Annotated[
        str,
        About(WORD, "Why it failed or waits, such as unknown-user; empty: no problem.", "Reason"),
    ] = ""
    remote_host: Annotated[str, About(TEXT, "The name of the remote server that replied.")] = ""
    remote_ip: Annotated[str, About(TEXT, "The IP address of the remote server that replied.")] = ""
    remote_provider: Annotated[
        str, About(WORD, "The provider of that server: Google, Microsoft, Yahoo, …", "Provider")
    ] = ""
    tls: Annotated[str, About(WORD, "TLS version and cipher of the delivery.", "Encryption")] = ""
    router: Annotated[str, About(WORD, "Exim's router.")] = ""
    transport: Annotated[str, About(WORD, "Exim's transport, or Postfix's delivery agent.")] = ""
    attempts: Annotated[Sequence[Attempt], About(NESTED, "The attempts to deliver: the first 50, then the last.")] = ()
    next_queue_id: Annotated[
        str,
        About(
            TEXT,
            "The queue ids that the message had later, after a content filter or on our own relay.",
            "Next queue ID",
        ),
    ] = ""
    parent_queue_id: Annotated[
        str, About(TEXT, "The message that this bounce or forward comes from.", "Caused by queue ID")
    ] = ""
    log_lines: Annotated[
        Sequence[str], About(TEXTS, "The log lines about this recipient, unchanged.", in_csv=False)
    ] = ()
    version: Annotated[
        int,
        About(
            UINT64,
            "Of the rows of one key the one with the highest version counts; see streams/contracts/version.py.",
            is_required=True,
            in_api=False,
            in_csv=False,
        ),
    ] = 0
    is_deleted: Annotated[
        int,
        About(
            UINT8,
            "1: the row is a tombstone and hides the earlier rows of its key.",
            is_required=True,
            in_api=False,
            in_csv=False,
        ),
    ] = 0
    source_ip: Annotated[
        str, About(WORD, "The address of ours that the last attempt was made from.", "Outbound IP")
    ] = ""


KEY = ("account_domain", "account", "queued_at", "server", "queue_id", "recipient", "direction")

COLUMNS = columns_of(Outcome)

_EPOCH = datetime.datetime(1970, 1, 1)


def iso_time(at_ms: int) -> str:
    """Milliseconds since the epoch → '2026-11-23T13:42:18.000Z'. Raises OverflowError outside the years 1 to 9999."""
    moment = _EPOCH + datetime.timedelta(milliseconds=at_ms)
    return f"{moment.isoformat(timespec='milliseconds')}Z"


def to_json_object(row: Outcome) -> dict[str, Any]:
    """A row as people and scripts read it: the fields by name, times in ISO 8601 UTC, attempts as objects."""
    return _json_object(COLUMNS, row)


def _json_object(columns: Sequence[Column], row: Sequence[Any]) -> dict[str, Any]:
    return {column.name: _json_value(column, value) for column, value in zip(columns, row, strict=True)}


def _json_value(column: Column, value: Any) -> Any:
    if column.kind is TIME:
        return iso_time(value)
    if column.kind is NESTED:
        return [_json_object(column.parts, part) for part in value]
    return list(value) if column.kind is TEXTS else value
