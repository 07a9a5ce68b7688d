"""The SQL of what fails: counts of groups in a window and its baseline, and the newest deliveries of a place.

What is counted are recipients of messages, once for each window and group, whatever often they were tried in it. A
viewer who may not see where an alias leads is told no provider of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from postwatch.query.reports.bounces_question import FOR_ENGINEERS, MOST_ROWS, BouncesFilters
from postwatch.query.standing_out.groups import (
    ACCOUNT,
    DIMENSIONS,
    DOMAIN,
    EVERYWHERE,
    LEVELS,
    PROVIDER,
    REASON,
    SERVER,
    SOURCE_IP,
    Counts,
    Group,
    Level,
    Place,
)
from postwatch.query.standing_out.since import BIN_MS
from postwatch.query.standing_out.surprise import LEAST_EVENTS
from postwatch.query.statements import (
    DELIVERIES,
    EVENTS,
    NEWEST_FIRST,
    ROW_COLUMNS,
    SEES_TARGET_OF_EVENT,
    VIEWER,
    Row,
    Statement,
)
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.outcome import DELIVERED, KEY

MOST_GROUPS = 10_000
"""Of all levels together; of more, the largest count."""
_VALUES = {
    PROVIDER: f"if({SEES_TARGET_OF_EVENT}, remote_provider, '')",
    REASON: "reason",
    SERVER: "server",
    SOURCE_IP: "source_ip",
    DOMAIN: "account_domain",
    ACCOUNT: "account",
}
_OF_THE_ROW = (SERVER, DOMAIN, ACCOUNT)
"""All events of a row have the same, so recipients need not be grouped by them."""
_AT_MS = "toUnixTimestamp64Milli(at)"
_DAY = f"toUInt16(intDiv({{until_ms:Int64}} - 1 - {_AT_MS}, {{step_ms:Int64}}))"
"""0 in the window, then the number of windows before it."""


class FailureStatements:
    """For one viewer and one question."""

    def __init__(self, viewer: Viewer, database: str, wanted: BouncesFilters) -> None:
        self._viewer = viewer
        self._wanted = wanted
        self._parameters: dict[str, Any] = {
            "database": database,
            "until_ms": wanted.until_ms,
            "step_ms": wanted.step_ms,
            "statuses": list(wanted.statuses),
        }
        self._dimensions = [one for one in DIMENSIONS if viewer.is_engineer or one not in FOR_ENGINEERS]
        self._levels = [level for level in LEVELS if set(level) <= set(self._dimensions)]

    def mail(self) -> Statement:
        """How many were delivered: the number of the window (0: the one asked for), and how many."""
        parameters: dict[str, Any] = {"delivered": DELIVERED}
        where = f"{self._windows(parameters)} AND status = {{delivered:String}}"
        sql = f"SELECT {_DAY} AS day, count() FROM {EVENTS} FINAL WHERE {VIEWER} AND {where} GROUP BY day"
        return self._statement(sql, parameters)

    def counts(self, without: Sequence[Place]) -> Statement:
        """Every group of every level with enough in the window: what `decode_counts` takes. Of groups that stand out
        alike the first is told, so the order is whole, by whatever threads they are counted: the narrowest first."""
        names = ", ".join(f"of_{one}" for one in self._dimensions)
        sets = ", ".join(f"({', '.join(f'of_{one}' for one in level)})" for level in self._levels)
        days = ", ".join(f"countIf(day = {number}) AS day_{number}" for number in range(self._wanted.baseline + 1))
        inner, parameters = self._recipients(self._dimensions, without=without)
        sql = (
            f"SELECT * FROM (SELECT *, count() OVER (PARTITION BY level) FROM ("
            f"SELECT grouping({names}) AS level, {names}, {days} FROM ({inner}) GROUP BY GROUPING SETS ({sets})))"
            " WHERE day_0 >= {least:UInt32} OR level = {everywhere:UInt64}"
            f" ORDER BY day_0 DESC, level, {names} LIMIT {{groups:UInt32}}"
        )
        everywhere = (1 << len(self._dimensions)) - 1
        more = {"least": LEAST_EVENTS, "everywhere": everywhere, "groups": MOST_GROUPS}
        return self._statement(sql, parameters | more)

    def decode_counts(self, rows: Iterable[Row], days: Sequence[int]) -> Counts:
        """`days`: the numbers of the windows of the baseline that are known."""
        groups: list[Group] = []
        sizes: dict[Level, int] = {}
        width = len(self._dimensions)
        for row in rows:
            # The bit of a column is set where the level does not have it, the first column's the highest.
            level = tuple(name for place, name in enumerate(self._dimensions) if not row[0] >> (width - 1 - place) & 1)
            named = dict(zip(self._dimensions, row[1 : width + 1], strict=True))
            values = tuple(named[name] for name in level)
            counted = row[width + 1 : -1]
            sizes[level] = row[-1]
            if all(values):
                groups.append(Group(Place(level, values), counted[0], tuple(counted[day] for day in days)))
        return Counts(tuple(groups), sizes)

    def rows(self, by: Level, at: Place, most: int = MOST_ROWS) -> Statement:
        """The largest groups at a place: values, failed, deferred, time and hash of the newest that the viewer may
        see, then the counts of the baseline."""
        names = [f"of_{one}" for one in by]
        days = [f"countIf(day = {number})" for number in range(1, self._wanted.baseline + 1)]
        inner, parameters = self._recipients(by, at)
        counted = [
            *names,
            "countIf(day = 0 AND is_final) AS failed",
            "countIf(day = 0 AND NOT is_final) AS deferred",
            "argMaxIf((queued_ms, k), last_at, day = 0 AND is_shown)",
            *days,
        ]
        grouped = f" GROUP BY {', '.join(names)}" if names else ""
        sql = (
            f"SELECT {', '.join(counted)} FROM ({inner}){grouped} HAVING failed + deferred > 0"
            f" ORDER BY failed + deferred DESC, {', '.join(names) or 'failed'} LIMIT {{rows:UInt32}}"
        )
        return self._statement(sql, parameters | {"rows": most})

    def bins(self, at: Place, first_ms: int) -> Statement:
        """How many failed at a place, in each bin of BIN_MS from a time on: the number of the bin, and how many."""
        parameters: dict[str, Any] = {"first_ms": first_ms}
        where = self._at(parameters, at)
        sql = (
            f"SELECT intDiv({_AT_MS} - {{first_ms:Int64}}, {BIN_MS}) AS bin, count() FROM {EVENTS} FINAL"
            f" WHERE {VIEWER} AND at >= fromUnixTimestamp64Milli({{first_ms:Int64}})"
            f" AND at < fromUnixTimestamp64Milli({{until_ms:Int64}}) AND {where} GROUP BY bin"
        )
        return self._statement(sql, parameters)

    def course(self, first_ms: int, bin_ms: int) -> Statement:
        """The number of each bin since a time, and how many attempts failed, and were deferred, in it; oldest first."""
        parameters: dict[str, Any] = {"first_ms": first_ms, "bin_ms": bin_ms}
        where = self._at(parameters)
        sql = (
            f"SELECT intDiv({_AT_MS} - {{first_ms:Int64}}, {{bin_ms:Int64}}) AS bin,"
            f" countIf(status != 'deferred'), countIf(status = 'deferred') FROM {EVENTS} FINAL"
            f" WHERE {VIEWER} AND at >= fromUnixTimestamp64Milli({{first_ms:Int64}})"
            f" AND at < fromUnixTimestamp64Milli({{until_ms:Int64}}) AND {where} GROUP BY bin ORDER BY bin"
        )
        return self._statement(sql, parameters)

    def newest(self, at: Place, most: int) -> Statement:
        """Keys of the newest: account's domain, account, when it was queued in ms, hash."""
        parameters: dict[str, Any] = {"since_ms": self._wanted.since_ms, "rows": most}
        where = self._at(parameters, at)
        sql = (
            f"SELECT account_domain, account, toUnixTimestamp64Milli(queued_at), k FROM {EVENTS} FINAL"
            f" WHERE {VIEWER} AND at >= fromUnixTimestamp64Milli({{since_ms:Int64}})"
            f" AND at < fromUnixTimestamp64Milli({{until_ms:Int64}}) AND {where}"
            " GROUP BY account_domain, account, queued_at, k ORDER BY max(at) DESC, k DESC LIMIT {rows:UInt32}"
        )
        return self._statement(sql, parameters)

    def deliveries(self, keys: Sequence[Row]) -> Statement:
        """The rows of these keys, as `statements.decode_row` takes them."""
        queued = [row[2] for row in keys]
        sql = (
            f"SELECT {ROW_COLUMNS} FROM {DELIVERIES} FINAL WHERE {VIEWER}"
            " AND account_domain IN {domains:Array(String)} AND account IN {accounts:Array(String)}"
            " AND queued_at >= fromUnixTimestamp64Milli({first_ms:Int64})"
            " AND queued_at <= fromUnixTimestamp64Milli({last_ms:Int64})"
            f" AND cityHash64({', '.join(KEY)}) IN {{hashes:Array(UInt64)}}"
            f" ORDER BY {NEWEST_FIRST} LIMIT {{rows:UInt32}}"
        )
        parameters = {
            "domains": sorted({row[0] for row in keys}),
            "accounts": sorted({row[1] for row in keys}),
            "first_ms": min(queued),
            "last_ms": max(queued),
            "hashes": [row[3] for row in keys],
            "rows": len(keys),
        }
        return self._statement(sql, parameters)

    def _recipients(
        self, by: Sequence[str], at: Place = EVERYWHERE, without: Sequence[Place] = ()
    ) -> tuple[str, dict[str, Any]]:
        """Each recipient once for each window and group."""
        parameters: dict[str, Any] = {}
        where = f"{self._windows(parameters)} AND {self._at(parameters, at, without)}"
        names = "".join(f", {f'any({_VALUES[one]})' if one in _OF_THE_ROW else _VALUES[one]} AS of_{one}" for one in by)
        grouped = "".join(f", of_{one}" for one in by if one not in _OF_THE_ROW)
        sql = (
            f"SELECT k, {_DAY} AS day{names}, max(status != 'deferred') AS is_final, max(at) AS last_at,"
            f" any(toUnixTimestamp64Milli(queued_at)) AS queued_ms, any({SEES_TARGET_OF_EVENT}) AS is_shown"
            f" FROM {EVENTS} FINAL WHERE {VIEWER} AND {where} GROUP BY k, day{grouped}"
        )
        return sql, parameters

    def _at(self, parameters: dict[str, Any], at: Place = EVERYWHERE, without: Sequence[Place] = ()) -> str:
        """Of the statuses that count, at a place, and at none of the others."""
        conditions = ["status IN {statuses:Array(String)}"]
        conditions += _equal(self._wanted.place, "wanted", parameters)
        conditions += _equal(at, "at", parameters)
        for number, place in enumerate(without):
            conditions.append(f"NOT ({' AND '.join(_equal(place, f'not_{number}', parameters)) or '1'})")
        return " AND ".join(conditions)

    def _windows(self, parameters: dict[str, Any]) -> str:
        wanted = self._wanted
        steps = [number * wanted.step_ms for number in range(wanted.baseline + 1)]
        spans = [(wanted.since_ms - step, wanted.until_ms - step) for step in steps]
        if wanted.until_ms - wanted.since_ms >= wanted.step_ms:  # one adjoins the next
            spans = [(spans[-1][0], wanted.until_ms)]
        any_of = []
        for number, (since_ms, until_ms) in enumerate(spans):
            parameters |= {f"since_{number}": since_ms, f"until_{number}": until_ms}
            any_of.append(
                f"(at >= fromUnixTimestamp64Milli({{since_{number}:Int64}})"
                f" AND at < fromUnixTimestamp64Milli({{until_{number}:Int64}}))"
            )
        return f"({' OR '.join(any_of)})"

    def _statement(self, sql: str, parameters: dict[str, Any]) -> Statement:
        known = self._parameters | parameters
        return Statement(self._viewer, sql, {name: value for name, value in known.items() if f"{{{name}:" in sql})


def _equal(place: Place, prefix: str, parameters: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for name, value in place.named.items():
        parameters[f"{prefix}_{name}"] = value
        found.append(f"{_VALUES[name]} = {{{prefix}_{name}:String}}")
    return found
