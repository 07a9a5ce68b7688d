"""The address at which an open page gets its new and changed rows."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from postwatch.query.identity import LIVE_ADDRESS, known_viewer
from postwatch.query.live.changes import Shown
from postwatch.query.live.hub import LiveHub
from postwatch.query.live.stream import LiveStream, decode_position, encode_position
from postwatch.query.orders import is_by_time
from postwatch.query.report_service import ReportService
from postwatch.query.reports.account import REPORT as ACCOUNT
from postwatch.query.reports.account_question import AccountFilters
from postwatch.query.web.columns import chosen_columns
from postwatch.query.web.list_choice import choice_of
from postwatch.query.web.rendering import render

FROM = "from"
"""The position of the page: everything before it is on it."""


def live_address(words: dict[str, str], position_ms: int) -> str:
    """Where a page with these filters gets its rows from the position on."""
    return f"{LIVE_ADDRESS}?" + urlencode(
        {name: word for name, word in words.items() if word} | {FROM: encode_position(position_ms)}
    )


def is_live(filters: AccountFilters) -> bool:
    """Whether what is new belongs on top of the page: it is the first one, the newest first."""
    return filters.after is None and is_by_time(filters.by, filters.is_ascending)


def live_router(service: ReportService, hub: LiveHub) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    async def live(request: Request) -> Response:
        """On the event loop, unlike the reports: it waits for its page's whole life."""
        viewer = known_viewer(request)
        words = {one.name: request.query_params.get(one.name, "").strip() for one in ACCOUNT.filters}
        window = service.window(viewer, ACCOUNT.question_of(words))
        position_ms = decode_position(request.headers.get("last-event-id") or request.query_params.get(FROM, ""))
        columns = chosen_columns(viewer, choice_of(request).columns, words["account"])
        page = hub.open(window, request.scope, position_ms or 0)

        def render_row(shown: Shown) -> str:
            return render("row.html", viewer, row=shown.row, at_ms=shown.at_ms, columns=columns)

        return LiveStream(hub, page, render_row)

    router.add_api_route(LIVE_ADDRESS, live, response_class=Response)
    return router
