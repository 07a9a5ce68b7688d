"""Who a request comes from. The guard finds out once, before anything else sees the request."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from postwatch.query.errors import ForbiddenError
from postwatch.query.viewer import Viewer
from starlette.requests import Request
from starlette.types import Scope

_KEY = "postwatch.viewer"

Identify = Callable[[Scope], Viewer | None]
"""A request → its viewer; None: nobody."""


def set_viewer(scope: Scope, viewer: Viewer | None) -> None:
    scope[_KEY] = viewer


def viewer_of(request: Request) -> Viewer | None:
    """None: nobody has logged in, or the request was refused before that was asked."""
    return cast("Viewer | None", request.scope.get(_KEY))


def known_viewer(request: Request) -> Viewer:
    """Raises ForbiddenError where nobody has logged in."""
    viewer = viewer_of(request)
    if viewer is None:
        raise ForbiddenError("log in first")
    return viewer
