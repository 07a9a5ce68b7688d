"""`postwatch stats`: what was sent or received, and what became of it, by domain, account, owner and so on.

Messages count by the time when they were sent, once each; what became of them counts for each recipient, as it stands
now. It reads the slim table of states, so it costs the same for one account and for the fleet; only who sent a message
stands in deliveries alone, so that is counted for a domain or an account.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace

from postwatch.query import filters
from postwatch.query.errors import FilterError, about
from postwatch.query.exports import csv_text
from postwatch.query.reports.groups import read_groups
from postwatch.query.reports.report import DAY_MS, Report, Tables, asked
from postwatch.query.reports.statistics_statements import (
    ASKED,
    BY_TIME,
    NARROWING,
    OWNER,
    SENDER,
    SORTS,
    StatisticsWindow,
    state_groups,
)
from postwatch.query.shapes import Shape, Time
from postwatch.query.statements import Row
from postwatch.query.terminal import short_table
from postwatch.query.translation import gettext, ngettext
from postwatch.query.viewer import Viewer
from postwatch.query.wording import byte_size, utc_time
from postwatch.streams.contracts.heartbeat import STALE_AFTER_SECONDS
from postwatch.streams.contracts.outcome import SENT, iso_time
from pydantic import Field
from rich.console import RenderableType
from rich.text import Text

MAX_GROUPS = 200
MAX_OWNED_DOMAINS = 10_000
"""By owner the busiest domains are put together."""
MAX_TIMES = 31 * 24
"""Hours of a month."""
MOST_DAYS_BY_HOUR = 2
"""Of more days the course is told by day."""
_SHORT_TIMES = {"day": len("2026-11-29"), "hour": len("2026-11-29 11:00")}


@dataclass(frozen=True, slots=True)
class StatisticsQuestion:
    by: str = asked("domain", doc="count by this", choices=ASKED)
    direction: str = asked(SENT, doc="sent or received mail", choices=filters.DIRECTIONS)
    days: int | None = asked(None, doc="mail of the last N days (default: 30)")
    sort: str = asked("messages", doc="most of these first", choices=SORTS)
    account: str = asked("", doc="only mail of this account")
    domain: str = asked("", doc="only mail of the accounts of this domain")
    server: str = asked("", doc="only mail of this server of ours")
    provider: str = asked("", doc="only mail to this provider; unknown: to none that is known")


@dataclass(frozen=True, slots=True)
class StatisticsGroup:
    """What one account, one domain and so on sent."""

    value: str
    """Empty: the log does not tell. A day or an hour as ISO 8601."""
    messages: int
    recipients: int
    delivered: int
    waiting: int
    failed: int
    rejected: int
    discarded: int
    limited: int
    """Recipients that wait or failed because of too much mail in a short time."""
    size_bytes: int

    @property
    def name(self) -> str:
        return self.value or gettext("unknown")


@dataclass(frozen=True, slots=True)
class Statistics:
    by: str
    direction: str
    days: int
    since_ms: int
    total: StatisticsGroup
    groups: tuple[StatisticsGroup, ...]
    has_more_groups: bool = False
    course: tuple[StatisticsGroup, ...] = ()
    """The same by `course_by`, oldest first."""
    course_by: str = "day"
    sort: str = SORTS[0]

    @property
    def rows(self) -> tuple[StatisticsGroup, ...]:
        return self.groups

    @property
    def most_messages(self) -> int:
        """For the bars of the page."""
        return max((group.messages for group in self.groups), default=0)


class StatisticsGroupShape(Shape):
    value: str = Field(description="Empty: the log does not tell. A day or an hour is its beginning, in UTC.")
    messages: int
    recipients: int = Field(description="Each message counts once for each of its recipients.")
    delivered: int
    waiting: int = Field(description="Recipients that wait, tried or not.")
    failed: int = Field(description="Bounced, expired or cancelled.")
    rejected: int
    discarded: int
    limited: int = Field(description="Recipients that wait or failed because of too much mail in a short time.")
    size_bytes: int = Field(description="Of the messages, each once.")

    @classmethod
    def of(cls, group: StatisticsGroup) -> StatisticsGroupShape:
        return cls(**{name: getattr(group, name) for name in cls.model_fields})


class StatisticsShape(Shape):
    """What was sent or received, and what became of it."""

    by: str
    direction: str
    days: int
    since: Time
    total: StatisticsGroupShape
    groups: list[StatisticsGroupShape] = Field(
        description=f"Most of `sort` first, at most {MAX_GROUPS}; days and hours newest first, at most {MAX_TIMES}."
    )
    has_more_groups: bool
    course: list[StatisticsGroupShape] = Field(
        description=f"All of it by day (UTC), of at most {MOST_DAYS_BY_HOUR} days by hour; oldest first, without gaps"
        " filled."
    )
    stale_servers: list[str] = Field(
        description=f"Servers silent for more than {STALE_AFTER_SECONDS} s: their newest mail may be missing."
    )


class StatisticsReport(Report[StatisticsQuestion, Statistics]):
    """How much was sent or received, and what became of it, by account, domain, owner, sender, server, provider,
    day or hour."""

    question = StatisticsQuestion
    path = "/api/v1/statistics"
    operation = "statistics"
    page = "/statistics"
    title = "Statistics"
    template = "statistics.html"
    is_for_several = True
    shape_type = StatisticsShape

    def answer(self, tables: Tables, question: StatisticsQuestion) -> Statistics:
        by, narrowed = read_groups(question, ASKED, NARROWING, tables.viewer.is_engineer)
        with about("sort"):
            sort = filters.clean_text(question.sort, "sort").lower() or SORTS[0]
            if sort not in SORTS:
                raise FilterError(
                    "%(text)s is not one of these: %(choices)s", text=repr(question.sort), choices=", ".join(SORTS)
                )
        direction = filters.read_direction(question.direction) or SENT
        days = filters.read_days(question.days, tables.retention_days)
        since_ms = tables.now_ms - days * DAY_MS
        key_domain = _key_domain(tables.viewer, by, dict(narrowed))
        window = StatisticsWindow(tables.viewer, tables.database, narrowed, direction, since_ms, sort, key_domain)
        most = MAX_TIMES if by in BY_TIME else MAX_GROUPS
        if by == OWNER:
            _need_owners(tables)
            found, has_more = _by_owner(tables, window)
        else:
            found = [_group(by, row) for row in tables.read(state_groups(window, by, most + 1))]
            has_more = len(found) > most
        course_by = "hour" if days <= MOST_DAYS_BY_HOUR else "day"
        if by == course_by:
            course = found[:most][::-1]
        else:
            course = [_group(course_by, row) for row in tables.read(state_groups(window, course_by, MAX_TIMES))][::-1]
        return Statistics(
            by,
            direction,
            days,
            since_ms,
            _total(course),
            tuple(found[:most]),
            has_more or len(found) > most,
            tuple(course),
            course_by,
            sort,
        )

    def shape(self, answer: Statistics, silent_servers: list[str]) -> StatisticsShape:
        return StatisticsShape(
            by=answer.by,
            direction=answer.direction,
            days=answer.days,
            since=iso_time(answer.since_ms),
            total=StatisticsGroupShape.of(answer.total),
            groups=[StatisticsGroupShape.of(group) for group in answer.groups],
            has_more_groups=answer.has_more_groups,
            course=[StatisticsGroupShape.of(group) for group in answer.course],
            stale_servers=silent_servers,
        )

    def table(self, answer: Statistics, width: int) -> Iterator[RenderableType]:
        if not answer.groups:
            return
        heading = (answer.by.capitalize(), "Messages", "Delivered", "Waiting", "Failed", "Rejected", "Limited", "Size")
        lines = [(_short_name(answer.by, group.name), *_figures(group)) for group in answer.groups]
        yield short_table(heading, [*lines, ("all", *_figures(answer.total))], width)
        yield Text(f"{answer.direction.capitalize()} since {utc_time(answer.since_ms)} UTC, as it stands now.", "dim")

    def csv(self, answer: Statistics, has_heading: bool = True) -> str:
        cells = (StatisticsGroupShape.of(group).model_dump() for group in answer.groups)
        heading = list(StatisticsGroupShape.model_fields) if has_heading else []
        return csv_text(heading, (list(one.values()) for one in cells))

    def records(self, answer: Statistics) -> Iterable[Shape]:
        return map(StatisticsGroupShape.of, answer.groups)

    def nothing_found(self, answer: Statistics) -> str:
        return ngettext("No mail in the last day.", "No mail in the last %(num)s days.", answer.days)


REPORT = StatisticsReport()


def _short_name(by: str, name: str) -> str:
    """A day or an hour as the other tables write it."""
    return name[: _SHORT_TIMES[by]].replace("T", " ") if by in _SHORT_TIMES else name


def _figures(group: StatisticsGroup) -> tuple[str, ...]:
    figures = (group.messages, group.delivered, group.waiting, group.failed, group.rejected, group.limited)
    return (*map(str, figures), byte_size(group.size_bytes))


def _key_domain(viewer: Viewer, by: str, narrowed: dict[str, str]) -> str:
    """The domain that narrows a count by sender; raises FilterError where all of a fleet would be read."""
    if by != SENDER:
        return ""
    domain = narrowed.get("domain") or narrowed.get("account", "").rpartition("@")[2]
    if not domain and viewer.sees_all:
        refused = FilterError("by sender needs a domain or an account: top senders of the fleet are its accounts")
        refused.field = "by"
        raise refused
    return domain


def _need_owners(tables: Tables) -> None:
    """Raises FilterError where no list tells whose a domain is; the setting's name is for engineers."""
    if tables.owners.domains:
        return
    with about("by"):
        if tables.viewer.is_engineer:
            raise FilterError("by owner needs the list of who owns which domain: set POSTWATCH_ACCESS_OWNERS")
        raise FilterError("by owner can't be counted: this server has no list of who owns which domain")


def _by_owner(tables: Tables, window: StatisticsWindow) -> tuple[list[StatisticsGroup], bool]:
    """The busiest domains put together by who owns them, as the lists say; whether there are more domains."""
    viewer = tables.viewer
    groups = [_group("domain", row) for row in tables.read(state_groups(window, "domain", MAX_OWNED_DOMAINS + 1))]
    by_owner: dict[str, list[StatisticsGroup]] = {}
    for group in groups[:MAX_OWNED_DOMAINS]:
        is_told = viewer.sees_all or group.value in viewer.domains
        owner = tables.owners.owner(group.value) if is_told else ""
        by_owner.setdefault(owner, []).append(group)
    found = [replace(_total(some), value=owner) for owner, some in by_owner.items()]
    name = "size_bytes" if window.sort == "size" else window.sort
    found.sort(key=lambda one: (-getattr(one, name), -one.messages, one.value))
    return found, len(groups) > MAX_OWNED_DOMAINS


def _total(course: Iterable[StatisticsGroup]) -> StatisticsGroup:
    """A message is of one time, so the sum of all times is all of it."""
    names = [one.name for one in fields(StatisticsGroup) if one.name != "value"]
    return StatisticsGroup("", *(sum(getattr(one, name) for one in course) for name in names))


def _group(by: str, row: Row) -> StatisticsGroup:
    value, *numbers = row
    return StatisticsGroup(iso_time(int(value) * 1000) if by in BY_TIME else value, *map(int, numbers))
