"""What an endpoint is told: a delivery as its webhook's viewer may see it, with its last fate; or what stands out.

Invariant: every row passes through privacy.py, and what one server of ours handed to another is told when the last one
has told.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from postwatch.query.live.belonging import hides_recipient, may_see
from postwatch.query.push.outbox import Due, Event
from postwatch.query.push.webhooks import FINAL, UNUSUAL, Webhook
from postwatch.query.report_service import ReportService
from postwatch.query.reports.bounces import REPORT as BOUNCES
from postwatch.query.reports.bounces import TroubleShape
from postwatch.query.reports.bounces_question import BouncesQuestion
from postwatch.query.reports.report import Tables
from postwatch.query.row_id import RowPlace
from postwatch.query.shapes import DeliveryShape
from postwatch.query.statements import ROW_HASH, Delivery, Statement
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.outcome import DEFERRED, KEY, PENDING, Outcome, iso_time
from postwatch.streams.contracts.outcome_records import decode_outcomes, encode_outcomes, from_table

_OPEN = (PENDING, DEFERRED)
_DAY_MS = 24 * 60 * 60 * 1000


def events_of(webhooks: Sequence[Webhook], rows: Sequence[Outcome]) -> Iterator[Event]:
    """What the rows of a record are to each webhook. Of what an alias led to, where the viewer may not see where, every
    member has the same subject: so one event is sent, for the first that ended, and others tell nothing."""
    for webhook in webhooks:
        if FINAL not in webhook.kinds:
            continue
        for row in rows:
            if not may_see(webhook.viewer, row) or (row.status in _OPEN and not row.is_deleted):
                continue
            if row.updated_at < webhook.created_at:  # a replay brings what ended before anybody asked
                continue
            content = b"" if row.is_deleted else encode_outcomes([row])
            yield Event(webhook.id, subject_of(webhook.viewer, row), row.version, row.status, content)


def subject_of(viewer: Viewer, row: Outcome) -> str:
    key = {name: str(getattr(row, name)) for name in KEY}
    if hides_recipient(viewer, row):
        key["recipient"] = row.original_recipient
    return hashlib.sha256("\0".join(key.values()).encode("utf-8", "surrogatepass")).hexdigest()


def body_of(service: ReportService, webhook: Webhook, due: Due) -> bytes | None:
    """The body of an event; None: the last of our servers has not told yet. Raises what reading raises."""
    if due.event.status == UNUSUAL:
        return due.event.content
    [row] = from_table(decode_outcomes(due.event.content))
    tables = service.tables(webhook.viewer, "push", None)
    [followed] = tables.follow([Delivery._make(row)])
    if followed.status in _OPEN:
        return None
    [shown] = tables.visible([followed])
    shown.id = _row_id(tables, followed)
    return _body(due.id, "delivery.final", due.made_at, {"delivery": DeliveryShape.of(shown).model_dump()})


def _row_id(tables: Tables, row: Delivery) -> str:
    """The id by which the API names the row to this viewer; its hash is ClickHouse's."""
    columns = (*KEY, "original_recipient")
    given = ", ".join(
        f"fromUnixTimestamp64Milli({{of_{name}:Int64}}, 'UTC') AS {name}"
        if name == "queued_at"
        else f"{{of_{name}:String}} AS {name}"
        for name in columns
    )
    sql = f"SELECT {ROW_HASH} FROM (SELECT {given})"
    [[row_hash]] = tables.read(Statement(tables.viewer, sql, {f"of_{name}": getattr(row, name) for name in columns}))
    return tables.ids.encode(RowPlace(row.queued_at, int(row_hash)))


def troubles_of(service: ReportService, webhook: Webhook, now_ms: int) -> Iterator[Event]:
    """What stands out now, once a day each. Raises what reading raises."""
    found = service.answer(webhook.viewer, BOUNCES, BouncesQuestion(unusual=True))
    for trouble in found.troubles:
        told = TroubleShape.of_trouble(trouble).model_dump()
        place = json.dumps(trouble.group.place.named, sort_keys=True)
        subject = hashlib.sha256(f"{UNUSUAL} {now_ms // _DAY_MS} {place}".encode()).hexdigest()
        event = Event(webhook.id, subject, 1, UNUSUAL, b"-")
        yield event._replace(content=_body(event.id, "bounces.unusual", now_ms, {"trouble": told}))


def _body(event_id: str, kind: str, made_ms: int, told: dict[str, Any]) -> bytes:
    return json.dumps(
        {"event": event_id, "type": kind, "made_at": iso_time(made_ms), **told}, ensure_ascii=False
    ).encode("utf-8", "replace")
