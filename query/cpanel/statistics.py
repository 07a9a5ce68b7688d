"""`emailtrack_stats`, `emailtrack_user_stats` and `EmailTrack::stats`: what users sent, and what became of it.

Messages count by the time when they were sent, once each; successes, deferrals and failures count for each recipient
and attempt, so that they are the records that `emailtrack_search` gives. Mail that came from outside counts for who may
see all accounts, under the user `-remote-`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from postwatch.query.cpanel.errors import CallError
from postwatch.query.cpanel.owner_names import REMOTE, OwnerNames
from postwatch.query.cpanel.parameters import Parameters, read_choice, read_flag, read_seconds
from postwatch.query.cpanel.records import DEFER, FAILURE, IN_PROGRESS, SUCCESS, TYPES, account_user
from postwatch.query.cpanel.scopes import UserScope, Window, joined, scope_of
from postwatch.query.filters import clean_text
from postwatch.query.reports.report import DAY_MS, Tables
from postwatch.query.statements import DELIVERIES, ROW_HASH, SHOWN, VIEWER, Statement

MOST_GROUPS = 10_000
MOST_MEMORY_BYTES = 2 * 1024**3
REMOTE_OR_FAILED = "remote-or-faildefer"
DELIVERY_TYPES = ("", "all", "remote", REMOTE_OR_FAILED, "local")
EVENTS = (
    "if(empty(attempts.status) OR attempts.status[-1] != status,"
    " arrayPushBack(arrayMap(one -> toString(one), attempts.status), toString(status)),"
    " arrayMap(one -> toString(one), attempts.status))"
)
"""What happened to a row, as statuses; `records.events_of` in SQL."""
IS_REMOTE = (
    f"(direction != 'received' AND {SHOWN} = recipient AND if(transport != '',"
    " position(lower(transport), 'smtp') > 0 AND position(lower(transport), 'lmtp') = 0, remote_ip != ''))"
)
"""`records.is_remote` in SQL, as far as the viewer sees."""
_MESSAGE = "cityHash64(server, queue_id, queued_at)"


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


def by_user(tables: Tables, names: OwnerNames, call: StatisticsCall) -> Statistics:
    """What each user sent from each domain, who sent most first. Raises whatever reading raises."""
    rows = tables.read(sent_counts(tables, call))
    found: dict[tuple[str, str], Counts] = {}
    for domain, server, account, *numbers in rows[:MOST_GROUPS]:
        if not domain:
            key = (REMOTE, "")
        elif account:
            key = (account_user(tables.viewer, names, account, domain, server), "")
        else:
            key = (account_user(tables.viewer, names, "", domain, ""), domain)
        found[key] = found.get(key, Counts()).with_other(Counts(*map(int, numbers)))
    if tables.viewer.sees_all and call.scope is None:
        (received,) = tables.read(received_counts(tables, call))
        remote = Counts(*map(int, received))
        if any(remote):
            found[REMOTE, ""] = found.get((REMOTE, ""), Counts()).with_other(remote)
    users = [UserCounts(user, domain, counts) for (user, domain), counts in found.items()]
    return Statistics(sorted(users, key=lambda one: (-one.counts.messages, one[:2])), len(rows) > MOST_GROUPS)


def total_of(users: Iterable[UserCounts]) -> Counts:
    total = Counts()
    for one in users:
        total = total.with_other(one.counts)
    return total


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


def _statuses(kind: str) -> str:
    return ", ".join(f"'{status}'" for status, known in TYPES.items() if known == kind)


def _counted(kind: str) -> str:
    return f"arrayCount(one -> one IN ({_statuses(kind)}), events)"


def _conditions(tables: Tables, call: StatisticsCall) -> tuple[str, dict[str, Any]]:
    kept_ms = tables.now_ms - tables.retention_days * DAY_MS
    since_ms = max(call.since_seconds * 1000, kept_ms - tables.open_ms)
    wanted = [Window(since_ms, call.until_seconds * 1000 + 1000, kept_ms).condition()]
    if call.scope:
        wanted.append(call.scope.condition())
    if call.sender:
        wanted.append(("lower(sender) = {sender:String}", {"sender": call.sender}))
    if call.delivery_type in ("remote", "local"):
        wanted.append((f"{'NOT ' if call.delivery_type == 'local' else ''}{IS_REMOTE}", {}))
    elif call.delivery_type == REMOTE_OR_FAILED:
        words = f"({IS_REMOTE} OR arrayExists(one -> one IN ({_statuses(DEFER)}, {_statuses(FAILURE)}), {EVENTS}))"
        wanted.append((words, {}))
    return joined(*wanted)


def _messages(tables: Tables, call: StatisticsCall, conditions: str, group: str) -> str:
    """A SELECT of one row for each message of a group, with what became of its recipients.

    Members of an address whom the viewer may not see are one recipient: the one with the last event.
    """
    one_of_each = "" if tables.viewer.sees_all else f" ORDER BY updated_at DESC LIMIT 1 BY {ROW_HASH}"
    successes = _counted(SUCCESS)
    if call.delivery_type == REMOTE_OR_FAILED:
        successes = f"if(goes_out, {successes}, 0)"
    return (
        f"SELECT {group}, max(size_bytes) AS size, sum({successes}) AS successes, sum({_counted(DEFER)}) AS deferrals,"
        f" sum({_counted(FAILURE)}) AS failures, sum({_counted(IN_PROGRESS)}) AS in_progress"
        f" FROM (SELECT account_domain, account, server, queue_id, queued_at, size_bytes, {EVENTS} AS events,"
        f" {IS_REMOTE} AS goes_out FROM {DELIVERIES} FINAL WHERE {VIEWER}{conditions}{one_of_each}) GROUP BY {group}"
    )


_SUMS = "count(), sum(size), sum(successes), sum(deferrals), sum(failures), sum(in_progress)"
_LIMITS = f" SETTINGS max_memory_usage = {MOST_MEMORY_BYTES}, optimize_aggregation_in_order = 1"


def sent_counts(tables: Tables, call: StatisticsCall) -> Statement:
    """Domain, server and system user, and what they sent."""
    conditions, parameters = _conditions(tables, call)
    group = "account_domain, account, queued_at, server, queue_id"
    messages = _messages(tables, call, f" AND direction = 'sent'{conditions}", group)
    sql = (
        "SELECT account_domain, if(account_domain = server, server, '') AS host,"
        f" if(account_domain = server, account, '') AS user, {_SUMS} FROM ({messages})"
        " GROUP BY account_domain, host, user ORDER BY count() DESC, account_domain, user"
        f" LIMIT {{groups:UInt32}}{_LIMITS}"
    )
    return Statement(tables.viewer, sql, {"database": tables.database, "groups": MOST_GROUPS + 1, **parameters})


def received_counts(tables: Tables, call: StatisticsCall) -> Statement:
    """What came from outside: received, and sent by nobody here. GLOBAL as in trace.py."""
    conditions, parameters = _conditions(tables, call)
    sent = f"SELECT {_MESSAGE} FROM {DELIVERIES} FINAL WHERE {VIEWER} AND direction = 'sent'{conditions}"
    outside = f" AND direction = 'received' AND {_MESSAGE} GLOBAL NOT IN ({sent}){conditions}"
    messages = _messages(tables, call, outside, "server, queue_id, queued_at")
    return Statement(
        tables.viewer, f"SELECT {_SUMS} FROM ({messages}){_LIMITS}", {"database": tables.database, **parameters}
    )
