"""One page's events as server-sent events (WHATWG HTML, "Server-sent events").

The stream ends when the page is closed, when it is dropped for taking its events too slowly, when its viewer may no
longer see it, and when the process stops. Its id is a position, so that a browser goes on where it was.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

from postwatch.query.live.changes import Shown
from postwatch.query.live.hub import END, Event, LiveHub, Subscription
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

HEARTBEAT_SECONDS = 15.0
"""Proxies cut a connection on which nothing is sent for a minute."""
_FIRST_RETRY_MS, _RETRY_SPREAD_MS = 2_000, 3_000
"""Browsers come back after a restart one after the other."""
ABORT_KEY = "postwatch.abort"
"""Where the server leaves a function that closes the connection with what waits to be sent."""
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
"""nginx hands on what comes when it comes."""

RenderRow = Callable[[Shown], str]


def encode_position(position_ms: int) -> str:
    """A position → the id of an event. It is opaque to the browser."""
    return f"{position_ms:x}"


def decode_position(word: str) -> int | None:
    """None: it is no id of ours."""
    try:
        return int(word, 16) if len(word) <= 16 and word.isalnum() and word.isascii() else None
    except ValueError:
        return None


class LiveStream(Response):
    """The answer to a page that waits for new rows."""

    def __init__(self, hub: LiveHub, page: Subscription, render_row: RenderRow) -> None:
        super().__init__(headers=_HEADERS, media_type="text/event-stream")
        del self.headers["content-length"]
        self._hub = hub
        self._page = page
        self._render_row = render_row

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writing = asyncio.create_task(self._write(send))
        others = [asyncio.create_task(_disconnected(receive)), asyncio.create_task(self._page.dropped.wait())]
        try:
            await asyncio.wait([writing, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.close_page(self._page)
            for task in (writing, *others):
                task.cancel()
            results = await asyncio.gather(writing, *others, return_exceptions=True)
            if self._page.dropped.is_set() and (abort := scope.get(ABORT_KEY)):
                abort()  # else what it does not read would be kept for it
                await _disconnected(receive)
        if isinstance(results[0], Exception):
            raise results[0]

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

        async def write(text: str, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": text.encode("utf-8", "replace"), "more_body": more})

        await write(f"retry: {_FIRST_RETRY_MS + random.randrange(_RETRY_SPREAD_MS)}\n{self._id()}\n")
        while True:
            try:
                event = await asyncio.wait_for(self._page.events.get(), HEARTBEAT_SECONDS)
            except TimeoutError:
                await write(f": \n{self._id()}\n")  # an id without data moves the position, and tells the page nothing
                continue
            await write(self._text(event), more=event.kind != END)
            if event.kind == END:
                return

    def _id(self) -> str:
        return f"id: {encode_position(self._page.position_ms)}\n" if self._page.events.empty() else ""

    def _text(self, event: Event) -> str:
        body: dict[str, Any] = {}
        if event.changes:
            body = {
                "rows": [
                    {"id": one.row.id, "at": one.at_ms, "html": self._render_row(one)} for one in event.changes.shown
                ],
                "gone": event.changes.gone,
                "more": event.changes.has_more,
            }
        data = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        return f"event: {event.kind}\nid: {encode_position(event.position_ms)}\ndata: {data}\n\n"


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
