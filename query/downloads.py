"""Whole results as files, in flat memory: a page is read, sent and forgotten before the next one is read.

No query waits for a slow client, and no client that takes nothing holds a place. A file that breaks off never looks
whole: its last line says so, and the connection ends without the end that HTTP asks for.
"""

from __future__ import annotations

import threading
import zlib
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import structlog
from anyio.to_thread import run_sync
from postwatch.producers.service.errors import PostwatchError
from postwatch.query.errors import BusyError
from postwatch.query.files import FORMATS, FileFormat, broken_off, file_name, file_texts
from postwatch.query.report_service import ReportService
from postwatch.query.reports.registry import AnyReport
from postwatch.query.viewer import Viewer
from prometheus_client import Counter
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

log = structlog.get_logger()

_DOWNLOADS = Counter("postwatch_downloads_total", "Downloads of whole results, by how they ended.", ["end"])
_ROWS = Counter("postwatch_downloaded_rows_total", "Rows that downloads have sent.")

MAX_PER_VIEWER = 2
SEND_SECONDS = 60.0
"""A client that takes nothing for so long is gone."""
_GZIP_LEVEL = 5
_GZIP_WINDOW = 31
"""zlib's number for the format of gzip with the largest window."""


class Downloads:
    """The files that are being made, never more than `most` at a time, and few for one viewer."""

    def __init__(self, service: ReportService, most: int) -> None:
        self._service = service
        self._most = most
        self._running: Tally[str] = Tally()
        self._changing = threading.Lock()

    def open(self, viewer: Viewer, report: AnyReport, question: Any, form: str, is_gzip: bool) -> Response:
        """The answer whose body is the file. The first page is read before, so that what is wrong with the question
        is told as with any other. Raises BusyError beyond the bound."""
        end = self._begin(viewer)
        try:
            pages = self._service.pages(viewer, report, question)
            texts = file_texts(report, pages, form)
            first = next(texts)
        except BaseException:
            end()
            raise
        name = file_name(form, self._service.now_ms())
        log.info("download_begun", viewer=viewer.name, report=report.operation, form=form)
        return _FileResponse(_Body(first, texts, form, is_gzip), name, FORMATS[form], SEND_SECONDS, end)

    def _begin(self, viewer: Viewer) -> Callable[[], None]:
        with self._changing:
            if self._running.total() >= self._most or self._running[viewer.name] >= MAX_PER_VIEWER:
                _DOWNLOADS.labels("busy").inc()
                raise BusyError("enough files are being downloaded already; try again soon")
            self._running[viewer.name] += 1

        def end() -> None:
            with self._changing:
                self._running[viewer.name] -= 1
                self._running += Tally()  # forgets who has none

        return end


class _Body:
    """The bytes of a file, as they are asked for."""

    def __init__(self, first: tuple[str, int], texts: Iterator[tuple[str, int]], form: str, is_gzip: bool) -> None:
        self._first: tuple[str, int] | None = first
        self._texts = texts
        self._form = form
        self._gzip = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_WINDOW) if is_gzip else None
        self.is_gzip = is_gzip

    def read(self) -> bytes | None:
        """The next piece; None: that was the last."""
        found, self._first = self._first or next(self._texts, None), None
        if found is None:
            return None
        text, rows = found
        _ROWS.inc(rows)
        return self._packed(text)

    def end(self) -> bytes:
        return self._gzip.flush() if self._gzip else b""

    def broken_off(self) -> bytes:
        """A gzip of this lacks its end too."""
        return self._packed(broken_off(self._form)) + (self._gzip.flush(zlib.Z_SYNC_FLUSH) if self._gzip else b"")

    def _packed(self, text: str) -> bytes:
        return self._gzip.compress(text.encode()) if self._gzip else text.encode()


class _FileResponse(Response):
    """Sends a body; ends without the last chunk where the body breaks off, for the server to cut the connection."""

    def __init__(self, body: _Body, name: str, kind: FileFormat, send_seconds: float, end: Callable[[], None]) -> None:
        self.status_code = 200
        self.background = None
        headers = {
            "content-type": f"{kind.media_type}; charset=utf-8",
            "content-disposition": f'attachment; filename="{name}"',
            "vary": "Accept-Encoding",
        }
        if body.is_gzip:
            headers["content-encoding"] = "gzip"
        self.init_headers(headers)
        self._file = body
        self._send_seconds = send_seconds
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        end = "cancelled"  # by the server, which stops
        try:
            async with anyio.create_task_group() as tasks:

                async def watch() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    tasks.cancel_scope.cancel()

                tasks.start_soon(watch)
                end = "left"  # unless `_send_file` comes to an end of its own
                end = await self._send_file(send)
                tasks.cancel_scope.cancel()
        finally:
            self._end()
            _DOWNLOADS.labels(end).inc()
            log.info("download_ended", end=end)

    async def _send_file(self, send: Send) -> str:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            while (piece := await run_sync(self._file.read)) is not None:
                if piece and not await self._sent(send, piece):
                    return "stalled"
        except PostwatchError as error:
            log.warning("download_broken_off", error=str(error))
            await self._sent(send, self._file.broken_off())
            return "broken_off"
        last: Message = {"type": "http.response.body", "body": self._file.end(), "more_body": False}
        await send(last)
        return "whole"

    async def _sent(self, send: Send, piece: bytes) -> bool:
        """Whether the client took it in time."""
        with anyio.move_on_after(self._send_seconds) as waiting:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        return not waiting.cancelled_caught
