"""The statistics for who sees all accounts, from the slim tables: they are in the order of time and hold no long text.

The numbers are those that statistics.py finds in deliveries; the tests compare both with brute force. What an alias led
to is one row for other viewers, and who handed a message in is not in these tables, so they serve no other question.
"""

from __future__ import annotations

from typing import Any

from postwatch.query.cpanel.records import DEFER, FAILURE, SUCCESS, TYPES
from postwatch.query.cpanel.scopes import joined
from postwatch.query.cpanel.statistics_call import MOST_GROUPS, StatisticsCall, window_of
from postwatch.query.reports.report import Tables
from postwatch.query.statements import EVENTS, STATES, VIEWER, Statement
from postwatch.streams.contracts.outcome import DEFERRED, PENDING

IN_ORDER = " SETTINGS optimize_aggregation_in_order = 1"
MESSAGE = "cityHash64(server, queue_id, queued_at)"
GROUP = (
    "account_domain, if(account_domain = server, server, '') AS host, if(account_domain = server, account, '') AS user"
)
"""The domain; of system users the server and the user."""
_STATES_SUMS = "count(), sum(size), sum(bare), sum(in_progress)"
_OF_ROWS = (
    f"max(size_bytes) AS size, countIf(status = '{DEFERRED}' AND tries = 0) AS bare,"
    f" countIf(status = '{PENDING}') AS in_progress"
)
"""A row that waits without an attempt has no event."""


def statuses_of_type(kind: str) -> str:
    """As a list in SQL."""
    return ", ".join(f"'{status}'" for status, known in TYPES.items() if known == kind)


_EVENT_SUMS = ", ".join(f"countIf(status IN ({statuses_of_type(kind)}))" for kind in (SUCCESS, DEFER, FAILURE))


def is_served(tables: Tables, call: StatisticsCall) -> bool:
    """Whether these tables tell what the call asks."""
    return tables.viewer.sees_all and call.delivery_type in ("", "all") and not call.sender


def sent_messages(tables: Tables, call: StatisticsCall) -> Statement:
    """Domain, server and system user; messages, their size, rows that wait without an attempt, rows in progress."""
    conditions, parameters = _conditions(call, window_of(tables, call).condition())
    sql = f"SELECT account_domain, host, user, {_STATES_SUMS} {_busiest(conditions)}{IN_ORDER}"
    return _statement(tables, sql, parameters, groups=MOST_GROUPS + 1)


def _busiest(conditions: str) -> str:
    return (
        f"FROM (SELECT {GROUP}, {_OF_ROWS} FROM {STATES} FINAL WHERE {VIEWER} AND direction = 'sent'{conditions}"
        f" GROUP BY account_domain, host, user, account, {MESSAGE})"
        " GROUP BY account_domain, host, user ORDER BY count() DESC, account_domain, user LIMIT {groups:UInt32}"
    )


def sent_events(tables: Tables, call: StatisticsCall, is_cut: bool) -> Statement:
    """Domain, server and system user; successes, deferrals, failures of the messages of the window. `is_cut`: there are
    more groups than `sent_messages` has told, and only those are counted."""
    window = window_of(tables, call)
    conditions, parameters = _conditions(call, window.condition_of_events())
    if is_cut:
        of_states, values = _conditions(call, window.condition())
        conditions += f" AND account_domain GLOBAL IN (SELECT account_domain {_busiest(of_states)})"
        parameters |= {**values, "groups": MOST_GROUPS + 1}
    sql = (
        f"SELECT {GROUP}, {_EVENT_SUMS} FROM {EVENTS} FINAL WHERE {VIEWER} AND direction = 'sent'{conditions}"
        f" GROUP BY account_domain, host, user{IN_ORDER}"
    )
    return _statement(tables, sql, parameters)


def total_messages(tables: Tables, call: StatisticsCall) -> Statement:
    """Of all accounts together: messages, their size, rows that wait without an attempt, rows in progress."""
    conditions, parameters = _conditions(call, window_of(tables, call).condition())
    sql = (
        f"SELECT {_STATES_SUMS} FROM (SELECT {_OF_ROWS} FROM {STATES} FINAL WHERE {VIEWER} AND direction = 'sent'"
        f"{conditions} GROUP BY account_domain, account, {MESSAGE}){IN_ORDER}"
    )
    return _statement(tables, sql, parameters)


def total_events(tables: Tables, call: StatisticsCall) -> Statement:
    """Of all accounts together: successes, deferrals, failures."""
    conditions, parameters = _conditions(call, window_of(tables, call).condition_of_events())
    sql = f"SELECT {_EVENT_SUMS} FROM {EVENTS} FINAL WHERE {VIEWER} AND direction = 'sent'{conditions}{IN_ORDER}"
    return _statement(tables, sql, parameters)


def outside_messages(tables: Tables, call: StatisticsCall) -> Statement:
    """What came from outside: messages, their size, rows that wait without an attempt, rows in progress."""
    rows, parameters = _from_outside(tables, call)
    sql = (
        f"SELECT {_STATES_SUMS} FROM (SELECT {_OF_ROWS} FROM {STATES} FINAL WHERE {VIEWER}{rows}"
        f" GROUP BY {MESSAGE}){IN_ORDER}"
    )
    return _statement(tables, sql, parameters)


def outside_events(tables: Tables, call: StatisticsCall) -> Statement:
    """Their successes, deferrals, failures. GLOBAL: on a cluster the keys are found once, not once on each shard."""
    rows, parameters = _from_outside(tables, call)
    of_events, values = _conditions(call, window_of(tables, call).condition_of_events())
    sql = (
        f"SELECT {_EVENT_SUMS} FROM {EVENTS} FINAL WHERE {VIEWER} AND direction = 'received'{of_events}"
        f" AND k GLOBAL IN (SELECT k FROM {STATES} FINAL WHERE {VIEWER}{rows}){IN_ORDER}"
    )
    return _statement(tables, sql, parameters | values)


def _from_outside(tables: Tables, call: StatisticsCall) -> tuple[str, dict[str, Any]]:
    """Received, and sent by nobody here."""
    conditions, parameters = _conditions(call, window_of(tables, call).condition())
    sent = f"SELECT {MESSAGE} FROM {STATES} FINAL WHERE {VIEWER} AND direction = 'sent'{conditions}"
    return f" AND direction = 'received'{conditions} AND {MESSAGE} GLOBAL NOT IN ({sent})", parameters


def _conditions(call: StatisticsCall, window: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return joined(*([call.scope.condition()] if call.scope else []), window)


def _statement(tables: Tables, sql: str, parameters: dict[str, Any], **more: int) -> Statement:
    return Statement(tables.viewer, sql, {"database": tables.database, **parameters, **more})
