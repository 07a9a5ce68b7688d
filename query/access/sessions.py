"""Sessions: a row in the state for each, a signed id in the browser, and the IMAP password sealed in a second cookie.

The invariant: a session that was ended, or has gone its time, works in no worker. Of an id the state keeps a hash, and
of a password nothing: it is only in its owner's browser, sealed (AES-GCM) with a key that the browser does not have,
and opens for that session alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from postwatch.producers.service.lifecycle import now_ms
from postwatch.query.access.keys import shared_key
from postwatch.query.access.roles import Identity
from postwatch.query.access.state import StateStore, metadata

HAND_OVER_MS = 15 * 60_000
"""A session without a password, whose mailbox nobody can ask about again."""
TOUCH_MS = 60_000
"""`seen_ms` is written at most this often."""
CLAIM_MS = 30_000
"""A worker that checks a password again has so long before another one tries."""

_ID_BYTES = 32
_NONCE_BYTES = 12

sessions = sa.Table(
    "postwatch_sessions",
    metadata,
    sa.Column("id_hash", sa.String(64), primary_key=True),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("seen_ms", sa.BigInteger, nullable=False),
    sa.Column("checked_ms", sa.BigInteger, nullable=False),
    sa.Column("claimed_ms", sa.BigInteger, nullable=False),
    sa.Column("ends_ms", sa.BigInteger, nullable=False, index=True),
)


@dataclass(frozen=True, slots=True)
class Session:
    """A session that works now."""

    id_hash: str
    identity: Identity
    fingerprint: str
    checked_ms: int


class SessionBook:
    """Every session. Blocks for the state: call it in a thread. Raises StateError."""

    def __init__(self, store: StateStore, idle_ms: int, most_ms: int, now_ms: Callable[[], int] = now_ms) -> None:
        self._store = store
        self._idle_ms = idle_ms
        self._most_ms = most_ms
        self.now_ms = now_ms
        self._keys: dict[str, bytes] = {}

    def begin(self, identity: Identity, fingerprint: str) -> tuple[str, Session]:
        """A new session → the value of its cookie."""
        now_ms = self.now_ms()
        code = secrets.token_urlsafe(_ID_BYTES)
        most_ms = HAND_OVER_MS if identity.method == "hand-over" else self._most_ms
        session = Session(_hash(code), identity, fingerprint, now_ms)
        with self._store.transaction() as connection:
            connection.execute(sessions.delete().where(sessions.c.ends_ms <= now_ms))
            connection.execute(
                sessions.insert().values(
                    id_hash=session.id_hash,
                    identity=identity.to_text(),
                    fingerprint=fingerprint,
                    seen_ms=now_ms,
                    checked_ms=now_ms,
                    claimed_ms=now_ms,
                    ends_ms=now_ms + most_ms,
                )
            )
        return f"{code}.{self._signature('session', code)}", session

    def find(self, cookie: str, *, is_unattended: bool = False) -> Session | None:
        """The session of a cookie; None: none that works. It is seen now, unless a page asks by itself."""
        code = self._code(cookie)
        if code is None:
            return None
        now_ms = self.now_ms()
        id_hash = _hash(code)
        works = sa.and_(
            sessions.c.id_hash == id_hash, sessions.c.ends_ms > now_ms, sessions.c.seen_ms > now_ms - self._idle_ms
        )
        rows = self._store.read(sa.select(sessions).where(works))
        if not rows:
            return None
        row = rows[0]
        if not is_unattended and row.seen_ms <= now_ms - TOUCH_MS:
            self._store.write(sessions.update().where(works).values(seen_ms=now_ms))
        return Session(id_hash, Identity.from_text(row.identity), row.fingerprint, row.checked_ms)

    def end(self, cookie: str) -> None:
        """Ends the session of this cookie, if it is one of ours."""
        if (code := self._code(cookie)) is not None:
            self.end_session(_hash(code))

    def id_hash(self, cookie: str) -> str:
        """What the state knows the session of this cookie by; empty: the cookie is none of ours."""
        code = self._code(cookie)
        return _hash(code) if code is not None else ""

    def end_session(self, id_hash: str) -> None:
        self._store.write(sessions.delete().where(sessions.c.id_hash == id_hash))

    def claim_check(self, session: Session) -> bool:
        """Whether this worker is to prove the log-in again now, alone among all."""
        now_ms = self.now_ms()
        free = sa.and_(sessions.c.id_hash == session.id_hash, sessions.c.claimed_ms <= now_ms - CLAIM_MS)
        return self._store.write(sessions.update().where(free).values(claimed_ms=now_ms)) == 1

    def note_check(self, session: Session, identity: Identity | None = None) -> None:
        """The password was right just now, or a provider has just said this of its user."""
        told = {} if identity is None else {"identity": identity.to_text()}
        of_session = sessions.c.id_hash == session.id_hash
        self._store.write(sessions.update().where(of_session).values(checked_ms=self.now_ms(), **told))

    def checked_ms(self, session: Session) -> int:
        """When the log-in was last proved; 0: the session has ended."""
        rows = self._store.read(sa.select(sessions.c.checked_ms).where(sessions.c.id_hash == session.id_hash))
        return int(rows[0].checked_ms) if rows else 0

    def seal(self, session: Session, password: str) -> str:
        """A password → the value of a cookie that only this session can open."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(self._key("seal")).encrypt(nonce, password.encode(), session.id_hash.encode())
        return base64.urlsafe_b64encode(nonce + sealed).decode()

    def unseal(self, session: Session, cookie: str) -> str | None:
        """The password of this session; None: this is not what was sealed for it."""
        try:
            sealed = base64.b64decode(cookie, altchars=b"-_", validate=True)
            nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return AESGCM(self._key("seal")).decrypt(nonce, rest, session.id_hash.encode()).decode()
        except (ValueError, InvalidTag):
            return None

    def form_token(self, purpose: str, value: str) -> str:
        """What a form must hold to come from a page of ours: for a session, or for a visit before the log-in."""
        return self._signature(f"form {purpose}", value)

    def is_form_token(self, purpose: str, value: str, token: str) -> bool:
        return hmac.compare_digest(self.form_token(purpose, value).encode(), token.encode("utf-8", "replace"))

    def _code(self, cookie: str) -> str | None:
        code, _, signature = cookie.partition(".")
        good = hmac.compare_digest(self._signature("session", code).encode(), signature.encode("utf-8", "replace"))
        return code if good else None

    def _signature(self, purpose: str, value: str) -> str:
        words = f"{purpose}\0{value}".encode("utf-8", "replace")
        return hmac.new(self._key("sign"), words, hashlib.sha256).hexdigest()

    def _key(self, name: str) -> bytes:
        if name not in self._keys:
            self._keys[name] = shared_key(self._store, name)
        return self._keys[name]


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "replace")).hexdigest()
