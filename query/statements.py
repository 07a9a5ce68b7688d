"""What the SQL of the reports shares: statements with server-side parameters, the tables, the columns of a row.

The invariants of every statement: it is made for a viewer, and reads his rows only. Nothing that people typed is in its
text. FINAL, which is expensive, reads only rows that the primary key has narrowed already; whatever searches by a skip
index or counts does so without FINAL. No statement shows a row older than the time it is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, Self

from postwatch.query.filters import AccountScope, Domain, Mailbox, OwnDomains
from postwatch.query.row_id import RowIds, RowPlace
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.columns import NESTED, TEXTS, TIME, Column
from postwatch.streams.contracts.outcome import COLUMNS, Attempt, Outcome

Row = Sequence[Any]


class Statement:
    """One SELECT and the values of its `{name:Type}` parameters, for one viewer.

    `{viewer}` stands at the head of each WHERE over deliveries, states and events, and becomes the viewer's condition;
    a PREWHERE may stand before it. Raises ValueError where it is missing: no statement can be built that reads other
    people's rows. The tables about servers and arrivals are for an engineer, or for what the server itself has to know.
    The views are for dashboards.
    """

    __slots__ = ("parameters", "sql", "viewer")

    def __init__(self, viewer: Viewer, sql: str, parameters: Mapping[str, Any]) -> None:
        if _VIEWS.search(sql):
            raise ValueError(f"the views are for dashboards: {sql}")
        if sum(map(sql.count, _OF_ACCOUNTS)) != len(_BOUND.findall(sql)):
            raise ValueError(f"each WHERE over {', '.join(_OF_ACCOUNTS)} begins with {VIEWER}: {sql}")
        for table in (SERVERS, ARRIVALS):
            if table in sql and not viewer.is_engineer:
                raise ValueError(f"{viewer.name} may not read {table}")
        self.viewer = viewer
        self.sql = sql
        self.parameters = dict(parameters)
        meanings = {
            VIEWER: viewer.condition(),
            SHOWN: viewer.shown_recipient(),
            SEES_TARGET: viewer.sees_target(),
            SEES_TARGET_OF_EVENT: viewer.sees_target_of_event(),
            OURS: (_OURS, {}),
            OURS_CLIENT: (_OURS_CLIENT, {}),
        }
        for placeholder, (text, values) in meanings.items():
            if placeholder in sql:
                self.sql = self.sql.replace(placeholder, text)
                self.parameters |= values


Read = Callable[[Statement], Sequence[Row]]
"""Runs a statement and returns its rows. Raises the errors of query/errors.py."""


class Span(NamedTuple):
    """Rows at or after `since_ms` and, where given, before `until_ms`; by the time that the report is ordered by."""

    since_ms: int
    until_ms: int | None = None


class MessageKey(NamedTuple):
    """The parts of a row's key that narrow what is read of `deliveries`. Several rows may have the same."""

    account_domain: str
    account: str
    queued_ms: int
    queue_id: str


DELIVERIES = "{database:Identifier}.deliveries"
SERVERS = "{database:Identifier}.servers"
ARRIVALS = "{database:Identifier}.arrivals"
"""The keys of what was inserted lately, of all accounts."""
STATES = "{database:Identifier}.delivery_states"
"""The newest row of each recipient without its long texts, by time; as deliveries, it is read with FINAL."""
EVENTS = "{database:Identifier}.delivery_events"
"""Each attempt, and each end without one, by the time when it happened; read with FINAL too."""
HOPS = "{database:Identifier}.delivery_hops"
"""What ties the rows of one message on several of our servers. It tells no address, and of a message that the viewer
may see how it went on is his affair, whoever's the rows there are. So it is not bound to the viewer."""
OURS = "{ours}"
"""Whether the remote server of a row is one of ours. `OwnServers.parameters` of query/hops must be given."""
VIEWER = "{viewer}"
SHOWN = "{shown_recipient}"
"""The recipient that the viewer may see. What people search, sort and page by is this one."""
SEES_TARGET = "{sees_target}"
"""Whether the viewer may know where an alias led: else the remote server, its provider, the recipient and its domain
are hidden. Over deliveries and states."""
SEES_TARGET_OF_EVENT = "{sees_target_of_event}"
"""The same over events."""
_OURS = (
    f"(lower(remote_host) GLOBAL IN (SELECT lower(server) FROM {SERVERS})"
    " OR has({own_names:Array(String)}, lower(remote_host))"
    " OR (isIPv4String(remote_ip) AND remote_ip NOT LIKE '127.%' OR isIPv6String(remote_ip) AND remote_ip != '::1')"
    " AND arrayExists(network -> isIPAddressInRange(if(remote_ip = '', '::1', remote_ip), network),"
    " {own_networks:Array(String)}))"
)
OURS_CLIENT = "{ours_client}"
"""The same of its client."""
_OURS_CLIENT = _OURS.replace("remote_", "client_")
_OF_ACCOUNTS = (DELIVERIES, STATES, EVENTS)
_PREWHERE = r"(?: PREWHERE (?:(?!WHERE|FROM|SELECT).)+)?"
_BOUND = re.compile(rf"(?:{'|'.join(map(re.escape, _OF_ACCOUNTS))})(?: FINAL)?{_PREWHERE} WHERE {re.escape(VIEWER)}")
_VIEWS = re.compile(r"\.(?:deliveries_now|events)\b")
MESSAGE_KEY = "account_domain, account, toUnixTimestamp64Milli(queued_at), queue_id"
"""SQL of the columns of a MessageKey."""
QUEUE_IDS = "arrayConcat([queue_id, parent_queue_id], splitByChar(' ', next_queue_id))"
"""All that a message had on its way, as the index has them: a condition on it is to be written with the same words."""
MAY_HAVE_MESSAGE_KEY = (
    "(account_domain, account, queued_at) IN (SELECT key.1, key.2, fromUnixTimestamp64Milli(key.3)"
    " FROM (SELECT arrayJoin({keys:Array(Tuple(String, String, Int64))}) AS key))"
    f" AND hasAny({QUEUE_IDS}, {{queue_ids:Array(String)}})"
)
"""What indexes tell of some MessageKeys. By the primary key, a row may lie in a granule of each part of its week; the
index of queue ids tells in which of them it is."""
HAS_QUEUE_ID = "queue_id IN {queue_ids:Array(String)}"
HAS_MESSAGE_KEY = f"{MAY_HAVE_MESSAGE_KEY} AND {HAS_QUEUE_ID}"
"""True of the rows that have one of some MessageKeys, and of few others."""
ROW_HASH = f"cityHash64(account_domain, account, queued_at, server, queue_id, {SHOWN}, direction)"
"""Tells a row from every other. Whoever knows all parts of it but one can find that one by trying, so it leaves the
server only as a sealed id (row_id.py). What an alias led to is one row to whoever may not see where it led."""
NEWEST_FIRST = f"updated_at DESC, {ROW_HASH} DESC"
SETTINGS = {
    # A key's queued_at never changes and picks the partition, so the versions of a row never lie in two of them.
    "do_not_merge_across_partitions_select_final": 1,
    # Conditions on the key alone, which all versions of a row have in common, before the other columns are read.
    "optimize_move_to_prewhere_if_final": 1,
    # By default a thread wants 1 GiB of free memory, so that a small server reads with one. Each statement is bounded.
    "max_threads_min_free_memory_per_thread": 0,
}
"""What every statement is to be run with."""
NOT_COMPILED = "compile_expressions = 0, compile_aggregate_expressions = 0, compile_sort_description = 0"
"""What a statement that reads few rows is to be run with. ClickHouse makes machine code of what it meets for the fourth
time, and that question waits for it. Over the whole fleet it saves a fifth."""


def of_keys(keys: Collection[MessageKey]) -> dict[str, Any]:
    """The parameters of HAS_MESSAGE_KEY."""
    return {"keys": [key[:3] for key in keys], "queue_ids": list({key.queue_id for key in keys})}


def _selected(column: Column) -> list[str]:
    """A column as it is read: times as ms, attempts as an array for each of their parts. No column gets an alias: an
    alias with a column's name would replace the column in WHERE too, and ClickHouse could not use the primary key."""
    if column.kind is not NESTED:
        return [f"toUnixTimestamp64Milli({column.name})" if column.kind is TIME else column.name]
    parts = [(f"{column.name}.{part.name}", part.kind is TIME) for part in column.parts]
    return [f"arrayMap(at -> toUnixTimestamp64Milli(at), {name})" if is_time else name for name, is_time in parts]


def one_of_each(viewer: Viewer, table: str, scope: str = "1") -> str:
    """SQL that is true for one row of each: of the members that an address led to, where the viewer may not see them,
    it is the one with the last event. `scope` narrows where they are looked for; `{queued_since_ms}` must be given."""
    if viewer.sees_all:
        return "1"
    return (
        f"({SHOWN} = recipient OR ({ROW_HASH}, updated_at, recipient) GLOBAL IN"
        f" (SELECT {ROW_HASH}, max(updated_at), argMax(recipient, (updated_at, recipient)) FROM {table} FINAL"
        f" WHERE {VIEWER} AND {scope} AND {SHOWN} != recipient"
        " AND queued_at >= fromUnixTimestamp64Milli({queued_since_ms:Int64}) GROUP BY "
        f"{ROW_HASH}))"
    )


def scope_conditions(account: AccountScope) -> tuple[list[str], dict[str, Any]]:
    if isinstance(account, Mailbox):
        conditions = ["account_domain = {domain:String}", "account = {account:String}"]
        return conditions, {"domain": account.domain, "account": account.name}
    if isinstance(account, Domain):
        return ["account_domain = {domain:String}"], {"domain": account.domain}
    if isinstance(account, OwnDomains):
        return ["account_domain IN {own_domains:Array(String)}"], {"own_domains": list(account.domains)}
    # A system user's domain is the server. Both lists, for the primary key to be used.
    conditions = ["account_domain IN {servers:Array(String)}", "account IN {accounts:Array(String)}"]
    accounts = [f"{account.user}@{server}" for server in account.servers]
    return conditions, {"servers": list(account.servers), "accounts": accounts}


class Hop(NamedTuple):
    """What one of our servers behind the first one tells of a message; its names are for engineers."""

    server: str
    queue_id: str
    status: str
    at_ms: int
    is_told: bool = True
    """False: the message was handed to it, and its log has not told yet."""


class Delivery(Outcome):
    """A row that was read, with the id by which links and the API name it. What is shown of it keeps the id."""

    id: str = ""
    row_hash: int = 0
    """ROW_HASH, for the order of rows; it is not shown."""
    hops: tuple[Hop, ...] = ()
    """Of a message that one of our servers handed to another one: what those behind it tell, as far as is known."""
    last_event_ms: int = 0
    """When the last of them told it; 0: the message was not handed over."""

    def _replace(self, **changed: Any) -> Self:
        replaced = super()._replace(**changed)
        replaced.id, replaced.row_hash = self.id, self.row_hash
        replaced.hops, replaced.last_event_ms = self.hops, self.last_event_ms
        return replaced


class RowColumns:
    """What is read of each row: these fields, or all. A field that is not read is as the log had not told it."""

    __slots__ = ("_names", "_whole", "sql")

    sql: str
    """What is selected; `decode` takes it."""

    def __init__(self, fields: Collection[str] | None = None) -> None:
        read = [column for column in COLUMNS if fields is None or column.name in fields or column.name in _ALWAYS_READ]
        self.sql = ", ".join([*(name for column in read for name in _selected(column)), ROW_HASH])
        self._names = [(column.name, len(column.parts), column.kind is TEXTS) for column in read]
        self._whole = len(read) == len(COLUMNS)

    def decode(self, row: Row, ids: RowIds | None = None) -> Delivery:
        """A row → a Delivery, with its id where `ids` are given."""
        values: list[Any] = []
        at = 0
        for _, parts, is_list in self._names:
            if parts:
                values.append(tuple(map(Attempt._make, zip(*row[at : at + parts], strict=True))))
                at += parts
            else:
                values.append(tuple(row[at]) if is_list else row[at])
                at += 1
        if self._whole:
            delivery = Delivery._make(values)
        else:
            delivery = Delivery(**{name: value for (name, _, _), value in zip(self._names, values, strict=True)})
        delivery.row_hash = int(row[at])
        if ids is not None:
            delivery.id = ids.encode(RowPlace(delivery.queued_at, delivery.row_hash))
        return delivery


_ALWAYS_READ = frozenset(
    "account account_domain direction server sender recipient original_recipient authenticated_as queued_at updated_at"
    " status result reason response remote_host".split()
)
"""What privacy.py goes by, what tells a row from others, and what every list shows."""


@cache
def row_columns(fields: frozenset[str] | None) -> RowColumns:
    return ALL_COLUMNS if fields is None else RowColumns(fields)


ALL_COLUMNS = RowColumns()
ROW_COLUMNS = ALL_COLUMNS.sql
"""What `decode_row` takes."""
decode_row = ALL_COLUMNS.decode
