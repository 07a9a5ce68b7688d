"""The pages to log in and out.

The invariant: an unknown name and a wrong password get the same answer after the same time, and a form that no page of
ours has given out does nothing. The session is a new one with each log-in.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from urllib.parse import urlencode

import anyio
import anyio.to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from postwatch.producers.service.errors import PostwatchError
from postwatch.query.access.admission import Admit
from postwatch.query.access.door import Door, Entry
from postwatch.query.access.roles import Identity
from postwatch.query.access.state import StateStore
from postwatch.query.answers import error_headers, public_words, status_of
from postwatch.query.errors import CheckAwayError, ForbiddenError, TooManyTriesError
from postwatch.query.guards import LOG_IN_PATH, caller_of, guest_of
from postwatch.query.identity import viewer_of
from postwatch.query.translation import N_, gettext
from postwatch.query.web.forms import own_address, read_form
from postwatch.query.web.rendering import render
from starlette.responses import RedirectResponse

LOG_OUT_PATH = "/log-out"

_LEAST_SECONDS = 1.0
"""A refusal takes at least so long, whoever gave it."""
_THREADS, _MOST_WAITING = 16, 64
_VISIT_SECONDS = 60 * 60
_WRONG = N_("This name and password don't belong together.")
_NOT_PROVED = N_("Your provider did not confirm that you are still logged in. Log in again.")
_STALE = N_("This page was open for too long. Try again.")


class _Line:
    """Log-ins have threads of their own: while the IMAP server hangs, who has logged in reads on."""

    def __init__(self) -> None:
        self._threads: anyio.CapacityLimiter | None = None

    async def __call__(
        self, log_in: Callable[[str, str, str], Entry | None], client: str, name: str, password: str
    ) -> Entry | None:
        """Raises CheckAwayError where too many wait already."""
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(_THREADS)
        if self._threads.statistics().tasks_waiting >= _MOST_WAITING:
            raise CheckAwayError("too many log-ins wait for the IMAP server")
        return await anyio.to_thread.run_sync(log_in, client, name, password, limiter=self._threads)


def log_in_router(door: Door, store: StateStore, openid_path: str) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    in_line = _Line()

    def page(request: Request, next_path: str, complaint: str = "", status: int = 200, wait: int = 0) -> Response:
        visit = secrets.token_urlsafe(16)
        html = render(
            "log_in.html",
            None,
            token=door.sessions.form_token("log-in", visit),
            next_path=next_path,
            complaint=complaint,
            takes_passwords=door.takes_passwords,
            openid_path=f"{openid_path}?{urlencode({'next': next_path})}" if openid_path else "",
        )
        answer = HTMLResponse(html, status, error_headers(status))
        if wait:
            answer.headers["retry-after"] = str(wait)
        _set(door, answer, door.visit_cookie, visit, _VISIT_SECONDS)
        return answer

    @router.get(LOG_IN_PATH)
    async def show(request: Request, next: str = "/", ended: str = "") -> Response:
        next_path = own_address(next)
        if viewer_of(request) is not None:
            return RedirectResponse(next_path, 303)
        return await store.apart(page, request, next_path, gettext(_NOT_PROVED) if ended else "")

    @router.post(LOG_IN_PATH)
    async def log_in(request: Request) -> Response:
        began = time.monotonic()
        fields = {name: values[-1] for name, values in (await read_form(request)).items()}
        next_path = own_address(fields.get("next", ""))
        visit = request.cookies.get(door.visit_cookie, "")
        if not visit or not await store.apart(door.sessions.is_form_token, "log-in", visit, fields.get("token", "")):
            return await store.apart(page, request, next_path, gettext(_STALE), 403)
        try:
            entry = await in_line(
                door.log_in, caller_of(request).address, fields.get("name", ""), fields.get("password", "")
            )
        except TooManyTriesError as error:
            return await store.apart(page, request, next_path, error.words(), 429, error.seconds)
        except PostwatchError as error:
            return await store.apart(page, request, next_path, public_words(error), status_of(error)[0])
        if entry is None:
            await anyio.sleep(max(0.0, began + _LEAST_SECONDS - time.monotonic()))
            return await store.apart(page, request, next_path, gettext(_WRONG), 401)
        return await _let_in(door, store, request, entry, next_path)

    async def is_own(id_hash: str, fields: dict[str, str]) -> bool:
        return await store.apart(door.sessions.is_form_token, "log-out", id_hash, fields.get("token", ""))

    @router.post(LOG_OUT_PATH)
    async def log_out(request: Request) -> Response:
        guest = guest_of(request)
        fields = {name: values[-1] for name, values in (await read_form(request)).items()}
        answer = RedirectResponse(LOG_IN_PATH, 303)
        session = request.cookies.get(door.session_cookie, "")
        if guest is not None and guest.session is not None:
            if not await is_own(guest.session.id_hash, fields):
                raise ForbiddenError(_STALE)
            await store.apart(door.log_out, guest.session, caller_of(request).address)
        elif await is_own(await store.apart(door.sessions.id_hash, session), fields):
            # Nobody can say now whether it still holds: it ends too, or the page says that it can't.
            await store.apart(door.sessions.end, session)
        for cookie in (door.session_cookie, door.password_cookie):
            _set(door, answer, cookie, "", 0)
        return answer

    return router


def admit_by(door: Door, store: StateStore) -> Admit:
    """How every other way to log in begins a session."""

    async def admit(request: Request, identity: Identity, next_path: str, fingerprint: str) -> Response:
        entry = await store.apart(door.begin, caller_of(request).address, identity, fingerprint)
        if entry is None:
            raise ForbiddenError(N_("You have logged in, but no mail here is yours."))
        return await _let_in(door, store, request, entry, next_path)

    return admit


async def _let_in(door: Door, store: StateStore, request: Request, entry: Entry, next_path: str) -> Response:
    """Ends the session that this browser had, and begins the new one."""
    await store.apart(door.sessions.end, request.cookies.get(door.session_cookie, ""))
    answer = RedirectResponse(own_address(next_path), 303)
    _set(door, answer, door.session_cookie, entry.session_cookie)
    _set(door, answer, door.password_cookie, entry.password_cookie, None if entry.password_cookie else 0)
    _set(door, answer, door.visit_cookie, "", 0)
    return answer


def _set(door: Door, answer: Response, name: str, value: str, seconds: int | None = None) -> None:
    """A cookie of ours; without seconds it goes when the browser is closed."""
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path=door.site.base_path or "/",
        secure=door.site.is_secure,
        httponly=True,
        samesite="lax",
    )
