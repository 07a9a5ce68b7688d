"""`postwatch story`: one delivery, found by its id, told in plain words.

It shows one row in its last version, or nothing; an id of somebody else's row is an id that no row has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from postwatch.query.errors import NotFoundError
from postwatch.query.exports import to_csv
from postwatch.query.reports.deliveries import read_newest
from postwatch.query.reports.report import DAY_MS, Report, Tables, asked
from postwatch.query.row_id import NO_SUCH_ROW, RowPlace
from postwatch.query.sentences import say
from postwatch.query.shapes import DeliveryShape, Shape, Time
from postwatch.query.statements import (
    DELIVERIES,
    NEWEST_FIRST,
    ROW_COLUMNS,
    ROW_HASH,
    SHOWN,
    VIEWER,
    Delivery,
    Statement,
)
from postwatch.query.story import Story, story_of
from postwatch.query.terminal import story_lines
from postwatch.query.translation import N_, gettext
from postwatch.query.viewer import Viewer
from postwatch.query.wording import reply_lines
from postwatch.streams.contracts.outcome import KEY, iso_time
from pydantic import Field
from rich.console import RenderableType

MAX_OTHERS = 100
_AS_WRITTEN = ROW_HASH.replace(SHOWN, "original_recipient")
"""The hash by which a viewer who may not see where an alias led names the row; an engineer opens his link too."""


@dataclass(frozen=True, slots=True)
class DeliveryQuestion:
    id: str = asked(doc="the id of a delivery, as JSON, CSV and the address of its page show it")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFound:
    """One delivery and its story, and the other recipients of the message that the viewer may see."""

    rows: tuple[Delivery, ...]
    """One, or none."""
    story: Story | None = None
    others: tuple[Delivery, ...] = ()
    has_more: bool = False
    """There are more other recipients than these."""
    is_engineer: bool = False


class TimelineShape(Shape):
    at: Time
    event: str
    status: str = Field(description="The status after it; empty: it changed none.")
    smtp_code: int
    reply: list[str] = Field(description="The server's words, line by line.")
    remote_host: str
    remote_ip: str


class OtherShape(Shape):
    id: str
    recipient: str
    status: str
    result: str


class StoryShape(Shape):
    """One delivery in plain words."""

    id: str
    headline: str = Field(description="What happened, in one sentence.")
    meaning: str = Field(description="What that means, for the owner of the mailbox; empty: nothing is wrong.")
    remedy: str = Field(description="What the owner can do.")
    cause: str = Field(description="Where it comes from; for an engineer only.")
    action: str = Field(description="What the engineer can do; for an engineer only.")
    answer: list[str] = Field(description="The last real answer that a failure or a delay goes back to, line by line.")
    notes: list[str]
    timeline: list[TimelineShape]
    delivery: DeliveryShape
    others: list[OtherShape] = Field(description="The other recipients of the message that the viewer may see.")


class DeliveryReport(Report[DeliveryQuestion, DeliveryFound]):
    """One delivery: what happened, what it means and what to do, attempt by attempt."""

    question = DeliveryQuestion
    path = "/api/v1/deliveries/{id}"
    operation = "delivery"
    page = "/delivery/{id}"
    title = N_("One Delivery")
    template = "delivery.html"
    has_form = False
    has_link = False
    names_one: ClassVar[bool] = True
    shape_type = StoryShape

    def answer(self, tables: Tables, question: DeliveryQuestion) -> DeliveryFound:
        is_engineer = tables.viewer.is_engineer
        try:
            place = tables.ids.decode(question.id.strip())
        except NotFoundError:
            return DeliveryFound(rows=(), is_engineer=is_engineer)
        since_ms = tables.now_ms - tables.retention_days * DAY_MS
        rows = read_newest(tables, row_at(tables.viewer, tables.database, place, since_ms))
        if not rows:
            return DeliveryFound(rows=(), is_engineer=is_engineer)
        [row] = rows = tuple(_as_of_last_hop(one) for one in rows)
        message = message_rows(tables.viewer, tables.database, place, since_ms, MAX_OTHERS + 2)
        others = tuple(one for one in read_newest(tables, message) if one.id != row.id)
        return DeliveryFound(
            rows=rows,
            story=story_of(row),
            others=others[:MAX_OTHERS],
            has_more=len(others) > MAX_OTHERS,
            is_engineer=is_engineer,
        )

    def shape(self, answer: DeliveryFound, silent_servers: list[str]) -> StoryShape:
        if answer.story is None:
            raise NotFoundError(NO_SUCH_ROW)
        story, [row] = answer.story, answer.rows
        advice = story.advice if answer.is_engineer else None
        return StoryShape(
            id=row.id,
            headline=say(story.headline),
            meaning=story.meaning,
            remedy=story.remedy,
            cause=advice.cause if advice else "",
            action=advice.action if advice else "",
            answer=reply_lines(story.answer) if story.answer else [],
            notes=[say(note) for note in story.notes],
            timeline=[
                TimelineShape(
                    at=iso_time(one.at_ms),
                    event=say(one.said),
                    status=one.status,
                    smtp_code=one.smtp_code,
                    reply=reply_lines(one.reply) if one.reply else [],
                    remote_host=one.remote_host,
                    remote_ip=one.remote_ip,
                )
                for one in story.timeline
            ],
            delivery=DeliveryShape.of(row),
            others=[
                OtherShape(id=one.id, recipient=one.recipient, status=one.status, result=one.result)
                for one in answer.others
            ],
        )

    def table(self, answer: DeliveryFound, width: int) -> Iterator[RenderableType]:
        if answer.story is not None:
            yield from story_lines(answer.rows[0], answer.story, answer.others, answer.is_engineer)

    def csv(self, answer: DeliveryFound, has_heading: bool = True) -> str:
        return to_csv(answer.rows, has_heading)

    def records(self, answer: DeliveryFound) -> Iterable[Shape]:
        return map(DeliveryShape.of, answer.rows)

    def nothing_found(self, answer: DeliveryFound) -> str:
        return gettext(NO_SUCH_ROW)


REPORT = DeliveryReport()


def _as_of_last_hop(row: Delivery) -> Delivery:
    """With the time of the last event on any of our servers; lists are in the order of the first one's."""
    if row.last_event_ms <= row.updated_at:
        return row
    return row._replace(updated_at=row.last_event_ms, delay_ms=max(row.last_event_ms - row.queued_at, 0))


def _at_place() -> str:
    """The key of a row that has the time and the hash. FINAL in the outer part reads nothing else."""
    key = ", ".join(KEY)
    return (
        f"SELECT DISTINCT {key} FROM {DELIVERIES} WHERE {VIEWER}"
        " AND queued_at = fromUnixTimestamp64Milli({queued_ms:Int64})"
        f" AND ({ROW_HASH} = {{row_hash:UInt64}} OR (direction = 'sent' AND original_recipient != ''"
        f" AND {_AS_WRITTEN} = {{row_hash:UInt64}}))"
    )


def row_at(viewer: Viewer, database: str, place: RowPlace, since_ms: int) -> Statement:
    """The row at this place; of several that an alias led to, the one with the last event."""
    sql = (
        f"SELECT {ROW_COLUMNS} FROM {DELIVERIES} FINAL WHERE {VIEWER}"
        " AND queued_at = fromUnixTimestamp64Milli({queued_ms:Int64})"
        f" AND ({', '.join(KEY)}) GLOBAL IN ({_at_place()})"
        " AND updated_at >= fromUnixTimestamp64Milli({since_ms:Int64})"
        " ORDER BY updated_at DESC, recipient DESC LIMIT 1"
    )
    return Statement(viewer, sql, _parameters(database, place, since_ms))


def message_rows(viewer: Viewer, database: str, place: RowPlace, since_ms: int, rows: int) -> Statement:
    """The rows of the same message in the same account, the row itself among them."""
    same = "account_domain, account, queued_at, server, queue_id, direction"
    sql = (
        f"SELECT {ROW_COLUMNS} FROM {DELIVERIES} FINAL WHERE {VIEWER}"
        " AND queued_at = fromUnixTimestamp64Milli({queued_ms:Int64})"
        f" AND ({same}) GLOBAL IN (SELECT {same} FROM ({_at_place()}))"
        " AND updated_at >= fromUnixTimestamp64Milli({since_ms:Int64})"
        f" ORDER BY {NEWEST_FIRST}, recipient DESC LIMIT 1 BY {ROW_HASH} LIMIT {{rows:UInt32}}"
    )
    return Statement(viewer, sql, {**_parameters(database, place, since_ms), "rows": rows})


def _parameters(database: str, place: RowPlace, since_ms: int) -> dict[str, object]:
    return {
        "database": database,
        "queued_ms": place.queued_at,
        "row_hash": place.row_hash,
        "since_ms": since_ms,
    }
