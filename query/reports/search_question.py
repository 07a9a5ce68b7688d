"""What people search for, and the same checked. Raises FilterError that names the filter and what it takes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from postwatch.query import filters
from postwatch.query.errors import FilterError, about
from postwatch.query.orders import Position, decode_cursor
from postwatch.query.reports.report import asked
from postwatch.query.row_keys import FindRowIds
from postwatch.query.search_terms import KINDS, Term, candidates
from postwatch.query.spans import read_span
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.outcome import REASONS

_SIZE = re.compile(r"(\d{1,15})\s?([kmg]?)(i?b)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


@dataclass(frozen=True, slots=True)
class SearchQuestion:
    """What people ask, in their words. Empty text means: any."""

    q: str = asked(
        "", doc="a queue id, a Message-ID, an address, a domain, an IP address, a host, or words", is_bare=True
    )
    kind: str = asked("", doc="take it for this, whatever it looks like", choices=KINDS)
    server: str = asked("", doc="only mail of this server of ours")
    direction: str = asked("", doc="only sent, or only received mail", choices=filters.DIRECTIONS)
    status: str = asked("", doc="only this status, or several with commas between them", choices=filters.STATUS_WORDS)
    reason: str = asked("", doc="only mail that failed or waits for this reason", choices=tuple(REASONS))
    provider: str = asked("", doc="only mail to this provider, such as Google")
    larger: str = asked("", doc="only mail of at least this size, such as 500k or 10M")
    smaller: str = asked("", doc="only mail of at most this size")
    days: int | None = asked(None, doc="the last N days (default: 30, or the retention if that is shorter)")
    since: str = asked("", doc="the last event at or after this time: YYYY-MM-DD, or YYYY-MM-DD HH:MM")
    until: str = asked("", doc="the last event before the end of this day, or before this time")
    zone: str = asked("", doc="the time zone of since and until, such as Europe/Berlin (default: UTC)")
    limit: int | None = asked(None, doc=f"rows on a page, 1 to {filters.MAX_PAGE_ROWS} (default: 50)")
    cursor: str = asked("", doc="show the next page: next_cursor of the page before")


@dataclass(frozen=True, slots=True)
class SearchFilters:
    """A question that was checked. Empty text, and no status, means: any."""

    terms: tuple[Term, ...]
    """What the text may be, the likeliest first; none: only filters were given."""
    days: int
    limit: int
    server: str = ""
    direction: str = ""
    statuses: tuple[str, ...] = ()
    reason: str = ""
    provider: str = ""
    least_bytes: int | None = None
    most_bytes: int | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    after: Position | None = None
    """Only the rows behind this place: the next page."""


def read_search(
    question: SearchQuestion, viewer: Viewer, retention_days: int, page_rows: int, find_ids: FindRowIds
) -> SearchFilters:
    """People's words → filters."""
    with about("q"):
        terms = candidates(question.q, question.kind.strip().lower())
    after = decode_cursor(question.cursor, find_ids) if question.cursor else None
    if after is not None and (after.by, after.is_ascending) != ("event", False):
        raise FilterError("the cursor is not valid: leave it out to start with the first page")
    with about("server"):
        server = filters.clean_text(question.server, "server").lower()
        if server and not viewer.is_engineer:
            raise FilterError("only engineers may search by server")
    with about("direction"):
        direction = filters.read_direction(question.direction)
    with about("status"):
        statuses = filters.read_statuses(question.status)
    with about("reason"):
        reason = filters.clean_text(question.reason, "reason").lower()
        if reason and reason not in REASONS:
            raise FilterError(
                "%(text)s is not a valid reason: use %(choices)s", text=repr(reason), choices=", ".join(REASONS)
            )
    with about("provider"):
        provider = filters.clean_text(question.provider, "provider")
    with about("larger"):
        least_bytes = read_size(question.larger, "larger")
    with about("smaller"):
        most_bytes = read_size(question.smaller, "smaller")
    with about("days"):
        days = filters.read_days(question.days, retention_days)
    since_ms, until_ms = read_span(question.since, question.until, question.zone)
    return SearchFilters(
        terms=terms,
        days=days,
        limit=filters.read_limit(question.limit, page_rows),
        server=server,
        direction=direction,
        statuses=statuses,
        reason=reason,
        provider=provider,
        least_bytes=least_bytes,
        most_bytes=most_bytes,
        since_ms=since_ms,
        until_ms=until_ms,
        after=after,
    )


def read_size(text: str, name: str) -> int | None:
    """'1500', '500k' or '10 MB' → bytes, with 1024 to a k; empty → None."""
    words = filters.clean_text(text, name)
    if not words:
        return None
    found = _SIZE.fullmatch(words)
    if not found:
        raise FilterError("%(name)s %(text)s is not a size: use 1500, 500k or 10M", name=name, text=repr(words))
    return int(found[1]) * _UNITS[found[2].lower()]
