"""The open pages of this process, and the one poll of the tables that they share.

Everything here runs on the event loop, but for the reading itself. Invariants: the number of statements a second does
not depend on the number of pages; a page that does not take its events is dropped, and costs the others nothing; a page
misses nothing between two connections, or is told to begin anew.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog
from postwatch.producers.service.errors import PostwatchError
from postwatch.producers.service.lifecycle import now_ms
from postwatch.query.errors import BusyError, TooManyPagesError
from postwatch.query.live.arrivals import OVERLAP_MS, Arrivals, Found, Group
from postwatch.query.live.belonging import WatchKey, keys_of, watch_keys
from postwatch.query.live.changes import Changes, changes_of
from postwatch.query.reports.account_window import Window
from prometheus_client import Counter, Gauge
from starlette.types import Scope

log = structlog.get_logger()

_PAGES = Gauge("postwatch_live_pages", "Open pages that get new rows by themselves.")
_POLLS = Counter("postwatch_live_polls_total", "Polls of the tables for open pages, by result.", ["end"])
_DROPPED = Counter("postwatch_live_dropped_pages_total", "Pages that were cut off, by reason.", ["reason"])

MOST_WAITING_EVENTS = 32
"""Events that a page may leave waiting before it is dropped."""
RESUME_MS = 300_000
"""A page that was away for longer begins anew."""
_MOST_KEPT_GROUPS = 5_000
MOST_OF_OWNER = 20
"""Pages that a viewer who does not see all may have open, so that nobody takes everybody's places."""
VALIDITY_SECONDS = 3.0
"""How often it is asked again whether a page's viewer may still see it."""
_CHECKERS = 8
"""A log-in that is checked at a slow IMAP server holds no other one up."""

_NOTHING = Changes()
AWAY, BACK, RELOAD, END = "away", "back", "reload", "end"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a page is told."""

    kind: str
    """`rows`, or one of AWAY, BACK, RELOAD and END."""
    position_ms: int
    changes: Changes = _NOTHING


@dataclass(slots=True, eq=False)
class Subscription:
    """An open page."""

    window: Window
    scope: Scope
    """The request, by which its viewer is known."""
    events: asyncio.Queue[Event] = field(default_factory=lambda: asyncio.Queue(MOST_WAITING_EVENTS))
    position_ms: int = 0
    dropped: asyncio.Event = field(default_factory=asyncio.Event)
    """It left too many events waiting."""

    def tell(self, event: Event) -> None:
        try:
            self.events.put_nowait(event)
        except asyncio.QueueFull:
            if not self.dropped.is_set():
                _DROPPED.labels("slow").inc()
                self.dropped.set()


class LiveHub:
    """Polls while there is a page. `still_valid` says whether the viewer of a request may still see what he sees."""

    def __init__(
        self,
        arrivals: Arrivals,
        still_valid: Callable[[Subscription], bool],
        most_pages: int,
        poll_seconds: float,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._arrivals = arrivals
        self._still_valid = still_valid
        self._most_pages = most_pages
        self._poll_seconds = poll_seconds
        self._clock_ms = clock_ms
        self._pages: dict[WatchKey, set[Subscription]] = {}
        self._all: set[Subscription] = set()
        self._kept: deque[tuple[int, tuple[Group, ...], bool]] = deque()
        """The last polls: position, what they found, whether there was more."""
        self._kept_groups = 0
        self._complete_since_ms = 0
        """From this position on, all that was found is kept."""
        self._position_ms = 0
        """Everything inserted before it, less the overlap, was read; 0: nothing was."""
        self._look_back_to_ms = 0
        """The next poll reads from here on, for a page that was opened since; 0: from the position on."""
        self._ahead_ms = 0
        """How far ClickHouse's clock is ahead of this machine's."""
        self._is_away = False
        self._is_closed = False
        self._has_failed = False
        """On a bug of ours, which is logged once."""
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()
        self._reading = ThreadPoolExecutor(1, "live-poll")
        self._checking = ThreadPoolExecutor(_CHECKERS, "live-check")

    @property
    def pages(self) -> int:
        return len(self._all)

    def position(self) -> int:
        """Where a page begins whose rows are read now: ClickHouse's clock, as far as it is known."""
        return self._clock_ms() + self._ahead_ms

    def open(self, window: Window, scope: Scope, position_ms: int) -> Subscription:
        """A page that has everything up to the position. Raises TooManyPagesError."""
        if self._is_closed or len(self._all) >= self._most_pages:
            raise TooManyPagesError(f"{len(self._all)} pages are open already; try again later")
        viewer = window.viewer
        if not viewer.sees_all and sum(page.window.viewer == viewer for page in self._all) >= MOST_OF_OWNER:
            raise TooManyPagesError(f"{viewer.name} has {MOST_OF_OWNER} pages open already")
        page = Subscription(window, scope, position_ms=position_ms)
        self._all.add(page)
        for key in watch_keys(window):
            self._pages.setdefault(key, set()).add(page)
        _PAGES.set(len(self._all))
        self._catch_up(page, position_ms)
        if self._is_away:
            page.tell(Event(AWAY, position_ms))
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._poll_on()), asyncio.create_task(self._check_on())]
        self._wake.set()
        return page

    def close_page(self, page: Subscription) -> None:
        self._all.discard(page)
        for key in watch_keys(page.window):
            pages = self._pages.get(key, set())
            pages.discard(page)
            if not pages:
                self._pages.pop(key, None)
        _PAGES.set(len(self._all))

    async def close(self) -> None:
        """Ends every stream; the process stops."""
        self._is_closed = True
        for page in self._all:
            page.tell(Event(END, page.position_ms))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._reading.shutdown(wait=False, cancel_futures=True)
        self._checking.shutdown(wait=False, cancel_futures=True)

    def _catch_up(self, page: Subscription, position_ms: int) -> None:
        """What was found since the position, if all of it is kept; the next poll brings what was not watched."""
        now_ms = self.position()
        from_ms = position_ms - OVERLAP_MS
        if not now_ms - RESUME_MS <= position_ms <= now_ms + RESUME_MS or from_ms < self._complete_since_ms:
            page.tell(Event(RELOAD, now_ms))
            return
        if not self._look_back_to_ms or from_ms < self._look_back_to_ms:
            self._look_back_to_ms = from_ms
        for found_ms, groups, has_more in self._kept:
            if found_ms >= from_ms:
                if has_more:
                    page.tell(Event(RELOAD, found_ms))
                    return
                self._tell_rows(page, groups, found_ms, is_repeat=True)

    async def _poll_on(self) -> None:
        while True:
            if not self._all:
                self._wake.clear()
                await self._wake.wait()
                self._position_ms = 0  # nobody waits for what came meanwhile: a page says where it begins
            began = time.monotonic()
            try:
                await self._poll()
            except Exception:
                _POLLS.labels("failed").inc()
                if not self._has_failed:  # each poll would say it again
                    log.exception("live_poll_failed")
                self._has_failed = True
            await asyncio.sleep(max(0.05, self._poll_seconds - (time.monotonic() - began)))

    async def _poll(self) -> None:
        window_ms, looked_back_to, began_ms = self._window_ms(), self._look_back_to_ms, self._clock_ms()
        self._look_back_to_ms = 0
        try:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._reading, self._arrivals.poll, list(self._pages), window_ms)
        except PostwatchError as error:
            if looked_back_to:
                self._look_back_to_ms = min(looked_back_to, self._look_back_to_ms or looked_back_to)
            _POLLS.labels("away").inc()
            if not self._is_away and not isinstance(error, BusyError):
                self._is_away = True
                log.warning("live_away", error=str(error))
                self._tell_all(AWAY)
            return
        _POLLS.labels("answered").inc()
        missed = self._position_ms and window_ms < found.position_ms - self._position_ms
        self._position_ms = found.position_ms
        self._ahead_ms = found.position_ms - began_ms
        if self._is_away:
            self._is_away = False
            log.info("live_back")
            self._tell_all(BACK)
        if missed or found.has_more:
            self._tell_all(RELOAD)
        else:
            self._tell_found(found)
        self._keep(found)

    def _window_ms(self) -> int:
        """How far back to look: to the poll before, or to where a page began that was opened since."""
        now_ms = self.position()
        from_ms = min(self._position_ms or now_ms, now_ms) - OVERLAP_MS
        if self._look_back_to_ms:
            from_ms = min(from_ms, self._look_back_to_ms)
        return min(max(now_ms - from_ms, OVERLAP_MS), RESUME_MS + 2 * OVERLAP_MS)

    def _tell_found(self, found: Found) -> None:
        concerned: dict[Subscription, list[Group]] = {}
        for group in found.groups:
            pages: set[Subscription] = set()
            for key in keys_of(group.members[0].row):
                pages |= self._pages.get(key, set())
            for page in pages:
                concerned.setdefault(page, []).append(group)
        for page, groups in concerned.items():
            self._tell_rows(page, groups, found.position_ms)

    def _tell_rows(
        self, page: Subscription, groups: Iterable[Group], position_ms: int, *, is_repeat: bool = False
    ) -> None:
        changes = changes_of(page.window, groups, position_ms, is_repeat=is_repeat)
        page.position_ms = position_ms
        if changes:
            page.tell(Event("rows", position_ms, changes))

    def _tell_all(self, kind: str) -> None:
        for page in self._all:
            page.tell(Event(kind, page.position_ms))

    def _keep(self, found: Found) -> None:
        """For pages that come back. What falls out of it is what a page can't come back to."""
        for page in self._all:
            page.position_ms = found.position_ms
        if found.groups or found.has_more:
            self._kept.append((found.position_ms, found.groups, found.has_more))
            self._kept_groups += len(found.groups)
        while self._kept and (
            self._kept_groups > _MOST_KEPT_GROUPS or self._kept[0][0] < found.position_ms - RESUME_MS - OVERLAP_MS
        ):
            position_ms, groups, _ = self._kept.popleft()
            self._kept_groups -= len(groups)
            self._complete_since_ms = position_ms + 1

    async def _check_on(self) -> None:
        """Log-out, revocation and expiry end the stream."""
        while True:
            await asyncio.sleep(VALIDITY_SECONDS)
            pages = list(self._all)
            try:
                loop = asyncio.get_running_loop()
                valid = await asyncio.gather(
                    *(loop.run_in_executor(self._checking, self._is_valid, page) for page in pages)
                )
            except Exception:
                log.exception("live_check_failed")
                continue
            for page, is_valid in zip(pages, valid, strict=True):
                if not is_valid:
                    _DROPPED.labels("revoked").inc()
                    page.tell(Event(END, page.position_ms))

    def _is_valid(self, page: Subscription) -> bool:
        try:
            return self._still_valid(page)
        except PostwatchError:
            return False  # who can't be asked about is not let in
        except Exception:  # a bug of ours: this page ends, and the others are still asked about
            log.exception("live_check_failed")
            return False
