"""Who a request comes from. The guard finds out once, before anything else sees the request."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import cast

from postwatch.query.errors import ForbiddenError
from postwatch.query.viewer import Viewer
from starlette.requests import Request
from starlette.types import Scope

_KEY = "postwatch.viewer"

LOG_IN_ADDRESS = "/log-in"
LIVE_ADDRESS = "/live"
"""Where an open page waits for new rows."""
UNATTENDED_HEADER = "x-unattended"
"""Tells that nobody did anything: an open page asks by itself."""

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


@dataclass(frozen=True, slots=True)
class Asker:
    """How a request came, for the audit log and for the header of pages."""

    client: str
    method: str = ""
    log_out_token: str = ""
    """Of the log-out form; empty: there is no session to end."""
    base_path: str = ""
    """Before every address of the pages: '' or '/postwatch'."""
    has_log_in: bool = False


_asker: ContextVar[Asker | None] = ContextVar("postwatch_asker", default=None)


def asker() -> Asker | None:
    """None: no request is being answered, or there is no log-in."""
    return _asker.get()


@contextlib.contextmanager
def answering(one: Asker | None) -> Iterator[None]:
    """What is called inside, also in the framework's threads, is done for this request."""
    token = _asker.set(one)
    try:
        yield
    finally:
        _asker.reset(token)
