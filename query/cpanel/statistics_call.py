"""What a call asks of the statistics, and the records that it gets. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from postwatch.query.cpanel.errors import CallError
from postwatch.query.cpanel.owner_names import REMOTE, OwnerNames
from postwatch.query.cpanel.parameters import Parameters, read_choice, read_flag, read_seconds
from postwatch.query.cpanel.scopes import UserScope, Window, scope_of
from postwatch.query.filters import clean_text
from postwatch.query.reports.report import DAY_MS, Tables

MOST_GROUPS = 10_000
"""Domains and system users whose counts one call reads, the busiest first."""
REMOTE_OR_FAILED = "remote-or-faildefer"
DELIVERY_TYPES = ("", "all", "remote", REMOTE_OR_FAILED, "local")


@dataclass(frozen=True, slots=True)
class StatisticsCall:
    since_seconds: int
    until_seconds: int
    delivery_type: str
    sender: str
    scope: UserScope | None
    has_size: bool = True
    has_success: bool = True


class Counts(NamedTuple):
    """What a group of accounts sent."""

    messages: int = 0
    size_bytes: int = 0
    successes: int = 0
    deferrals: int = 0
    failures: int = 0
    in_progress: int = 0

    def with_other(self, other: Counts) -> Counts:
        return Counts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class UserCounts(NamedTuple):
    user: str
    domain: str
    counts: Counts


class Statistics(NamedTuple):
    users: list[UserCounts]
    overflowed: bool
    """There are more users than these."""


class UserStatsRecord(NamedTuple):
    """A user of `emailtrack_user_stats`."""

    USER: str
    DOMAIN: str
    OWNER: str
    PRIMARY_DOMAIN: str
    SENDCOUNT: int
    SUCCESSCOUNT: int
    DEFERCOUNT: int
    FAILCOUNT: int
    DEFERFAILCOUNT: int
    TOTALSIZE: int
    REACHED_MAXDEFERFAIL: int
    REACHED_MAXEMAILS: int


def read_statistics(parameters: Parameters, names: OwnerNames, now_ms: int, scope: UserScope | None) -> StatisticsCall:
    """Raises CallError. `records` is what older versions took in the place of `user` and of `sender`."""
    since = read_seconds(parameters, ("starttime", "startdate"), 0)
    until = read_seconds(parameters, ("endtime", "enddate"), now_ms // 1000)
    if since > until:
        raise CallError("starttime=%(since)s is later than endtime=%(until)s", since=since, until=until)
    word = (parameters.get("user") or parameters.get("records") or "").strip()
    sender = clean_text(parameters.get("sender", ""), "sender").lower()
    if "@" in word and not sender:
        sender = clean_text(word, "records").lower()
    elif word and scope is None:
        scope = scope_of(word, names)
    return StatisticsCall(
        since,
        until,
        read_choice(parameters, "deliverytype", DELIVERY_TYPES, ""),
        sender,
        scope,
        not read_flag(parameters, "nosize"),
        not read_flag(parameters, "nosuccess"),
    )


def window_of(tables: Tables, call: StatisticsCall) -> Window:
    """Messages that were sent in the time asked for. Those of before the days that are kept are not whole."""
    kept_ms = tables.now_ms - tables.retention_days * DAY_MS
    return Window(max(call.since_seconds * 1000, kept_ms), call.until_seconds * 1000 + 1000, kept_ms)


def total_record(counts: Counts, call: StatisticsCall) -> dict[str, int]:
    """The record of `emailtrack_stats`."""
    record = {
        "SENDCOUNT": counts.messages,
        "SUCCESSCOUNT": counts.successes,
        "DEFERCOUNT": counts.deferrals,
        "FAILCOUNT": counts.failures,
        "DEFERFAILCOUNT": counts.deferrals + counts.failures,
        "INPROGRESSCOUNT": counts.in_progress,
        "TOTALSIZE": counts.size_bytes,
    }
    if not call.has_size:
        del record["TOTALSIZE"]
    if not call.has_success:
        del record["SUCCESSCOUNT"]
    return record


def user_record(names: OwnerNames, one: UserCounts) -> UserStatsRecord:
    counts = one.counts
    is_remote = one.user == REMOTE
    return UserStatsRecord(
        USER=one.user,
        DOMAIN=one.domain,
        OWNER="root" if is_remote else names.reseller(one.user),
        PRIMARY_DOMAIN="" if is_remote else names.sole_domain(one.user),
        SENDCOUNT=counts.messages,
        SUCCESSCOUNT=counts.successes,
        DEFERCOUNT=counts.deferrals,
        FAILCOUNT=counts.failures,
        DEFERFAILCOUNT=counts.deferrals + counts.failures,
        TOTALSIZE=counts.size_bytes,
        REACHED_MAXDEFERFAIL=0,
        REACHED_MAXEMAILS=0,
    )
