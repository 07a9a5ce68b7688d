"""The status of a row as the last of our servers tells it: SQL, over rows that the question has narrowed already.

A row is handed over where a server of ours took it over under a queue id. The next server's row is its own where it has
this queue id, the same Message-ID and the same recipient, on another server, within a day. Two servers that have such a
row, none that has one, and more than MOST_HOPS of them: the status is pending. So a wrong tie is never made, and what
no log has told is never delivered. Of several recipients that an alias made there, one that is not delivered decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from postwatch.query.hops.own_servers import OwnServers
from postwatch.query.statements import DELIVERIES, HOPS, OURS, VIEWER
from postwatch.streams.contracts.outcome import (
    BOUNCED,
    CANCELLED,
    DEFERRED,
    DELIVERED,
    DISCARDED,
    EXPIRED,
    PENDING,
    REJECTED,
)

MOST_HOPS = 4
"""Of one message, from one server of ours to another."""
DAY_MS = 24 * 60 * 60 * 1000
"""The longest time between an answer and the arrival that it speaks of, by two servers' clocks."""
WORST_FIRST = (PENDING, DEFERRED, BOUNCED, EXPIRED, REJECTED, CANCELLED, DISCARDED, DELIVERED)
KEY_HASH = "cityHash64(account_domain, account, queued_at, server, queue_id, recipient, direction)"
NEXT_ID = "substringIndex(next_queue_id, ' ', -1)"
HANDED = (
    f"status = '{DELIVERED}' AND next_queue_id != '' AND message_id != '' AND lower(remote_host) != lower(server)"
    f" AND position(response, {NEXT_ID}) > 0 AND {OURS}"
)
"""Over deliveries."""
_RANK = f"indexOf([{', '.join(map(repr, WORST_FIRST))}], toString(status))"
TOLD = (
    f"SELECT DISTINCT tie AS told_tie, toString(server) AS told_server, {_RANK} AS told_rank,"
    " toUnixTimestamp64Milli(queued_at) AS told_came_ms, toUnixTimestamp64Milli(updated_at) AS told_went_ms,"
    f" if(status = '{DELIVERED}' AND next_tie != 0 AND lower(remote_host) != lower(server) AND {OURS}, next_tie, 0)"
    f" AS told_next, uniqExact(server) OVER (PARTITION BY tie) AS told_servers FROM {HOPS} FINAL WHERE message"
)
"""What the servers tell of the messages whose hashes follow."""


def fates(where: str) -> str:
    """SQL of (hash of the key, place in WORST_FIRST) of each row that meets `where` and was handed over."""
    handed = (
        f"SELECT {KEY_HASH} AS k, toString(server) AS at_server, toUnixTimestamp64Milli(updated_at) AS went_ms,"
        f" cityHash64({NEXT_ID}, message_id, lower(recipient)) AS open_tie, cityHash64(message_id) AS of_message"
        f" FROM {DELIVERIES} FINAL WHERE {VIEWER} AND {where} AND {HANDED}"
    )
    told = f"{TOLD} GLOBAL IN (SELECT of_message FROM ({handed}))"
    walked = f"SELECT k, at_server, went_ms, open_tie, 1 AS fate FROM ({handed})"
    for _ in range(MOST_HOPS):
        walked = (
            "SELECT k, if(is_tied, told_server, at_server) AS at_server, if(is_tied, told_went_ms, went_ms) AS went_ms,"
            " if(is_tied, told_next, 0) AS open_tie, multiIf(was_told, fate, is_tied, told_rank, 1) AS fate"
            " FROM (SELECT *, open_tie = 0 AS was_told, NOT was_told AND told_servers = 1 AND told_server != at_server"
            f" AND abs(told_came_ms - went_ms) <= {DAY_MS} AS is_tied"
            f" FROM ({walked}) AS before GLOBAL LEFT JOIN ({told}) AS behind ON open_tie = told_tie)"
        )
    return f"SELECT k, min(if(open_tie != 0, 1, greatest(fate, 1))) AS fate FROM ({walked}) GROUP BY k"


_SETTLED = "settled"


def handed_rows(where: str) -> str:
    """SQL of the rows that meet `where` and were handed over, at most `{most_handed:UInt32}`: the hash of the key, of
    the Message-ID, and the tie; the server, and when it handed over, in ms."""
    return (
        f"SELECT {KEY_HASH}, cityHash64(message_id), cityHash64({NEXT_ID}, message_id, lower(recipient)), server,"
        f" toUnixTimestamp64Milli(updated_at) FROM {DELIVERIES} FINAL WHERE {VIEWER} AND {where} AND {HANDED}"
        " LIMIT {most_handed:UInt32}"
    )


@dataclass(frozen=True, slots=True)
class LastStatus:
    """How a statement reads the status of rows. As it stands here: each row's own."""

    sql: str = "status"
    beginning: str = ""
    """The statement begins with it."""
    parameters: Mapping[str, Any] = field(default_factory=dict)


OWN_STATUS = LastStatus()


def known_statuses(statuses: Mapping[int, str]) -> LastStatus:
    """Of rows of which those that were handed over are known, by the hash of their key."""
    if not statuses:
        return OWN_STATUS
    known = "transform({}, {{settled_keys:Array(UInt64)}}, {{settled_statuses:Array(String)}}, toString(status))"
    return LastStatus(
        f"if(status != '{DELIVERED}', toString(status), {known.format(KEY_HASH)})",
        parameters={"settled_keys": list(statuses), "settled_statuses": list(statuses.values())},
    )


def statuses_of(where: str, own: OwnServers) -> LastStatus:
    """Of rows that meet `where`: ClickHouse follows them itself, which costs more, and is the same for many."""
    words = ", ".join(map(repr, WORST_FIRST))
    return LastStatus(
        f"if(status != '{DELIVERED}', toString(status),"
        f" transform({KEY_HASH}, {_SETTLED}.1, {_SETTLED}.2, toString(status)))",
        f"WITH (SELECT (groupArray(k), groupArray([{words}][fate])) FROM ({fates(where)})) AS {_SETTLED} ",
        own.parameters(),
    )
