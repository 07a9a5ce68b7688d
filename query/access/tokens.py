"""API tokens: `pw_…`, 256 random bits, kept as a hash, for one scope and until a day.

The invariant: a token that was revoked, or has ended, is refused by every worker within CACHE_SECONDS. What can't be
read is refused too. "Last used" is written by one thread, once a minute at most, and never by a request.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa
import structlog
from postwatch.producers.service.errors import BadInputError
from postwatch.producers.service.lifecycle import now_ms
from postwatch.query.access.state import StateStore, metadata
from postwatch.query.errors import StateError
from postwatch.query.viewer import Viewer
from prometheus_client import Counter

log = structlog.get_logger()

PREFIX = "pw_"
CACHE_SECONDS = 3.0
"""How long a worker believes what it read of a token, counted from before it read. A revocation is known within 5 s."""
LAST_USED_SECONDS = 60.0
MOST_DAYS = 3650
DAY_MS = 24 * 60 * 60 * 1000
_SECRET_BYTES = 32
_FORM = re.compile(r"pw_[A-Za-z0-9_-]{43}")
_CACHED = 4096
_NAME = re.compile(r"[\w][\w .@:/+-]{0,63}")

_REFUSED = Counter("postwatch_access_refused_tokens_total", "Requests whose API token was not accepted.")
_LAST_USED_WRITES = Counter("postwatch_access_last_used_writes_total", "Writes of when tokens were last used.")

tokens = sa.Table(
    "postwatch_tokens",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("id", sa.String(16), nullable=False, unique=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("created_by", sa.String(128), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
    sa.Column("last_used_at", sa.BigInteger),
)
"""Times are milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class TokenScope:
    """Whose mail a token is for, and what it may do with it."""

    accounts: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    sees_all: bool = False
    is_engineer: bool = False
    hands_over: bool = False
    """It makes hand-over links for the mailboxes of its scope, and reads nothing."""

    def to_text(self) -> str:
        return json.dumps(
            {
                "accounts": sorted(self.accounts),
                "domains": sorted(self.domains),
                "all": self.sees_all,
                "engineer": self.is_engineer,
                "hand_over": self.hands_over,
            }
        )

    @classmethod
    def from_text(cls, text: str) -> Self:
        found = json.loads(text)
        accounts, domains = frozenset(found["accounts"]), frozenset(found["domains"])
        return cls(accounts, domains, found["all"], found["engineer"], found["hand_over"])

    def viewer(self, name: str) -> Viewer:
        """Who reads with this scope; nothing for a token that hands over."""
        if self.hands_over:
            return Viewer(name)
        return Viewer(name, self.accounts, self.domains, sees_all=self.sees_all, is_engineer=self.is_engineer)

    def covers(self, mailbox: str) -> bool:
        """Whether this mailbox is of the scope."""
        return Viewer("", self.accounts, self.domains, sees_all=self.sees_all).owns(mailbox)


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; the token itself is not."""

    id: str
    name: str
    scope: TokenScope
    created_by: str
    created_at: int
    expires_at: int
    revoked_at: int | None
    last_used_at: int | None

    @property
    def viewer(self) -> Viewer:
        return self.scope.viewer(f"token {self.name} ({self.id})")

    def works_at(self, now_ms: int) -> bool:
        return self.revoked_at is None and now_ms < self.expires_at


def check_scope(scope: TokenScope) -> None:
    """Raises BadInputError for a scope that means nothing or more than one thing."""
    if scope.is_engineer and scope.hands_over:
        raise BadInputError("a token is for engineers or for hand-over links, not for both")
    if scope.is_engineer and not scope.sees_all:
        raise BadInputError("a token for engineers sees everything: add --all")
    if scope.sees_all and (scope.accounts or scope.domains):
        raise BadInputError("--all includes every account and domain: leave out the others")
    if not (scope.sees_all or scope.accounts or scope.domains):
        raise BadInputError("a token needs a scope: use --account, --domain or --all")


_OF_CPANEL = ("whm", "cpanel")


def digest_of(secret: str) -> str:
    # 256 random bits need no slow hash.
    return hashlib.sha256(secret.encode()).hexdigest()


def is_ours(header: str) -> bool:
    """Whether an `Authorization` header is meant for us: it has one of the forms that a token comes in."""
    return header.partition(" ")[0].lower() in ("bearer", *_OF_CPANEL)


def read_bearer(header: str) -> str | None:
    """The `Authorization` header → its token, if it has the form of one."""
    scheme, _, secret = header.partition(" ")
    secret = secret.strip()
    return secret if scheme.lower() == "bearer" and _FORM.fullmatch(secret) else None


def read_authorization(header: str) -> str | None:
    """Like `read_bearer`; and the forms that scripts for cPanel send, `whm USER:TOKEN` and `cpanel USER:TOKEN`.

    The user says nothing here: the token has its own scope.
    """
    scheme, _, words = header.partition(" ")
    if scheme.lower() not in _OF_CPANEL:
        return read_bearer(header)
    secret = words.strip().partition(":")[2].strip()
    return secret if _FORM.fullmatch(secret) else None


class TokenBook:
    """The tokens in the state: for the command, and for every request of a worker."""

    def __init__(self, store: StateStore, clock: Callable[[], int] = now_ms) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, tuple[float, Token | None]] = OrderedDict()
        self._used: dict[str, int] = {}
        self._stopped = threading.Event()

    def create(self, name: str, scope: TokenScope, days: int, created_by: str) -> tuple[str, Token]:
        """The token, which is shown once, and what is kept of it. Raises BadInputError, StateError."""
        if not _NAME.fullmatch(name):
            raise BadInputError(f"{name!r} can't be a token's name: use up to 64 letters, digits and blanks")
        if not 1 <= days <= MOST_DAYS:
            raise BadInputError(f"--days {days} is out of range: use 1 to {MOST_DAYS}")
        check_scope(scope)
        secret = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        now = self._clock()
        token = Token(secrets.token_hex(4), name, scope, created_by, now, now + days * DAY_MS, None, None)
        self._store.write(
            tokens.insert().values(
                digest=digest_of(secret),
                id=token.id,
                name=name,
                scope=scope.to_text(),
                created_by=created_by,
                created_at=token.created_at,
                expires_at=token.expires_at,
            )
        )
        log.info("token_created", token=token.id, name=name, scope=scope.to_text(), created_by=created_by)
        return secret, token

    def listed(self) -> Sequence[Token]:
        """Every token, the newest first. Raises StateError."""
        return [_token(row) for row in self._store.read(tokens.select().order_by(tokens.c.created_at.desc()))]

    def revoke(self, word: str, revoked_by: str) -> Sequence[Token]:
        """Ends the token of this id, or all of this name; those that ended by it. Raises BadInputError, StateError."""
        those = [token for token in self.listed() if word in (token.id, token.name)]
        if not those:
            raise BadInputError(f"no token is called {word!r}: see `postwatch token list`")
        working = [token for token in those if token.revoked_at is None]
        for token in working:
            is_it = sa.and_(tokens.c.id == token.id, tokens.c.revoked_at.is_(None))
            self._store.write(tokens.update().where(is_it).values(revoked_at=self._clock()))
            log.info("token_revoked", token=token.id, name=token.name, revoked_by=revoked_by)
        with self._lock:
            self._cache.clear()
        return working

    def find(self, secret: str) -> Token | None:
        """The token that works with this secret at the moment; None: refused. Raises StateError."""
        token = self._known(digest_of(secret))
        if token is None or not token.works_at(self._clock()):
            _REFUSED.inc()
            return None
        with self._lock:
            self._used[token.id] = self._clock()
        return token

    def _known(self, digest: str) -> Token | None:
        started = time.monotonic()
        with self._lock:
            if (entry := self._cache.get(digest)) and started - entry[0] < CACHE_SECONDS:
                return entry[1]
        rows = self._store.read(tokens.select().where(tokens.c.digest == digest))
        token = _token(rows[0]) if rows else None
        with self._lock:
            self._cache[digest] = (started, token)
            self._cache.move_to_end(digest)
            while len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        return token

    def write_last_used(self) -> None:
        """Writes when tokens were used since the last write: one transaction. A failure loses nothing but time."""
        with self._lock:
            used, self._used = self._used, {}
        if not used:
            return
        try:
            with self._store.transaction() as connection:
                for token_id, at in used.items():
                    is_older = sa.or_(tokens.c.last_used_at.is_(None), tokens.c.last_used_at < at)
                    connection.execute(tokens.update().where(tokens.c.id == token_id, is_older).values(last_used_at=at))
        except StateError as error:
            log.warning("last_used_not_written", error=str(error))
            with self._lock:
                for token_id, at in used.items():
                    self._used[token_id] = max(at, self._used.get(token_id, 0))
            return
        _LAST_USED_WRITES.inc()

    def start(self) -> None:
        """Write when tokens were used from a thread of its own, until `stop`."""
        threading.Thread(target=self._write_on, name="tokens-last-used", daemon=True).start()

    def stop(self) -> None:
        """Write what is left."""
        self._stopped.set()
        self.write_last_used()

    def _write_on(self) -> None:
        while not self._stopped.wait(LAST_USED_SECONDS):
            self.write_last_used()


def _token(row: sa.Row[Any]) -> Token:
    return Token(
        row.id,
        row.name,
        TokenScope.from_text(row.scope),
        row.created_by,
        row.created_at,
        row.expires_at,
        row.revoked_at,
        row.last_used_at,
    )
