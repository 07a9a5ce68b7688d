"""What every way to log in shares: how a proved identity becomes a session, names of cookies, and ways back."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from postwatch.query.access.roles import Identity
from starlette.requests import Request
from starlette.responses import Response

Admit = Callable[[Request, Identity, str, str], Awaitable[Response]]
"""A request, who it proved to be, the path that he wanted, and the fingerprint of his password → an answer that begins
a session and leads there. Raises ForbiddenError for an identity that sees nobody's mail, StateError."""

_OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
"""A path of this site: `//host` and `/\\host` lead elsewhere."""


def is_own_path(path: str) -> bool:
    return bool(_OWN_PATH.fullmatch(path))


def cookie_name(name: str, is_secure: bool) -> str:
    """`__Host-`: a browser takes such a cookie only over TLS, from this very host, for all of its paths."""
    return f"__Host-{name}" if is_secure else name
