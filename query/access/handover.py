"""Hand-over links: a panel that knows its user opens the page for one mailbox, without a password.

The invariant: a link works for LIFE_MS, once on all servers together, and only by POST: whatever looks at the link
before its user (a scanner, a preview) only GETs it. A link holds no address. Of its code the state keeps a hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
import structlog
from postwatch.producers.service.errors import BadInputError
from postwatch.producers.service.lifecycle import now_ms
from postwatch.query.access.roles import Identity, is_address, keeps_its_letters, of_hand_over
from postwatch.query.access.state import StateStore, metadata
from prometheus_client import Counter

log = structlog.get_logger()

LIFE_MS = 60_000
KEPT_MS = 24 * 60 * 60 * 1000
"""A used or expired link is forgotten then."""
_FORM = re.compile(r"([A-Za-z0-9_-]{43})\.(\d{1,15})\.([0-9a-f]{64})")
_MOST_ADDRESS = 254

_LINKS = Counter("postwatch_access_hand_overs_total", "Hand-over links, by what became of them.", ["outcome"])

hand_overs = sa.Table(
    "postwatch_hand_overs",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("mailbox", sa.String(320), nullable=False),
    sa.Column("made_by", sa.String(128), nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("used_at", sa.BigInteger),
)


@dataclass(frozen=True, slots=True)
class HandOver:
    """A link's code and its end, in milliseconds since 1970."""

    code: str
    expires_at: int


def read_mailbox(word: str) -> str:
    """The address of one mailbox, in lower-case. Raises BadInputError."""
    mailbox = word.strip().lower()
    if (
        not keeps_its_letters(word)
        or not is_address(mailbox)
        or len(mailbox) > _MOST_ADDRESS
        or not mailbox.isprintable()
        or " " in mailbox
    ):
        raise BadInputError(f"{word[:80]!r} is not a mailbox: use user@domain")
    return mailbox


class HandOverDesk:
    """Makes links and takes them back, over the state that all servers share."""

    def __init__(self, store: StateStore, key: bytes, clock: Callable[[], int] = now_ms) -> None:
        """`key`: a secret that all servers share."""
        self._store = store
        self._key = hashlib.sha256(b"postwatch hand-over\0" + key).digest()
        self._clock = clock

    def make(self, mailbox: str, made_by: str) -> HandOver:
        """A link's code for this mailbox. Raises BadInputError, StateError."""
        mailbox = read_mailbox(mailbox)
        now = self._clock()
        expires_at = now + LIFE_MS
        body = f"{secrets.token_urlsafe(32)}.{expires_at}"
        with self._store.transaction() as connection:
            connection.execute(hand_overs.delete().where(hand_overs.c.expires_at < now - KEPT_MS))
            connection.execute(
                hand_overs.insert().values(
                    digest=_digest(body), mailbox=mailbox, made_by=made_by, expires_at=expires_at
                )
            )
        _LINKS.labels("made").inc()
        log.info("hand_over_made", mailbox=mailbox, made_by=made_by)
        return HandOver(f"{body}.{self._signature(body)}", expires_at)

    def look(self, code: str) -> bool:
        """Whether this code is one of ours and not yet too old. Changes nothing, and reads no state."""
        return self._body(code) is not None

    def use(self, code: str) -> Identity | None:
        """Who comes in with this code; None: it is used, too old, or none of ours. Raises StateError."""
        body = self._body(code)
        if body is None:
            _LINKS.labels("refused").inc()
            return None
        digest = _digest(body)
        # The one statement that decides: whoever changes the row may come in.
        is_unused = sa.and_(hand_overs.c.digest == digest, hand_overs.c.used_at.is_(None))
        if self._store.write(hand_overs.update().where(is_unused).values(used_at=self._clock())) != 1:
            _LINKS.labels("refused").inc()
            return None
        row = self._store.read(hand_overs.select().where(hand_overs.c.digest == digest))[0]
        _LINKS.labels("used").inc()
        return of_hand_over(row.mailbox)

    def _body(self, code: str) -> str | None:
        form = _FORM.fullmatch(code)
        if form is None:
            return None
        body = f"{form[1]}.{form[2]}"
        is_ours = hmac.compare_digest(form[3], self._signature(body))
        return body if is_ours and self._clock() < int(form[2]) else None

    def _signature(self, body: str) -> str:
        return hmac.new(self._key, body.encode(), hashlib.sha256).hexdigest()


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
