"""The webhooks in the state: where they lead, whose mail they tell of, and their secrets.

A webhook sees what a token of its scope sees. Its secret signs, so it is kept as it is; it is shown once.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
import structlog
from postwatch.producers.service.errors import BadInputError
from postwatch.producers.service.lifecycle import now_ms
from postwatch.query.access.state import StateStore, metadata
from postwatch.query.access.tokens import TokenScope, check_scope
from postwatch.query.push.addresses import read_url
from postwatch.query.viewer import Viewer

log = structlog.get_logger()

FINAL, UNUSUAL = "final", "unusual"
KINDS = (FINAL, UNUSUAL)
"""New final statuses; bounces above what is usual."""
MOST_WEBHOOKS = 200
"""Each has a thread of its own while it has something to send."""

webhooks = sa.Table(
    "postwatch_webhooks",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("secret", sa.String(64), nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("kinds", sa.String(64), nullable=False),
    sa.Column("created_by", sa.String(128), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
)


@dataclass(frozen=True, slots=True)
class Webhook:
    id: str
    name: str
    url: str
    secret: str = field(repr=False)
    scope: TokenScope
    kinds: frozenset[str]
    created_by: str
    created_at: int
    revoked_at: int | None = None

    @property
    def viewer(self) -> Viewer:
        return self.scope.viewer(f"webhook {self.name} ({self.id})")


class WebhookBook:
    """Raises StateError where the state can't be read or written."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def create(self, name: str, url: str, scope: TokenScope, kinds: Sequence[str], created_by: str) -> Webhook:
        """Raises BadInputError."""
        if not name.strip() or len(name) > 64:
            raise BadInputError(f"{name!r} can't be a webhook's name: use 1 to 64 characters")
        check_scope(scope)
        if scope.hands_over:
            raise BadInputError("a webhook hands nothing over")
        read_url(url)
        if len(self.working()) >= MOST_WEBHOOKS:
            raise BadInputError(f"there are {MOST_WEBHOOKS} webhooks already: revoke one, or let one tell of more")
        secret = f"whsec_{secrets.token_urlsafe(32)}"
        made = Webhook(
            secrets.token_hex(4), name, url, secret, scope, frozenset(kinds or (FINAL,)), created_by, now_ms()
        )
        values = {
            "id": made.id, "name": name, "url": url, "secret": secret, "scope": scope.to_text(),
            "kinds": " ".join(sorted(made.kinds)), "created_by": created_by, "created_at": made.created_at,
        }  # fmt: skip
        self._store.write(webhooks.insert().values(**values))
        log.info("webhook_created", webhook=made.id, name=name, scope=scope.to_text(), created_by=created_by)
        return made

    def listed(self) -> Sequence[Webhook]:
        return [
            Webhook(
                row.id, row.name, row.url, row.secret, TokenScope.from_text(row.scope), frozenset(row.kinds.split()),
                row.created_by, row.created_at, row.revoked_at,
            )
            for row in self._store.read(webhooks.select().order_by(webhooks.c.created_at.desc()))
        ]  # fmt: skip

    def working(self) -> Sequence[Webhook]:
        return [one for one in self.listed() if one.revoked_at is None]

    def revoke(self, word: str, revoked_by: str) -> Sequence[Webhook]:
        """Ends the webhook of this id, or all of this name. Raises BadInputError."""
        those = [one for one in self.listed() if word in (one.id, one.name)]
        if not those:
            raise BadInputError(f"no webhook is called {word!r}: see `postwatch webhook list`")
        ended = [one for one in those if one.revoked_at is None]
        for one in ended:
            is_it = sa.and_(webhooks.c.id == one.id, webhooks.c.revoked_at.is_(None))
            self._store.write(webhooks.update().where(is_it).values(revoked_at=now_ms()))
            log.info("webhook_revoked", webhook=one.id, name=one.name, revoked_by=revoked_by)
        return ended
