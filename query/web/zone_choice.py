"""The time zone of each request: the viewer's choice or his browser's (a cookie), else the setting's.

What is no page stays in UTC. The cookie says whose zone it is: `Europe/Berlin` was chosen, `auto:Europe/Berlin` is the
browser's, which static/local-time.js keeps up to date.
"""

from __future__ import annotations

from urllib.parse import unquote

from postwatch.producers.service.errors import SettingsError
from postwatch.query.web.choices import asks_for_page, cookie_of
from postwatch.query.zones import find_zone, showing
from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "postwatch_zone"
VARIABLE = "POSTWATCH_QUERY_TIME_ZONE"
OF_BROWSER = "auto:"


def zone_of_setting(name: str) -> str:
    """Raises SettingsError where there is no such zone."""
    if find_zone(name) is None:
        raise SettingsError(f"{VARIABLE}={name!r} is not a time zone: use a name such as Europe/Berlin, or UTC")
    return name


class ZoneChoice:
    """ASGI middleware: what is made inside shows its times in the viewer's zone."""

    def __init__(self, app: ASGIApp, default: str) -> None:
        self._app = app
        self._default = default

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not asks_for_page(scope):
            await self._app(scope, receive, send)
            return
        cookie = unquote(cookie_of(scope, COOKIE)).removeprefix(OF_BROWSER)
        with showing(cookie if find_zone(cookie) else self._default):
            await self._app(scope, receive, send)
