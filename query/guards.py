"""The checks of every request: where it comes from, who sends it, and what a browser may do with the answer.

Without log-in whoever reaches the server can read everybody's mail log. So it then listens on loopback only, and
answers only requests whose Host header names loopback too: a hostile page whose name is made to point to 127.0.0.1 (DNS
rebinding) sends its own name. With log-in it answers to its public names too, and shows nothing but the log-in to
whoever it does not know. A form that another site sends is refused always.
"""

from __future__ import annotations

from typing import cast
from urllib.parse import urlencode

import anyio
import anyio.to_thread
from postwatch.producers.service.errors import PostwatchError, SettingsError
from postwatch.producers.service.health import parse_address
from postwatch.query.access.door import DUE, GUEST, Door, Guest
from postwatch.query.access.openid_again import AGAIN_PATH
from postwatch.query.access.site import Caller, Site, is_loopback
from postwatch.query.answers import API_PREFIX, error_answer, public_words, status_of
from postwatch.query.cpanel.envelopes import is_cpanel_path
from postwatch.query.cpanel.routes import denied
from postwatch.query.errors import FilterError
from postwatch.query.identity import (
    LIVE_ADDRESS,
    LOG_IN_ADDRESS,
    UNATTENDED_HEADER,
    Asker,
    Identify,
    answering,
    set_viewer,
)
from postwatch.query.translation import N_, gettext
from prometheus_client import Counter
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LISTEN_VARIABLE = "POSTWATCH_QUERY_LISTEN"
LOG_IN_PATH = LOG_IN_ADDRESS

_REQUESTS = Counter("postwatch_http_requests_total", "Requests answered, by status code.", ["status"])
_REFUSED = Counter(
    "postwatch_http_refused_requests_total", "Requests refused before anybody was asked for, by reason.", ["reason"]
)

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with no-referrer a browser sends our own forms with `Origin: null`
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_NO_LOG_IN = ("/language", LOG_IN_PATH, "/log-out", "/hand-over")
"""What needs no log-in: these, and what is below them."""
_NOBODY_ASKED = ("/static", "/health", "/metrics", "/.well-known")
"""Likewise, and the state is not asked who it is either."""
MOST_BODY_BYTES = 64 * 1024
"""Of a request: no form and no question is as long."""
_THREADS = 64
_CALLER = "postwatch.caller"

_LOCAL_ONLY = N_("Open this page as http://127.0.0.1 or http://localhost on the machine itself.")
_OTHER_HOST = N_("This page has another address.")
_UNENCRYPTED = N_("Open %(address)s: this connection is not encrypted.")
_OTHER_SITE = N_("This form was sent by another site.")
_LOG_IN_FIRST = N_("Log in, or send an API token.")
_NO_PAGE = N_("There is no page at %(path)s")
_TOO_LONG = N_("The form is too long")


def listen_address(listen: str, site: Site, has_log_in: bool) -> tuple[str, int]:
    """'127.0.0.1:8080' → host and port. Raises SettingsError for one that others could reach without a log-in."""
    host, port = parse_address(listen, LISTEN_VARIABLE)
    if is_loopback(host):
        return host, port
    if not has_log_in:
        raise SettingsError(
            f"{LISTEN_VARIABLE}={listen!r} would let other machines in, but log-in is off: set POSTWATCH_ACCESS_IMAP,"
            f" or use 127.0.0.1:{port}, and from other machines a tunnel: ssh -L {port}:127.0.0.1:{port} MACHINE"
        )
    if not site.url:
        raise SettingsError(
            f"{LISTEN_VARIABLE}={listen!r} lets other machines in: set POSTWATCH_ACCESS_PUBLIC_URL to the address that"
            " browsers use, such as https://track.example.net"
        )
    return host, port


def caller_of(request: Request) -> Caller:
    return cast("Caller", request.scope[_CALLER])


def guest_of(request: Request) -> Guest | None:
    """Who has logged in; None: nobody, or there is no log-in."""
    return cast("Guest | None", request.scope.get(GUEST))


class Guard:
    """ASGI middleware around the whole application. Without a door everybody is who `identify` says."""

    def __init__(self, app: ASGIApp, identify: Identify, site: Site | None = None, door: Door | None = None) -> None:
        self._app = app
        self._identify = identify
        self._site = site or Site()
        self._door = door
        self._threads: anyio.CapacityLimiter | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        base_path = self._site.base_path

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _REQUESTS.labels(str(message["status"])).inc()
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("cache-control", "no-store")
                if base_path and headers.get("location", "").startswith("/"):
                    headers["location"] = base_path + headers["location"]
            await send(message)

        # The routes know GET alone; uvicorn leaves out the body of an answer to HEAD.
        scope = {**scope, "method": "GET" if scope["method"] == "HEAD" else scope["method"]}
        caller = self._site.caller(scope)
        scope[_CALLER] = caller
        scope["scheme"] = "https" if caller.is_secure or self._site.is_secure else "http"
        with answering(Asker(caller.address, base_path=base_path, has_log_in=self._door is not None)):
            answer = self._refusal(scope, caller) or await self._recognize(scope)
        if answer is not None:
            await answer(scope, receive, send_guarded)
            return
        guest = scope.get(GUEST)
        token = self._door.log_out_token(guest) if self._door and guest else ""
        with answering(Asker(caller.address, guest.method if guest else "", token, base_path, self._door is not None)):
            await self._app(scope, _bounded(receive), send_guarded)

    def _refusal(self, scope: Scope, caller: Caller) -> Response | None:
        """What a request gets that nobody is asked about; None: it may go on."""
        request = Request(scope)
        headers = Headers(scope=scope)
        if not self._site.knows_host(headers.get("host", "")):
            _REFUSED.labels("host").inc()
            return error_answer(request, 421, "wrong_host", gettext(_OTHER_HOST if self._door else _LOCAL_ONLY))
        if self._door and self._site.is_secure and not caller.is_secure and not caller.is_local:
            _REFUSED.labels("unencrypted").inc()
            return error_answer(request, 403, "unencrypted", gettext(_UNENCRYPTED, address=self._site.url))
        if scope["method"] not in ("GET", "OPTIONS") and not self._is_own_form(headers):
            _REFUSED.labels("other_site").inc()
            return error_answer(request, 403, "other_site", gettext(_OTHER_SITE))
        if _body_bytes(headers) > MOST_BODY_BYTES:
            _REFUSED.labels("too_long").inc()
            return error_answer(request, 413, "too_long", gettext(_TOO_LONG))
        if self._door and scope["path"] == "/metrics" and not caller.is_local:
            return error_answer(request, 404, "not_found", gettext(_NO_PAGE, path="/metrics"))
        return None

    def _is_own_form(self, headers: Headers) -> bool:
        """Whether a browser says that this comes from a page of ours. A program says nothing, and holds no cookie."""
        if (fetch_site := headers.get("sec-fetch-site")) is not None:
            return fetch_site == "same-origin"
        origin = headers.get("origin")
        if origin is None:
            return True
        # In full: `urlsplit` refuses some of what a client may write.
        return origin.partition("://")[2].lower() == headers.get("host", "").lower()

    async def _recognize(self, scope: Scope) -> Response | None:
        """Finds out who asks → the answer for whoever must log in first; None: the request may go on."""
        path: str = scope["path"]
        if self._door is None:
            set_viewer(scope, self._identify(scope))
            return None
        set_viewer(scope, None)
        if _is_below(path, _NOBODY_ASKED):
            return None
        is_open = _is_below(path, _NO_LOG_IN)
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(_THREADS)
        try:
            viewer = await anyio.to_thread.run_sync(self._identify, scope, limiter=self._threads)
        except PostwatchError as error:
            return None if is_open else error_answer(Request(scope), *_named(error))
        set_viewer(scope, viewer)
        if is_open:
            return None
        wanted = _wanted(scope) if scope["method"] == "GET" else "/"
        if scope.get(DUE) is not None and _shows_a_page(scope) and (viewer is None or scope["method"] == "GET"):
            return RedirectResponse(f"{AGAIN_PATH}?{urlencode({'next': wanted})}", 303)
        if viewer is not None:
            return None
        if is_cpanel_path(path):
            return denied()
        if path.startswith(API_PREFIX):
            answer = error_answer(Request(scope), 401, "log_in_first", gettext(_LOG_IN_FIRST))
            answer.headers["www-authenticate"] = "Bearer"
            return answer
        next_words = urlencode({"next": wanted}) if wanted != "/" else ""
        return RedirectResponse(f"{LOG_IN_PATH}?{next_words}".rstrip("?"), 303)


def _shows_a_page(scope: Scope) -> bool:
    """Whether a browser goes where it is sent, and shows what it gets. What a page's own script asks for does not."""
    headers = Headers(scope=scope)
    if scope["path"].startswith((API_PREFIX, LIVE_ADDRESS)):
        return False
    return UNATTENDED_HEADER not in headers and headers.get("sec-fetch-mode", "navigate") == "navigate"


def _wanted(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    return cast("bytes", scope.get("raw_path") or b"").decode("latin-1") + (f"?{query}" if query else "")


def _is_below(path: str, places: tuple[str, ...]) -> bool:
    """Whether the path is one of these, or below one: `/log-in/openid` is, `/log-ins` is not."""
    return any(path == place or path.startswith(f"{place}/") for place in places)


def _body_bytes(headers: Headers) -> int:
    """As the client announces it; 0 where it does not."""
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 20 else 0


def _bounded(receive: Receive) -> Receive:
    """What a client sends, up to MOST_BODY_BYTES: what reads it whole holds no more. Raises FilterError."""
    taken = 0

    async def receive_bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MOST_BODY_BYTES:
            raise FilterError(_TOO_LONG)
        return message

    return receive_bounded


def _named(error: PostwatchError) -> tuple[int, str, str]:
    return (*status_of(error), public_words(error))
