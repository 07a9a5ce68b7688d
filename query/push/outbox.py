"""What is to be told to webhooks, in the state: one line for each delivery and webhook, or each trouble.

Invariants: a delivery is told once for each final status, in the order of its versions; so a replay, a repeated record
and an old version tell nothing, and a tombstone takes back what was not sent yet. A record of Kafka is acknowledged
after its events are here. An event waits for its next try, or it was sent, or it is dead, with what was last said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from postwatch.query.access.state import StateStore, metadata

WAITING, SENT, DEAD, TAKEN_BACK = "waiting", "sent", "dead", "taken back"
KEPT_MS = 15 * 24 * 60 * 60 * 1000
"""How long it is known what was sent: longer than the topics keep what may be read again."""
_MOST_NOTE = 300

events = sa.Table(
    "postwatch_webhook_events",
    metadata,
    sa.Column("webhook", sa.String(16), primary_key=True),
    sa.Column("subject", sa.String(64), primary_key=True),
    sa.Column("id", sa.String(40), nullable=False),
    sa.Column("version", sa.Numeric(20), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("made_at", sa.BigInteger, nullable=False),
    sa.Column("next_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("note", sa.String(_MOST_NOTE), nullable=False),
)


class Event(NamedTuple):
    webhook: str
    subject: str
    """A hash of what it is about."""
    version: int
    status: str
    content: bytes
    """The row; empty: it was taken back."""

    @property
    def id(self) -> str:
        return hashlib.sha256(f"{self.webhook} {self.subject} {self.status} {self.version}".encode()).hexdigest()[:32]


class Due(NamedTuple):
    event: Event
    id: str
    made_at: int
    tries: int
    next_at: int


class Counts(NamedTuple):
    waiting: int
    sent: int
    dead: int
    note: str
    """What the last failure said."""


class Outbox:
    """Raises StateError where the state can't be read or written."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def add(self, found: Iterable[Event], now_ms: int) -> int:
        """Keeps what is new; how many that are. All or none."""
        new = 0
        with self._store.transaction() as connection:
            for event in found:
                new += self._add(connection, event, now_ms)
        return new

    def _add(self, connection: sa.Connection, event: Event, now_ms: int) -> int:
        where = (events.c.webhook == event.webhook, events.c.subject == event.subject)
        known = connection.execute(events.select().where(*where)).one_or_none()
        if known is not None and event.version <= known.version:
            return 0
        if not event.content:
            if known is not None:
                state = TAKEN_BACK if known.state == WAITING else known.state
                connection.execute(events.update().where(*where).values(version=event.version, state=state))
            else:  # so that an older version that comes later is told to nobody
                connection.execute(events.insert().values(**_values(event, now_ms), state=TAKEN_BACK))
            return 0
        if known is None:
            connection.execute(events.insert().values(**_values(event, now_ms), state=WAITING))
            return 1
        if known.status == event.status and known.state != TAKEN_BACK:
            changed: dict[str, Any] = {"version": event.version}
            if known.state == WAITING:
                changed["content"] = event.content
            connection.execute(events.update().where(*where).values(**changed))
            return 0
        connection.execute(events.update().where(*where).values(**_values(event, now_ms), state=WAITING))
        return 1

    def due(self, webhook: str, now_ms: int, most: int) -> Sequence[Due]:
        """What is to be tried now, the longest due first."""
        query = (
            events.select()
            .where(events.c.webhook == webhook, events.c.state == WAITING, events.c.next_at <= now_ms)
            .order_by(events.c.next_at, events.c.made_at)
            .limit(most)
        )
        return [_due(one) for one in self._store.read(query)]

    def claim(self, due: Due, until_ms: int) -> bool:
        """Whether it is this process's to send, until then. Another that saw it too gets False."""
        is_free = events.c.next_at == due.next_at
        return self._store.write(events.update().where(*_is(due), is_free).values(next_at=until_ms)) == 1

    def settle(self, due: Due, state: str) -> None:
        """It was sent; or there is nothing to tell."""
        self._store.write(events.update().where(*_is(due)).values(state=state, content=b"", tries=due.tries + 1))

    def put_off(self, due: Due, next_at: int, note: str, *, is_dead: bool = False) -> None:
        values = {"next_at": next_at, "note": note[:_MOST_NOTE], "tries": due.tries + 1}
        self._store.write(events.update().where(*_is(due)).values(**values, state=DEAD if is_dead else WAITING))

    def forget(self, now_ms: int) -> None:
        """What is long over."""
        self._store.write(events.delete().where(events.c.state != WAITING, events.c.made_at < now_ms - KEPT_MS))

    def counts(self) -> dict[str, Counts]:
        """By webhook."""
        numbers: dict[str, dict[str, int]] = {}
        query = sa.select(events.c.webhook, events.c.state, sa.func.count().label("number")).group_by(
            events.c.webhook, events.c.state
        )
        for row in self._store.read(query):
            numbers.setdefault(row.webhook, {})[row.state] = row.number
        notes: dict[str, str] = {}
        failed = sa.select(events.c.webhook, events.c.note).where(
            events.c.note != "", events.c.state.in_((WAITING, DEAD))
        )
        for row in self._store.read(failed.order_by(events.c.next_at)):
            notes[row.webhook] = row.note
        return {
            webhook: Counts(one.get(WAITING, 0), one.get(SENT, 0), one.get(DEAD, 0), notes.get(webhook, ""))
            for webhook, one in numbers.items()
        }


def _due(row: sa.Row[Any]) -> Due:
    event = Event(row.webhook, row.subject, int(row.version), row.status, row.content)
    return Due(event, row.id, row.made_at, row.tries, row.next_at)


def _values(event: Event, now_ms: int) -> dict[str, Any]:
    return {
        "webhook": event.webhook, "subject": event.subject, "id": event.id, "version": event.version,
        "status": event.status, "content": event.content, "made_at": now_ms, "next_at": now_ms, "tries": 0, "note": "",
    }  # fmt: skip


def _is(due: Due) -> tuple[sa.ColumnElement[bool], ...]:
    """A newer version may have taken its place meanwhile: that one is not sent yet."""
    return events.c.webhook == due.event.webhook, events.c.subject == due.event.subject, events.c.id == due.id
