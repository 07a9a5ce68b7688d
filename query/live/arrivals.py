"""What was inserted lately: which rows are new to this process, and those rows in their last versions.

Two statements for all open pages together. The first reads keys and versions that were inserted within the last
seconds, by ClickHouse's own clock, so it finds rows however old their events are. It looks further back than to the
poll before, because an insert becomes visible a while after its time was taken; what was read already is known by its
version. The second reads the rows by their keys. It does without FINAL: it reads every version of a key, and the last
one counts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from postwatch.query.live.belonging import WatchKey
from postwatch.query.row_id import RowPlace
from postwatch.query.row_keys import FindRowIds
from postwatch.query.statements import (
    ARRIVALS,
    DELIVERIES,
    ROW_COLUMNS,
    VIEWER,
    Delivery,
    Read,
    Row,
    Statement,
    decode_row,
)
from postwatch.query.viewer import ENGINEER

OVERLAP_MS = 10_000
"""An insert may become visible so long after its time was taken."""
MOST_KEYS = 10_000
MOST_GROUPS = 500
"""Groups of rows that one poll reads; of more, the page is told that there are more."""
MOST_ROWS = 5_000
_MOST_SEEN = 100_000
_GROUP_HASH = (
    "cityHash64(account_domain, account, queued_at, server, queue_id,"
    " if(direction = 'sent' AND original_recipient != '', original_recipient, recipient), direction)"
)


Follow = Callable[[Iterable[Delivery]], list[Delivery]]


class Member(NamedTuple):
    """A row in its last version."""

    row: Delivery
    is_new: bool
    """Whether this version was not read before."""


@dataclass(frozen=True, slots=True)
class Group:
    """The rows that one address led to: to whoever may not see where it led, they are one row with this id."""

    id: str
    row_hash: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What one poll brought."""

    position_ms: int
    """ClickHouse's clock before it: everything inserted long enough before was read."""
    groups: tuple[Group, ...] = ()
    has_more: bool = False
    """Not all that was inserted was read."""


class _Candidate(NamedTuple):
    row_key: int
    group_key: int
    account_domain: str
    account: str
    queued_ms: int
    version: int


class Arrivals:
    """Remembers which versions were read."""

    def __init__(self, read: Read, database: str, follow: Follow, find_ids: FindRowIds) -> None:
        """`follow`: the rows, each with its last fate as whoever sees least may see it."""
        self._read = read
        self._follow = follow
        self._find_ids = find_ids
        self._database = database
        self._seen: OrderedDict[int, int] = OrderedDict()

    def poll(self, watched: Collection[WatchKey], window_ms: int) -> Found:
        """What was inserted within the window and is new, of the watched accounts. Raises what reading raises."""
        ((position_ms, keys),) = self._read(newest_keys(self._database, watched, window_ms))
        candidates = [_Candidate(*key) for key in keys]
        fresh = [one for one in candidates if self._seen.get(one.row_key, -1) < one.version]
        wanted = dict.fromkeys(one.group_key for one in fresh)
        has_more = len(candidates) >= MOST_KEYS or len(wanted) > MOST_GROUPS
        chosen = set(list(wanted)[:MOST_GROUPS])  # the newest
        groups: tuple[Group, ...] = ()
        if chosen:
            rows = self._read(rows_of(self._database, [one for one in fresh if one.group_key in chosen]))
            has_more = has_more or len(rows) >= MOST_ROWS
            groups = self._grouped(rows)
        if has_more:  # whoever shows these rows begins anew, so they are not read again
            self._remember({one.row_key: one.version for one in fresh if one.group_key not in chosen})
        return Found(int(position_ms), groups, has_more)

    def _grouped(self, rows: Sequence[Row]) -> tuple[Group, ...]:
        newest: dict[int, dict[int, Delivery]] = {}
        ids = self._find_ids()
        followed = self._follow([decode_row(columns, ids) for _, *columns in rows])
        for (group_key, *columns), row in zip(rows, followed, strict=True):
            row_key = columns[-1]
            members = newest.setdefault(group_key, {})
            known = members.get(row_key)
            if known is None or known.version < row.version:
                members[row_key] = row
        groups = []
        for group_key, members in newest.items():
            rows_of_it = tuple(Member(row, self._seen.get(key, -1) < row.version) for key, row in members.items())
            group_id = ids.encode(RowPlace(rows_of_it[0].row.queued_at, group_key))
            groups.append(Group(group_id, group_key, rows_of_it))
            self._remember({key: row.version for key, row in members.items()})
        return tuple(groups)

    def _remember(self, versions: dict[int, int]) -> None:
        for key, version in versions.items():
            self._seen[key] = version
            self._seen.move_to_end(key)
        while len(self._seen) > _MOST_SEEN:
            self._seen.popitem(last=False)


def newest_keys(database: str, watched: Collection[WatchKey], window_ms: int) -> Statement:
    """One row: ClickHouse's time in ms, and the keys that were inserted within the window, the newest first."""
    accounts = sorted({name for kind, name in watched if kind == "account"})
    parameters: dict[str, Any] = {
        "database": database,
        "accounts": accounts,
        "account_domains": sorted({name.rpartition("@")[2] for name in accounts}),
        "domains": sorted({name for kind, name in watched if kind == "domain"}),
        "users": sorted({name for kind, name in watched if kind == "user"}),
        "window_ms": window_ms,
        "most": MOST_KEYS,
    }
    sql = (
        "SELECT toUnixTimestamp64Milli(now64(3)), groupArray((row_key, group_key, account_domain, account, queued_ms,"
        " newest)) FROM (SELECT row_key, group_key, account_domain, account,"
        " toUnixTimestamp64Milli(queued_at) AS queued_ms, max(version) AS newest"
        f" FROM {ARRIVALS} WHERE inserted_at > now64(3) - toIntervalMillisecond({{window_ms:UInt64}})"
        " AND ((account_domain IN {account_domains:Array(String)} AND account IN {accounts:Array(String)})"
        " OR account_domain IN {domains:Array(String)}"
        " OR substring(account, 1, length(account) - length(account_domain) - 1) IN {users:Array(String)})"
        " GROUP BY ALL ORDER BY max(inserted_at) DESC LIMIT {most:UInt32})"
    )
    return Statement(ENGINEER, sql, parameters)


def rows_of(database: str, candidates: Sequence[_Candidate]) -> Statement:
    """Every stored version of these rows, and of those of the same groups: group key, and ROW_COLUMNS."""
    sql = (
        f"SELECT {_GROUP_HASH}, {ROW_COLUMNS} FROM {DELIVERIES} WHERE {VIEWER}"
        " AND account_domain IN {account_domains:Array(String)} AND account IN {accounts:Array(String)}"
        " AND queued_at IN (SELECT fromUnixTimestamp64Milli(arrayJoin({queued:Array(Int64)})))"
        f" AND {_GROUP_HASH} IN {{groups:Array(UInt64)}} LIMIT {{most:UInt32}}"
    )
    parameters = {
        "database": database,
        "account_domains": sorted({one.account_domain for one in candidates}),
        "accounts": sorted({one.account for one in candidates}),
        "queued": sorted({one.queued_ms for one in candidates}),
        "groups": sorted({one.group_key for one in candidates}),
        "most": MOST_ROWS,
    }
    return Statement(ENGINEER, sql, parameters)
