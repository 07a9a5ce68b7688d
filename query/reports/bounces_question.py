"""What people ask about failures, and the same checked: a window of time, what the rows are, and filters.

Names of servers and outbound IP addresses are for engineers: nobody else can ask with them or for them.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from postwatch.query import filters
from postwatch.query.errors import FilterError, about
from postwatch.query.reports.report import DAY_MS, asked
from postwatch.query.spans import check_span, read_age, read_span
from postwatch.query.standing_out.groups import (
    ACCOUNT,
    BASELINE_DAYS,
    DIMENSIONS,
    DOMAIN,
    PROVIDER,
    REASON,
    SERVER,
    SOURCE_IP,
    Level,
    Place,
)
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.outcome import BOUNCED, DEFERRED, EXPIRED, REJECTED

HOUR_MS = 60 * 60 * 1000
MOST_WINDOW_MS = BASELINE_DAYS * DAY_MS
LASTS = {"hour": HOUR_MS, "day": DAY_MS}
FAILED = (BOUNCED, EXPIRED)
STATUSES = {"failed": FAILED, "deferred": (DEFERRED,), "rejected": (REJECTED,)}
FOR_ENGINEERS = (SERVER, SOURCE_IP)
IP = "ip"
"""What people call the outbound IP address."""
WORDS = tuple(IP if one == SOURCE_IP else one for one in DIMENSIONS)
MAX_TEXT = f"1 to {filters.MAX_PAGE_ROWS}"


@dataclass(frozen=True, slots=True)
class BouncesQuestion:
    """What people ask, in their words. Empty text means: any."""

    by: str = asked("provider,reason", doc="what each row is: one or several, with commas between them", choices=WORDS)
    last: str = asked(
        "hour", doc="the last hour or day, against the same hours of the 7 days before", choices=tuple(LASTS)
    )
    since: str = asked(
        "", doc="in place of that from this time on: YYYY-MM-DD, YYYY-MM-DD HH:MM, or 90m, 3h, 2d ago; at most 7 days"
    )
    until: str = asked("", doc="before the end of this day, or before this time (default: now)")
    zone: str = asked("", doc="the time zone of since and until, such as Europe/Berlin (default: UTC)")
    status: str = asked("", doc="only these (default: failed and deferred)", choices=tuple(STATUSES))
    provider: str = asked("", doc="only mail to this provider, such as Google")
    reason: str = asked("", doc="only this reason, such as reputation")
    server: str = asked("", doc="only of this mail server; for engineers")
    ip: str = asked("", doc="only from this outbound IP address; for engineers")
    domain: str = asked("", doc="only of accounts of this domain")
    account: str = asked("", doc="only of this account")
    unusual: bool = asked(False, doc="only what stands out; the exit status is 1 if nothing does")
    limit: int | None = asked(None, doc=f"rows on a page, {MAX_TEXT} (default: 50)")
    cursor: str = asked("", doc="show the next page: next_cursor of the page before")


@dataclass(frozen=True, slots=True)
class BouncesFilters:
    """A question that was checked."""

    by: Level
    since_ms: int
    until_ms: int
    statuses: tuple[str, ...]
    place: Place
    """What every row has in common."""
    limit: int
    offset: int = 0
    is_standing_out: bool = False

    @property
    def step_ms(self) -> int:
        """The windows of the baseline begin so long before each other: whole days, so they have the same hours."""
        return -(-(self.until_ms - self.since_ms) // DAY_MS) * DAY_MS

    @property
    def baseline(self) -> int:
        """How many windows it has."""
        return max(BASELINE_DAYS * DAY_MS // self.step_ms, 1)


def read_bounces(question: BouncesQuestion, viewer: Viewer, now_ms: int, page_rows: int) -> BouncesFilters:
    """People's words → filters. Raises FilterError that names the filter and what it takes."""
    with about("by"):
        by = _read_by(question.by, viewer)
    since_ms, until_ms = _read_window(question, now_ms)
    offset = 0
    if question.cursor:
        since_ms, until_ms, offset = decode_position(question.cursor)
    statuses = tuple(
        status for word in _read_words(question.status, "status", tuple(STATUSES)) for status in STATUSES[word]
    )
    return BouncesFilters(
        by,
        since_ms,
        until_ms,
        statuses or (*FAILED, DEFERRED),
        _read_place(question, viewer),
        filters.read_limit(question.limit, page_rows),
        offset,
        question.unusual,
    )


def _read_words(text: str, name: str, choices: tuple[str, ...]) -> list[str]:
    with about(name):
        words = [word.strip() for word in filters.clean_text(text, name).lower().split(",") if word.strip()]
        for word in words:
            if word not in choices:
                raise FilterError(
                    "%(name)s %(text)s is not valid: use %(choices)s",
                    name=name,
                    text=repr(word),
                    choices=", ".join(choices),
                )
        return words


def _read_by(text: str, viewer: Viewer) -> Level:
    words = _read_words(text, "by", WORDS) or [PROVIDER, REASON]
    wanted = {SOURCE_IP if word == IP else word for word in words}
    for name in FOR_ENGINEERS:
        if name in wanted and not viewer.is_engineer:
            raise _for_engineers(name)
    return tuple(one for one in DIMENSIONS if one in wanted)


def _for_engineers(name: str) -> FilterError:
    return FilterError("%(name)s is for engineers only", name=IP if name == SOURCE_IP else name)


def _read_place(question: BouncesQuestion, viewer: Viewer) -> Place:
    given = {
        PROVIDER: question.provider,
        REASON: question.reason.lower(),
        SERVER: question.server.lower(),
        SOURCE_IP: question.ip.lower(),
        DOMAIN: question.domain.lower().removeprefix("@"),
        ACCOUNT: question.account.lower(),
    }
    named: dict[str, str] = {}
    for name, text in given.items():
        word = IP if name == SOURCE_IP else name
        with about(word):
            value = filters.clean_text(text, word)
            if value and name in FOR_ENGINEERS and not viewer.is_engineer:
                raise _for_engineers(name)
        if value:
            named[name] = value
    return Place(tuple(named), tuple(named.values()))


def _read_window(question: BouncesQuestion, now_ms: int) -> tuple[int, int]:
    last = _read_words(question.last, "last", tuple(LASTS)) or ["hour"]
    age_ms = read_age(question.since, now_ms)
    since_ms, until_ms = read_span("" if age_ms else question.since, question.until, question.zone)
    since_ms = age_ms or since_ms
    until_ms = min(until_ms or now_ms, now_ms)
    since_ms = until_ms - LASTS[last[0]] if since_ms is None else since_ms
    check_span(since_ms, until_ms, question.since, question.until)
    with about("since"):
        if until_ms - since_ms > MOST_WINDOW_MS:
            raise FilterError("from since to until are at most %(days)s days", days=BASELINE_DAYS)
    return since_ms, until_ms


def encode_position(since_ms: int, until_ms: int, offset: int) -> str:
    """A cursor: the window, which must not move on, and the number of the row."""
    return base64.urlsafe_b64encode(f"{since_ms}.{until_ms}.{offset}".encode()).decode().rstrip("=")


def decode_position(cursor: str) -> tuple[int, int, int]:
    """The inverse. Raises FilterError."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        since_ms, until_ms, offset = map(int, base64.b64decode(padded, altchars=b"-_", validate=True).split(b"."))
    except (ValueError, binascii.Error):
        raise FilterError("the cursor is not valid: use next_cursor of the page before") from None
    is_window = 0 < until_ms - since_ms <= MOST_WINDOW_MS and 0 < since_ms < 1 << 42
    if not is_window or not 0 < offset <= MOST_ROWS:
        raise FilterError("the cursor is not valid: use next_cursor of the page before")
    return since_ms, until_ms, offset


MOST_ROWS = 10_000
"""More groups are not listed; the largest are."""
