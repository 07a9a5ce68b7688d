"""`postwatch queue`: what waits now, by provider, host, server, reason, domain or account, and what waits longest.

A message waits until its last attempt ends it or the mail servers give it up; what was deferred before and cleared in
the last hour is counted beside it, so a queue that drains is told from one that does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from postwatch.query import filters
from postwatch.query.errors import FilterError
from postwatch.query.exports import csv_text
from postwatch.query.orders import Position, decode_cursor, encode_cursor
from postwatch.query.reports.groups import read_groups
from postwatch.query.reports.queue_statements import GROUPS, QueueWindow, oldest_waiting, queue_groups
from postwatch.query.reports.report import Report, Tables, asked
from postwatch.query.row_id import RowIds, RowPlace
from postwatch.query.shapes import DeliveryShape, Shape, Time
from postwatch.query.statements import Delivery, Row, decode_row
from postwatch.query.terminal import delivery_lines, short_table
from postwatch.query.translation import gettext
from postwatch.query.wording import time_span
from postwatch.streams.contracts.heartbeat import STALE_AFTER_SECONDS
from postwatch.streams.contracts.outcome import iso_time
from pydantic import Field
from rich.console import RenderableType
from rich.text import Text

MAX_GROUPS = 200
USUAL_ROWS = 20
"""Messages that are shown below the counts."""


@dataclass(frozen=True, slots=True)
class QueueQuestion:
    by: str = asked("provider", doc="count by this", choices=GROUPS)
    provider: str = asked("", doc="only mail that waits for this provider; unknown: for none that is known")
    host: str = asked("", doc="only mail that waits for this remote server")
    server: str = asked("", doc="only mail that waits on this server of ours")
    reason: str = asked("", doc="only mail that waits for this reason")
    domain: str = asked("", doc="only mail to this domain")
    account: str = asked("", doc="only mail of this account")
    limit: int | None = asked(None, doc=f"most messages, oldest first, 1 to {filters.MAX_PAGE_ROWS} (default: 20)")
    cursor: str = asked("", doc="show the next messages: next_cursor of the page before")


@dataclass(frozen=True, slots=True)
class QueueGroup:
    """What waits for one provider, on one server, and so on."""

    value: str
    """Empty: the log does not tell."""
    waiting: int
    deferred: int
    size_bytes: int
    oldest_ms: int
    """When the oldest that waits was queued; 0: none waits."""
    oldest_id: str
    cleared: int
    """Deferred before, and gone in the last hour."""
    delivered: int
    """Of these, those that were accepted."""

    @property
    def name(self) -> str:
        return self.value or gettext("unknown")


@dataclass(frozen=True, slots=True)
class Queue:
    by: str
    now_ms: int
    total: QueueGroup
    groups: tuple[QueueGroup, ...]
    oldest: tuple[Delivery, ...]
    next_cursor: str = ""
    has_more_groups: bool = False

    @property
    def rows(self) -> tuple[QueueGroup, ...]:
        return self.groups


class QueueGroupShape(Shape):
    value: str = Field(description="Empty: the log does not tell.")
    waiting: int = Field(description="Recipients that wait, tried or not.")
    deferred: int = Field(description="Of these, those that were tried.")
    size_bytes: int
    oldest_queued_at: Time | None
    oldest_id: str = Field(description="The delivery that waits longest; empty: none waits.")
    cleared: int = Field(description="Deferred before, and gone in the last hour, one way or another.")
    delivered: int = Field(description="Of these, those that were accepted.")

    @classmethod
    def of(cls, group: QueueGroup) -> QueueGroupShape:
        return cls(
            value=group.value,
            waiting=group.waiting,
            deferred=group.deferred,
            size_bytes=group.size_bytes,
            oldest_queued_at=iso_time(group.oldest_ms) if group.waiting else None,
            oldest_id=group.oldest_id,
            cleared=group.cleared,
            delivered=group.delivered,
        )


class QueueShape(Shape):
    """What waits now."""

    by: str
    total: QueueGroupShape
    groups: list[QueueGroupShape] = Field(description=f"The longest queue first, at most {MAX_GROUPS}.")
    has_more_groups: bool
    deliveries: list[DeliveryShape] = Field(description="What waits longest, oldest first.")
    next_cursor: str | None = Field(description="Ask with it for what waits less long; null: that is all.")
    stale_servers: list[str] = Field(
        description=f"Servers silent for more than {STALE_AFTER_SECONDS} s: what left their queues may be missing."
    )


class QueueReport(Report[QueueQuestion, Queue]):
    """What waits in the queues now: how much, for how long, why, and what cleared in the last hour."""

    question = QueueQuestion
    path = "/api/v1/queue"
    operation = "queue"
    page = "/queue"
    title = "Queue Now"
    template = "queue.html"
    is_for_several = True
    shape_type = QueueShape

    def answer(self, tables: Tables, question: QueueQuestion) -> Queue:
        by, narrowed = read_groups(question, GROUPS, GROUPS, tables.viewer.is_engineer)
        limit = filters.read_limit(question.limit, USUAL_ROWS)
        after = _read_cursor(question.cursor, tables)
        window = QueueWindow(
            tables.viewer, tables.database, narrowed, tables.now_ms - tables.open_ms, tables.now_ms, tables.names.own
        )
        ids = tables.ids
        found = [_group(row, ids) for row in tables.read(queue_groups(window, by, MAX_GROUPS + 1))]
        total = [_group(row, ids) for row in tables.read(queue_groups(window, "", 1))]
        rows = tables.read(oldest_waiting(window, after, limit + 1))
        oldest = tables.visible(decode_row(row[1:], ids) for row in rows[:limit])
        cursor = ""
        if len(rows) > limit:
            cursor = encode_cursor(Position("sent", oldest[-1].queued_at, rows[limit - 1][0], True, 0), ids)
        nothing = QueueGroup("", 0, 0, 0, 0, "", 0, 0)
        return Queue(
            by, tables.now_ms, total[0] if total else nothing, tuple(found[:MAX_GROUPS]), oldest, cursor,
            len(found) > MAX_GROUPS,
        )  # fmt: skip

    def shape(self, answer: Queue, silent_servers: list[str]) -> QueueShape:
        return QueueShape(
            by=answer.by,
            total=QueueGroupShape.of(answer.total),
            groups=[QueueGroupShape.of(group) for group in answer.groups],
            has_more_groups=answer.has_more_groups,
            deliveries=[DeliveryShape.of(row) for row in answer.oldest],
            next_cursor=answer.next_cursor or None,
            stale_servers=silent_servers,
        )

    def table(self, answer: Queue, width: int) -> Iterator[RenderableType]:
        if not answer.groups:
            return
        heading = (answer.by.capitalize(), "Waiting", "Deferred", "Oldest", "Cleared", "Delivered")
        lines = [(group.name, *_figures(group, answer.now_ms)) for group in answer.groups]
        yield short_table(heading, [*lines, ("all", *_figures(answer.total, answer.now_ms))], width)
        yield Text("Cleared and delivered: deferred before, in the last hour.", "dim")
        if answer.oldest:
            yield Text("\nWaiting longest", "bold")
            yield from delivery_lines(answer.oldest, width)

    def csv(self, answer: Queue, has_heading: bool = True) -> str:
        cells = (QueueGroupShape.of(group).model_dump() for group in answer.groups)
        heading = list(QueueGroupShape.model_fields) if has_heading else []
        return csv_text(heading, (list(one.values()) for one in cells))

    def records(self, answer: Queue) -> Iterable[Shape]:
        return map(QueueGroupShape.of, answer.groups)

    def nothing_found(self, answer: Queue) -> str:
        return gettext("Nothing waits.")

    def next_cursor(self, answer: Queue) -> str:
        return answer.next_cursor


REPORT = QueueReport()


def _figures(group: QueueGroup, now_ms: int) -> tuple[str, ...]:
    oldest = time_span(now_ms - group.oldest_ms) if group.waiting else ""
    return (
        str(group.waiting),
        str(group.deferred),
        oldest,
        str(group.cleared),
        str(group.delivered),
    )


def _read_cursor(word: str, tables: Tables) -> Position | None:
    place = decode_cursor(word, tables.find_ids) if word else None
    if place is not None and (place.by, place.is_ascending) != ("sent", True):
        raise FilterError("the cursor is not valid: leave it out to start with the first page")
    return place


def _group(row: Row, ids: RowIds) -> QueueGroup:
    value, waiting, deferred, size_bytes, oldest_ms, oldest_hash, cleared, delivered = row
    oldest_id = ids.encode(RowPlace(oldest_ms, oldest_hash)) if waiting else ""
    return QueueGroup(value, waiting, deferred, size_bytes, oldest_ms if waiting else 0, oldest_id, cleared, delivered)
