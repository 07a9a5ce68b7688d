"""What every way to log in shares: how a proved identity becomes a session, and names of cookies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from postwatch.query.access.roles import Identity
from starlette.requests import Request
from starlette.responses import Response

Admit = Callable[[Request, Identity, str, str], Awaitable[Response]]
"""A request, who it proved to be, the path that he wanted, and the fingerprint of his password → an answer that begins
a session and leads there. Raises ForbiddenError for an identity that sees nobody's mail, StateError."""


def cookie_name(name: str, is_secure: bool) -> str:
    """`__Host-`: a browser takes such a cookie only over TLS, from this very host, for all of its paths."""
    return f"__Host-{name}" if is_secure else name
