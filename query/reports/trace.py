"""`postwatch trace`: one message with its recipients, attempts and log lines, found by any of its ids."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from postwatch.query.errors import FilterError
from postwatch.query.filters import clean_text
from postwatch.query.reports.deliveries import Deliveries, DeliveriesReport, read_newest
from postwatch.query.reports.report import DAY_MS, Tables, asked
from postwatch.query.search import ADDRESS_KEYS, term_conditions
from postwatch.query.search_terms import MESSAGE_ID, QUEUE_ID, Term, ascii_lower
from postwatch.query.shapes import DeliveryShape, Shape, Time
from postwatch.query.statements import (
    DELIVERIES,
    HAS_MESSAGE_KEY,
    MESSAGE_KEY,
    NEWEST_FIRST,
    ROW_COLUMNS,
    ROW_HASH,
    SHOWN,
    VIEWER,
    Delivery,
    MessageKey,
    Statement,
    of_keys,
)
from postwatch.query.terminal import delivery_details
from postwatch.query.translation import ngettext
from postwatch.query.viewer import Viewer
from postwatch.query.wording import visible
from postwatch.streams.contracts.outcome import iso_time
from pydantic import Field
from rich.console import RenderableType
from rich.text import Text

MAX_TRACE_ROWS = 200


@dataclass(frozen=True, slots=True)
class TraceQuestion:
    id: str = asked(doc="a queue id, a Message-ID (with or without <>), or a recipient's address")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace(Deliveries):
    """All rows of a queue id, Message-ID or recipient; the newest MAX_TRACE_ROWS where there are more."""

    wanted: str
    days: int


class TraceShape(Shape):
    id: str
    since: Time
    deliveries: list[DeliveryShape]
    has_more: bool = Field(description="There are older rows than these.")


class TraceReport(DeliveriesReport[TraceQuestion, Trace]):
    """One message: its recipients, attempts and log lines. An unknown id gives an empty list."""

    question = TraceQuestion
    path = "/api/v1/trace"
    operation = "trace"
    page = "/trace"
    title = "One Message"
    template = "trace.html"
    has_link = False
    shape_type = TraceShape

    def answer(self, tables: Tables, question: TraceQuestion) -> Trace:
        wanted = clean_text(question.id, "id").removeprefix("<").removesuffix(">")
        if not wanted:
            raise FilterError("id is empty: use a queue id, a Message-ID or a recipient's address")
        since_ms = tables.now_ms - tables.retention_days * DAY_MS
        found: list[Delivery] = []
        for lookup in lookups(tables.viewer, wanted):
            if found := [row for row in _newest(tables, wanted, lookup) if row.updated_at >= since_ms]:
                break
        rows = tuple(without_partial(found[:MAX_TRACE_ROWS]))
        has_more = len(found) > MAX_TRACE_ROWS
        return Trace(since_ms=since_ms, rows=rows, has_more=has_more, wanted=wanted, days=tables.retention_days)

    def shape(self, answer: Trace, silent_servers: list[str]) -> TraceShape:
        return TraceShape(
            id=answer.wanted,
            since=iso_time(answer.since_ms),
            deliveries=[DeliveryShape.of(row) for row in answer.rows],
            has_more=answer.has_more,
        )

    def table(self, answer: Trace, width: int) -> Iterator[RenderableType]:
        yield from map(delivery_details, answer.rows)
        if answer.has_more:
            yield Text(f"Only the newest {len(answer.rows)} rows are shown; `postwatch report` shows the older ones.")

    def nothing_found(self, answer: Trace) -> str:
        return ngettext(
            "No message found for '%(wanted)s' in the last day.",
            "No message found for '%(wanted)s' in the last %(num)s days.",
            answer.days,
            wanted=visible(answer.wanted),
        )


REPORT = TraceReport()


def _newest(tables: Tables, wanted: str, lookup: IdLookup) -> Sequence[Delivery]:
    most = MAX_TRACE_ROWS + 1
    told = tables.read(trace_keys(tables.viewer, tables.database, wanted, lookup, most))
    keys = {MessageKey(*row) for row in told}
    if not keys:
        return ()
    return read_newest(tables, trace_rows(tables.viewer, tables.database, lookup, keys, most))


def without_partial(rows: Iterable[Delivery]) -> list[Delivery]:
    """The rows without those of no account whose whole row, of a known account, is among them."""
    rows = list(rows)
    whole = {(row.server, row.queue_id, row.recipient) for row in rows if row.account}
    return [row for row in rows if row.account or (row.server, row.queue_id, row.recipient) not in whole]


class IdLookup(NamedTuple):
    """What an id is looked for as."""

    by_index: tuple[str, ...]
    """Conditions of which one is true for a row that has it in any version, each served by one index."""
    is_shown: str
    """True for a row that is shown, as far as the viewer may know."""
    spellings: Mapping[str, Any]
    """The parameters of both."""


def lookups(viewer: Viewer, wanted: str) -> list[IdLookup]:
    """The likeliest first; the next is for where it finds nothing.

    With an @ it is a Message-ID or an address: both are looked for, or a stranger's Message-ID would hide what an
    address got. A queue id finds the messages that had it at any time, and for engineers their bounces and forwards.
    """
    [message_id], spellings = term_conditions(viewer, Term(MESSAGE_ID, wanted))
    if "@" not in wanted:
        [queue_id], _ = term_conditions(viewer, Term(QUEUE_ID, wanted))
        return [IdLookup((one,), one, spellings) for one in (queue_id, message_id)]
    among = "IN {terms:Array(String)}"
    known = f"hasAny({ADDRESS_KEYS}, {{addresses:Array(String)}})"
    by_index = [message_id, f"{known} AND recipient {among}"]
    if not viewer.sees_all:  # he reads the address that he wrote, where an alias led elsewhere
        by_index.append(f"{known} AND original_recipient {among}")
    return [IdLookup(tuple(by_index), f"({message_id} OR {SHOWN} {among})", spellings)]


def trace_keys(viewer: Viewer, database: str, wanted: str, lookup: IdLookup, rows: int) -> Statement:
    """The columns of MessageKey of the newest `rows` messages that may have it: a queue id, a Message-ID (without its
    brackets) or a recipient.

    One SELECT for each index, because they hardly serve an OR (0017_one_index_of_queue_ids.sql), and without a
    condition on the time, which would be compared with the key of every granule.
    """
    sql = " UNION ALL ".join(
        f"SELECT * FROM (SELECT DISTINCT {MESSAGE_KEY} FROM {DELIVERIES}"
        f" WHERE {VIEWER} AND {condition} ORDER BY queued_at DESC LIMIT {{rows:UInt32}})"
        for condition in lookup.by_index
    )
    values: dict[str, Any] = {"database": database, "rows": rows, **lookup.spellings}
    if "@" in wanted:
        values["addresses"] = [ascii_lower(wanted), ascii_lower(wanted.lower())]
    return Statement(viewer, sql, values)


def trace_rows(viewer: Viewer, database: str, lookup: IdLookup, keys: Collection[MessageKey], rows: int) -> Statement:
    """The newest `rows` rows that have it, of these messages."""
    sql = (
        f"SELECT {ROW_COLUMNS} FROM {DELIVERIES} FINAL WHERE {VIEWER} AND {HAS_MESSAGE_KEY} AND {lookup.is_shown}"
        f" ORDER BY {NEWEST_FIRST} LIMIT 1 BY {ROW_HASH} LIMIT {{rows:UInt32}}"
    )
    return Statement(viewer, sql, {"database": database, "rows": rows, **lookup.spellings, **of_keys(keys)})
