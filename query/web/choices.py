"""What a request says of how its viewer wants pages: a cookie for each choice.

The invariant: what is no page knows no choice.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

_NO_PAGES = ("/api/", "/static/", "/health", "/metrics")


def asks_for_page(scope: Scope) -> bool:
    """False for what programs and browsers ask by themselves."""
    return scope["type"] == "http" and not scope["path"].startswith(_NO_PAGES)


def cookie_of(scope: Scope, name: str) -> str:
    """Empty: there is none."""
    return cookie_parser(Headers(scope=scope).get("cookie", "")).get(name, "")
