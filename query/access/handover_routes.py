"""Hand-over links: `POST /api/v1/hand-over` makes one for a panel, and `/hand-over` is where it leads.

The invariant: a GET changes nothing, whoever sends it. A browser that is logged in as somebody else asks first.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse
from postwatch.query.access.admission import Admit
from postwatch.query.access.handover import HandOverDesk, read_mailbox
from postwatch.query.access.state import StateStore
from postwatch.query.access.tokens import TokenBook, read_bearer
from postwatch.query.errors import ForbiddenError
from postwatch.query.identity import viewer_of
from postwatch.query.shapes import ErrorShape, Shape
from postwatch.query.web.rendering import render
from postwatch.streams.contracts.outcome import iso_time
from starlette.exceptions import HTTPException

API_PATH = "/api/v1/hand-over"
PAGE_PATH = "/hand-over"
_GONE = 410


class HandOverQuestion(Shape):
    mailbox: str
    """The address of the mailbox whose mail is shown."""


class HandOverShape(Shape):
    url: str
    """Send the mailbox's owner there at once; it works for a minute, and once."""
    expires_at: str


def link_of(public_url: str, code: str) -> str:
    return f"{public_url.rstrip('/')}{PAGE_PATH}?{urlencode({'code': code})}"


def handover_api_router(desk: HandOverDesk, book: TokenBook, store: StateStore, public_url: str) -> APIRouter:
    """`public_url`: the address of the pages as browsers see it; empty: the one that the panel asked at."""
    router = APIRouter()

    @router.post(
        API_PATH,
        status_code=201,
        tags=["hand-over"],
        responses={
            401: {"model": ErrorShape, "description": "There is no API token that works."},
            403: {"model": ErrorShape, "description": "The token is not for hand-over links to this mailbox."},
            422: {"model": ErrorShape, "description": "This is not a mailbox."},
            503: {"model": ErrorShape, "description": "Links can't be made at the moment: try again later."},
        },
    )
    async def make(request: Request, question: HandOverQuestion) -> HandOverShape:
        """A link that opens the page for one mailbox. For panels, from server to server."""

        def made() -> HandOverShape:
            secret = read_bearer(request.headers.get("authorization", ""))
            token = book.find(secret) if secret else None
            if token is None:
                raise HTTPException(401, "An API token is needed", {"WWW-Authenticate": "Bearer"})
            mailbox = read_mailbox(question.mailbox)
            if not token.scope.hands_over or not token.scope.covers(mailbox):
                raise ForbiddenError("This token is not for hand-over links to this mailbox")
            link = desk.make(mailbox, token.viewer.name)
            url = link_of(public_url or str(request.base_url), link.code)
            return HandOverShape(url=url, expires_at=iso_time(link.expires_at))

        return await store.apart(made)

    return router


def handover_page_router(desk: HandOverDesk, store: StateStore, admit: Admit) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get(PAGE_PATH, response_class=HTMLResponse)
    async def show(request: Request, code: str = "") -> HTMLResponse:
        viewer = viewer_of(request)
        if not desk.look(code):
            return _gone(request)
        return HTMLResponse(render("handover.html", viewer, code=code))

    @router.post(PAGE_PATH)
    async def use(request: Request, code: Annotated[str, Form()] = "") -> Response:
        identity = await store.apart(desk.use, code)
        if identity is None:
            return _gone(request)
        return await admit(request, identity, "/", "")

    def _gone(request: Request) -> HTMLResponse:
        return HTMLResponse(render("handover_gone.html", viewer_of(request)), _GONE)

    return router
