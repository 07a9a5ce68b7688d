"""The checks of every request: only this machine may ask, and a browser may do only what the pages need.

There is no log-in yet, so whoever reaches the server can read everybody's mail log. It listens on loopback only, and
answers only requests whose Host header names loopback too: a hostile page whose name is made to point to 127.0.0.1
(DNS rebinding) sends its own name.
"""

from __future__ import annotations

import ipaddress

from postwatch.producers.service.errors import SettingsError
from postwatch.producers.service.health import parse_address
from postwatch.query.answers import error_answer
from postwatch.query.identity import Identify, set_viewer
from prometheus_client import Counter
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LISTEN_VARIABLE = "POSTWATCH_QUERY_LISTEN"

_REQUESTS = Counter("postwatch_http_requests_total", "Requests answered, by status code.", ["status"])
_REFUSED = Counter("postwatch_http_refused_requests_total", "Requests refused for a Host header that is not loopback.")

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def loopback_address(listen: str) -> tuple[str, int]:
    """'127.0.0.1:8080' → host and port. Raises SettingsError for an address that others could reach."""
    host, port = parse_address(listen, LISTEN_VARIABLE)
    if not is_loopback(host):
        raise SettingsError(
            f"{LISTEN_VARIABLE}={listen!r} would let other machines in, but there is no log-in yet: use"
            f" 127.0.0.1:{port}, and from other machines a tunnel: ssh -L {port}:127.0.0.1:{port} MACHINE"
        )
    return host, port


def is_loopback(host: str) -> bool:
    """Whether a host name or address is loopback; no DNS query is made."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_name(header: str) -> str:
    """'[::1]:8080' → '::1', 'localhost:8080' → 'localhost'."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, identify: Identify) -> None:
        self._app = app
        self._identify = identify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _REQUESTS.labels(str(message["status"])).inc()
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        if not is_loopback(_host_name(Headers(scope=scope).get("host", ""))):
            _REFUSED.inc()
            refusal = error_answer(
                Request(scope),
                421,
                "wrong_host",
                "Open this page as http://127.0.0.1 or http://localhost on the machine itself.",
            )
            await refusal(scope, receive, send_guarded)
            return
        if scope["method"] == "HEAD":  # the routes know GET alone; uvicorn leaves out the body of an answer to HEAD
            scope = {**scope, "method": "GET"}
        set_viewer(scope, self._identify(scope))
        await self._app(scope, receive, send_guarded)
