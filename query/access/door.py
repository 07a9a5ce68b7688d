"""The front door: names and passwords, sessions and tokens → who it is, on each request anew.

The invariant: nobody comes in while the state can't be used. A session whose password was changed, or whose mailbox is
gone, shows nothing after LATEST_MS at most: its password is checked again, and where nobody can say, nothing is shown
until somebody can. A session by OpenID shows nothing after LATEST_MS either, until its browser has been to the provider
again: only the provider can say that of its users, and only to a browser.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

import structlog
from postwatch.query.access.imap import ImapCheck, Verdict, is_askable
from postwatch.query.access.people import People
from postwatch.query.access.roles import Identity
from postwatch.query.access.sessions import Session, SessionBook
from postwatch.query.access.site import Site
from postwatch.query.access.tokens import TokenBook, is_ours, read_authorization
from postwatch.query.access.tries import TryBook
from postwatch.query.errors import BusyError, CheckAwayError, StateError, TooManyTriesError
from postwatch.query.identity import LIVE_ADDRESS, UNATTENDED_HEADER
from postwatch.query.viewer import Viewer
from prometheus_client import Counter
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

log = structlog.get_logger()

GUEST = "postwatch.guest"
DUE = "postwatch.due"
"""Where a request keeps the session that the provider is to prove again."""
CHECK_MS = 10 * 60_000
LATEST_MS = 15 * 60_000

_LOOKS, _LOOK_SECONDS = 15, 0.2

_LOG_INS = Counter("postwatch_log_ins_total", "Log-ins by result.", ["method", "result"])
_ENDED = Counter("postwatch_sessions_ended_total", "Sessions that were ended, by reason.", ["reason"])


@dataclass(frozen=True, slots=True)
class Entry:
    """A log-in that succeeded: the cookies to set."""

    session_cookie: str
    password_cookie: str
    identity: Identity


@dataclass(frozen=True, slots=True)
class Guest:
    """Who a request comes from."""

    viewer: Viewer
    method: str
    session: Session | None = None


class _WrongAndAwayError(CheckAwayError):
    """The password is wrong, which is told as to all others whose password can't be checked; the try counts."""


class Door:
    """Everything here blocks for the state and for the IMAP server: call it in a thread."""

    def __init__(
        self,
        site: Site,
        sessions: SessionBook,
        tries: TryBook,
        people: People,
        tokens: TokenBook,
        imap: ImapCheck | None,
    ) -> None:
        self.site = site
        self.sessions = sessions
        self._tries = tries
        self._people = people
        self._tokens = tokens
        self._imap = imap
        prefix = "" if not site.is_secure else "__Secure-" if site.base_path else "__Host-"
        self.session_cookie = f"{prefix}postwatch_session"
        self.password_cookie = f"{prefix}postwatch_password"
        self.visit_cookie = f"{prefix}postwatch_visit"

    @property
    def takes_passwords(self) -> bool:
        return self._imap is not None or self._people.passwords is not None

    def identify(self, scope: Scope) -> Viewer | None:
        """Who asks, noted as the request's guest; None: nobody who is known. Raises StateError, CheckAwayError."""
        scope[DUE] = None
        guest = scope[GUEST] = self._recognize(scope)
        return guest.viewer if guest else None

    def log_out_token(self, guest: Guest) -> str:
        """What the log-out form must hold; empty: there is no session."""
        return self.sessions.form_token("log-out", guest.session.id_hash) if guest.session else ""

    def _recognize(self, scope: Scope) -> Guest | None:
        headers = Headers(scope=scope)
        if is_ours(headers.get("authorization", "")):  # another scheme is a proxy's own, and hides no session
            secret = read_authorization(headers["authorization"])
            token = self._tokens.find(secret) if secret else None
            return Guest(token.viewer, "token") if token else None
        cookies = cookie_parser(headers.get("cookie", ""))
        if not (cookie := cookies.get(self.session_cookie, "")):
            return None
        # What an open page asks by itself keeps nobody logged in.
        is_unattended = scope["path"] == LIVE_ADDRESS or UNATTENDED_HEADER in headers
        session = self.sessions.find(cookie, is_unattended=is_unattended)
        if session is None or not self._still_holds(session, cookies.get(self.password_cookie, "")):
            return None
        if session.identity.method == "openid" and self.age_ms(session) >= CHECK_MS:
            scope[DUE] = session
            if self.age_ms(session) >= LATEST_MS:
                return None
        viewer = self._people.viewer(session.identity)
        if viewer is None:  # the lists have changed
            self._end(session, "owns_nothing")
            return None
        return Guest(viewer, session.identity.method, session)

    def _still_holds(self, session: Session, sealed: str) -> bool:
        """Whether what the log-in proved is still so. Ends the session where it is not."""
        if not self._people.still_holds(session.identity, session.fingerprint):
            return self._end(session, "password_changed")
        age_ms = self.age_ms(session)
        if session.identity.method != "imap" or age_ms < CHECK_MS:
            return True
        if self.sessions.claim_check(session):
            password = self.sessions.unseal(session, sealed)
            if self._imap is None or password is None:
                return self._end(session, "password_missing")
            verdict = self._imap.check(session.identity.name, password)
            if verdict is Verdict.WRONG:
                return self._end(session, "password_changed")
            if verdict is Verdict.RIGHT:
                self.sessions.note_check(session)
                return True
        elif age_ms >= LATEST_MS and self._was_checked(session):
            return True
        if age_ms >= LATEST_MS:
            raise CheckAwayError(f"the password of {session.identity.name} can't be checked again")
        return True

    def age_ms(self, session: Session) -> int:
        """How long ago the log-in was proved."""
        return self.sessions.now_ms() - session.checked_ms

    def prove_again(self, session: Session, identity: Identity | None, subject: str) -> bool:
        """What the provider said when it was asked again → whether the session goes on. Raises StateError.

        `identity`: None where the provider would ask its user first. It is the session's from now on: groups change.
        """
        if identity is None:
            return self._end(session, "provider_refused")
        if subject != session.fingerprint:
            return self._end(session, "another_user")
        if self._people.viewer(identity) is None:
            return self._end(session, "owns_nothing")
        self.sessions.note_check(session, identity)
        return True

    def _was_checked(self, session: Session) -> bool:
        """Waits a moment for the check that another request has begun."""
        for _ in range(_LOOKS):
            time.sleep(_LOOK_SECONDS)
            if self.sessions.checked_ms(session) > session.checked_ms:
                return True
        return False

    def _end(self, session: Session, reason: str) -> bool:
        self.sessions.end_session(session.id_hash)
        _ENDED.labels(reason).inc()
        log.info("session_ended", viewer=session.identity.name, reason=reason)
        return False

    def log_in(self, client: str, name: str, password: str) -> Entry | None:
        """Cookies for who has this name and password; None: nobody, or he sees nobody's mail.

        Raises TooManyTriesError, CheckAwayError where nobody can say now, StateError.
        """
        name = name.strip()
        if not is_askable(name, password):
            self._tell("refused", client, "", "malformed")
            return None
        try:
            self._tries.begin(client, name)
        except TooManyTriesError:
            self._tell("refused", client, name, "limited")
            raise
        try:
            proved = self._prove(name, password)
        except (CheckAwayError, StateError, BusyError) as error:
            if not isinstance(error, _WrongAndAwayError):
                self._tries.take_back(client, name)
            self._tell("failed", client, name, "away")
            raise
        if proved is None:
            self._tell("refused", client, name, "wrong")
            return None
        self._tries.take_back(client, name)
        identity, fingerprint = proved
        return self.begin(client, identity, fingerprint, password if identity.method == "imap" else "")

    def _prove(self, name: str, password: str) -> tuple[Identity, str] | None:
        """Where there are a file and an IMAP server, both are asked about each name that is not let in: how long an
        answer takes, and which one it is, tells nobody who is in the file."""
        passwords = self._people.passwords
        if passwords is not None:
            proved = passwords.verify(name, password)
            if proved is not None or self._imap is None:
                return proved
            if passwords.has(name):  # the IMAP server is not shown what may be the password of an engineer
                if self._imap.check(name, secrets.token_urlsafe()) is Verdict.UNKNOWN:
                    raise _WrongAndAwayError("the IMAP server does not answer")
                return None
        if self._imap is None:
            return None
        verdict = self._imap.check(name, password)
        if verdict is Verdict.UNKNOWN:
            raise CheckAwayError("the IMAP server can't say whether a password is right")
        return (self._people.of_imap(name), "") if verdict is Verdict.RIGHT else None

    def begin(self, client: str, identity: Identity, fingerprint: str, password: str = "") -> Entry | None:
        """A new session for a proved identity; None: it sees nobody's mail. Raises StateError."""
        if self._people.viewer(identity) is None:
            self._tell("refused", client, identity.name, "owns_nothing", identity.method)
            return None
        cookie, session = self.sessions.begin(identity, fingerprint)
        self._tell("accepted", client, identity.name, "right", identity.method)
        return Entry(cookie, self.sessions.seal(session, password) if password else "", identity)

    def log_out(self, session: Session, client: str) -> None:
        self._end(session, "log_out")
        log.info("logged_out", viewer=session.identity.name, client=client)

    @staticmethod
    def _tell(result: str, client: str, name: str, reason: str, method: str = "password") -> None:
        """For the audit log and the counter. The name only where it is known to be one: some type their password."""
        _LOG_INS.labels(method, reason).inc()
        known = {"viewer": name} if result == "accepted" or reason == "owns_nothing" else {}
        log.info("log_in", result=result, reason=reason, method=method, client=client, **known)
