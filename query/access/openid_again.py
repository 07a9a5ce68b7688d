"""Sessions by OpenID are proved again: the browser goes to the provider and back, and its user notices nothing.

The invariant: a session goes on only as the same user's, and ends as it would have ended. One visit asks once: what the
provider says renews the session or ends it, so nobody is sent in circles.
"""

from __future__ import annotations

from urllib.parse import urlencode

import anyio
import structlog
from postwatch.query.access.door import DUE, Door
from postwatch.query.access.openid import Arrival
from postwatch.query.access.sessions import Session
from postwatch.query.access.state import StateStore
from postwatch.query.identity import LOG_IN_ADDRESS
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

AGAIN_PATH = "/log-in/openid/again"
ENDED = "ended"
"""Tells the log-in page that a session was not proved again."""

_LOOKS, _LOOK_SECONDS = 15, 0.2

log = structlog.get_logger()


class OpenIdAgain:
    """What becomes of a session that the provider is asked about again. Raises StateError."""

    def __init__(self, door: Door, store: StateStore) -> None:
        self._door = door
        self._store = store

    async def to_prove(self, request: Request) -> Session | None:
        """The session that this browser is to be sent away for; None: there is none, or another page has just done it.

        A browser that opens many pages at a time comes once for each. One goes, and the others wait for it a moment.
        """
        session: Session | None = request.scope.get(DUE)
        if session is None or await self._store.apart(self._door.sessions.claim_check, session):
            return session
        for _ in range(_LOOKS):
            await anyio.sleep(_LOOK_SECONDS)
            if await self._store.apart(self._door.sessions.checked_ms, session) != session.checked_ms:
                return None  # proved, or ended
        return session

    async def arrive(self, request: Request, arrival: Arrival) -> Response:
        """The page that was wanted, or the log-in where the session has ended."""
        session: Session | None = request.scope.get(DUE)
        if session is None or session.id_hash != arrival.again:  # another page was faster, or he has logged out
            return RedirectResponse(arrival.next_path, 303)
        if await self._store.apart(self._door.prove_again, session, arrival.identity, arrival.subject):
            log.info("session_proved_again", viewer=session.identity.name)
            return RedirectResponse(arrival.next_path, 303)
        return RedirectResponse(f"{LOG_IN_ADDRESS}?{urlencode({'next': arrival.next_path, ENDED: '1'})}", 303)
