"""`emailtrack_stats`, `emailtrack_user_stats` and `EmailTrack::stats`: what users sent, and what became of it.

Messages count by the time when they were sent, once each; successes, deferrals and failures count for each recipient
and attempt, so that they are the records that `emailtrack_search` gives. Mail that came from outside counts for who may
see all accounts, under the user `-remote-`.
"""

from __future__ import annotations

from typing import Any

from postwatch.query.cpanel import fleet_statistics as fleet
from postwatch.query.cpanel.fleet_statistics import GROUP, IN_ORDER, MESSAGE, statuses_of_type
from postwatch.query.cpanel.owner_names import REMOTE, OwnerNames
from postwatch.query.cpanel.records import DEFER, FAILURE, IN_PROGRESS, SUCCESS, account_user
from postwatch.query.cpanel.scopes import joined
from postwatch.query.cpanel.statistics_call import (
    MOST_GROUPS,
    REMOTE_OR_FAILED,
    Counts,
    Statistics,
    StatisticsCall,
    UserCounts,
    window_of,
)
from postwatch.query.reports.report import Tables
from postwatch.query.statements import DELIVERIES, ROW_HASH, SHOWN, VIEWER, Row, Statement

EVENTS = (
    "if(empty(attempts.status) OR status = 'pending' OR (status != 'deferred' AND attempts.status[-1] != status),"
    " arrayPushBack(arrayMap(one -> toString(one), attempts.status), toString(status)),"
    " arrayMap(one -> toString(one), attempts.status))"
)
"""What happened to a row, as statuses; `records.events_of` in SQL."""
IS_REMOTE = (
    f"(direction != 'received' AND {SHOWN} = recipient AND if(transport != '',"
    " position(lower(transport), 'smtp') > 0 AND position(lower(transport), 'lmtp') = 0, remote_ip != ''))"
)
"""`records.is_remote` in SQL, as far as the viewer sees."""


def by_user(tables: Tables, names: OwnerNames, call: StatisticsCall) -> Statistics:
    """What each user sent from each domain, who sent most first. Raises whatever reading raises."""
    rows = _sent_of_fleet(tables, call) if fleet.is_served(tables, call) else tables.read(sent_counts(tables, call))
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
        remote = Counts(*map(int, _outside(tables, call)))
        if any(remote):
            found[REMOTE, ""] = found.get((REMOTE, ""), Counts()).with_other(remote)
    users = [UserCounts(user, domain, counts) for (user, domain), counts in found.items()]
    return Statistics(sorted(users, key=lambda one: (-one.counts.messages, one[:2])), len(rows) > MOST_GROUPS)


def total(tables: Tables, call: StatisticsCall) -> Counts:
    """What all of them sent, and what came from outside. Raises whatever reading raises."""
    if fleet.is_served(tables, call):
        (messages,) = tables.read(fleet.total_messages(tables, call))
        (events,) = tables.read(fleet.total_events(tables, call))
        row = _put_together(messages, events)
    else:
        (row,) = tables.read(total_counts(tables, call))
    counts = Counts(*map(int, row))
    if tables.viewer.sees_all and call.scope is None:
        counts = counts.with_other(Counts(*map(int, _outside(tables, call))))
    return counts


def _sent_of_fleet(tables: Tables, call: StatisticsCall) -> list[Row]:
    """Like `sent_counts`, from the slim tables."""
    messages = tables.read(fleet.sent_messages(tables, call))
    found = tables.read(fleet.sent_events(tables, call, is_cut=len(messages) > MOST_GROUPS))
    events = {tuple(row[:3]): row[3:] for row in found}
    return [(*row[:3], *_put_together(row[3:], events.get(tuple(row[:3]), (0, 0, 0)))) for row in messages]


def _outside(tables: Tables, call: StatisticsCall) -> Row:
    if not fleet.is_served(tables, call):
        return tables.read(received_counts(tables, call))[0]
    (messages,) = tables.read(fleet.outside_messages(tables, call))
    (events,) = tables.read(fleet.outside_events(tables, call))
    return _put_together(messages, events)


def _put_together(messages: Row, events: Row) -> Row:
    """The numbers of both slim tables in the order of Counts."""
    number, size, bare, in_progress = messages
    successes, deferrals, failures = events
    return number, size, successes, deferrals + bare, failures, in_progress


def _counted(kind: str) -> str:
    return f"arrayCount(one -> one IN ({statuses_of_type(kind)}), events)"


def _conditions(tables: Tables, call: StatisticsCall) -> tuple[str, dict[str, Any]]:
    wanted = [window_of(tables, call).condition()]
    if call.scope:
        wanted.append(call.scope.condition())
    if call.sender:
        wanted.append(("lower(sender) = {sender:String}", {"sender": call.sender}))
    if call.delivery_type in ("remote", "local"):
        wanted.append((f"{'NOT ' if call.delivery_type == 'local' else ''}{IS_REMOTE}", {}))
    elif call.delivery_type == REMOTE_OR_FAILED:
        troubles = f"{statuses_of_type(DEFER)}, {statuses_of_type(FAILURE)}"
        words = f"({IS_REMOTE} OR arrayExists(one -> one IN ({troubles}), {EVENTS}))"
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


def sent_counts(tables: Tables, call: StatisticsCall) -> Statement:
    """Domain, server and system user, and what they sent."""
    conditions, parameters = _conditions(tables, call)
    group = "account_domain, account, queued_at, server, queue_id"
    messages = _messages(tables, call, f" AND direction = 'sent'{conditions}", group)
    sql = (
        f"SELECT {GROUP}, {_SUMS} FROM ({messages})"
        " GROUP BY account_domain, host, user ORDER BY count() DESC, account_domain, user"
        f" LIMIT {{groups:UInt32}}{IN_ORDER}"
    )
    return Statement(tables.viewer, sql, {"database": tables.database, "groups": MOST_GROUPS + 1, **parameters})


def total_counts(tables: Tables, call: StatisticsCall) -> Statement:
    """What all of them sent."""
    conditions, parameters = _conditions(tables, call)
    group = "account_domain, account, queued_at, server, queue_id"
    messages = _messages(tables, call, f" AND direction = 'sent'{conditions}", group)
    return Statement(
        tables.viewer, f"SELECT {_SUMS} FROM ({messages}){IN_ORDER}", {"database": tables.database, **parameters}
    )


def received_counts(tables: Tables, call: StatisticsCall) -> Statement:
    """What came from outside: received, and sent by nobody here. GLOBAL as in trace.py."""
    conditions, parameters = _conditions(tables, call)
    sent = f"SELECT {MESSAGE} FROM {DELIVERIES} FINAL WHERE {VIEWER} AND direction = 'sent'{conditions}"
    outside = f" AND direction = 'received' AND {MESSAGE} GLOBAL NOT IN ({sent}){conditions}"
    messages = _messages(tables, call, outside, "server, queue_id, queued_at")
    return Statement(
        tables.viewer, f"SELECT {_SUMS} FROM ({messages}){IN_ORDER}", {"database": tables.database, **parameters}
    )
