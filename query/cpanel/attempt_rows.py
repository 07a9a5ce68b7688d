"""The rows of `emailtrack_search`, and the statements that read them in pieces, newest or oldest first.

A piece is bounded by time: how far its rows reach is found without FINAL, which is cheap but counts old versions too;
then the rows of that time are read in their last versions, by the keys that were found: of the fleet in the slim
tables. Conditions may let more rows through than the filters ask for, never fewer: `lists.holds` has the last word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from postwatch.query.cpanel.records import TYPES
from postwatch.query.cpanel.scopes import UserScope, Window, joined
from postwatch.query.cpanel.shaping import Match
from postwatch.query.search import fold
from postwatch.query.statements import DELIVERIES, EVENTS, ROW_HASH, SHOWN, STATES, VIEWER, Row, Statement
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.columns import NESTED, TIME
from postwatch.streams.contracts.outcome import COLUMNS, KEY, Attempt, Outcome

_NOT_READ = frozenset({"log_lines", "subject", "message_id", "delay_ms", "result", "enhanced_code", "tls", "reason"})
"""Columns that no record shows."""
_READ = [column for column in COLUMNS if column.name not in _NOT_READ]
_COLUMNS_OF = {
    "sender": ("sender",),
    "email": ("sender",),
    "domain": ("sender",),
    "msgid": ("queue_id",),
    "recipient": (SHOWN, "original_recipient"),
    "deliveredto": (SHOWN,),
}
"""Fields whose text is a part of these columns, for every viewer."""
_STATUSES = "{statuses:Array(String)}"
_OF_STATUSES = f" AND status IN {_STATUSES}"
_PARTS = frozenset({"contains", "begins", "ends", "eq"})


def _selected() -> str:
    words: list[str] = []
    for column in _READ:
        if column.kind is NESTED:
            for part in column.parts:
                name = f"{column.name}.{part.name}"
                words.append(f"arrayMap(at -> toUnixTimestamp64Milli(at), {name})" if part.kind is TIME else name)
        else:
            words.append(f"toUnixTimestamp64Milli({column.name})" if column.kind is TIME else column.name)
    return ", ".join(words)


_SELECTED = _selected()
_PARTS_OF_ATTEMPT = len(Attempt._fields)
_NAMES = [column.name for column in _READ]
_ATTEMPTS = _NAMES.index("attempts")
_EMPTY = Outcome()


def outcome_of(row: Row) -> Outcome:
    """A row of these statements → an Outcome without the columns that no record shows."""
    lists = row[_ATTEMPTS : _ATTEMPTS + _PARTS_OF_ATTEMPT]
    attempts = tuple(map(Attempt._make, zip(*lists, strict=True)))
    values = (*row[:_ATTEMPTS], attempts, *row[_ATTEMPTS + _PARTS_OF_ATTEMPT :])
    return _EMPTY._replace(**dict(zip(_NAMES, values, strict=True)))


@dataclass(frozen=True, slots=True)
class Sought:
    """The rows that a call is about."""

    viewer: Viewer
    database: str
    window: Window
    types: frozenset[str]
    scope: UserScope | None
    matches: tuple[Match, ...]
    is_oldest_first: bool = False

    @property
    def is_for_slim_tables(self) -> bool:
        """Whether the candidates are looked for by time alone. Of other viewers the key of deliveries knows the rows,
        and who sent a message only deliveries tell."""
        return self.viewer.sees_all and not any("sender" in _COLUMNS_OF.get(one.field, ()) for one in self.matches)

    def conditions(self) -> tuple[str, dict[str, Any]]:
        wanted = [self.window.condition(), _of_types(self.types), *_of_matches(self.matches)]
        return joined(*([self.scope.condition()] if self.scope else []), *wanted)

    @property
    def direction(self) -> str:
        return "ASC" if self.is_oldest_first else "DESC"


def _of_types(types: Iterable[str]) -> tuple[str, Mapping[str, Any]]:
    statuses = [status for status, kind in TYPES.items() if kind in types]
    words = (
        "(status IN {statuses:Array(String)} OR hasAny(arrayMap(one -> toString(one), attempts.status),"
        " {statuses:Array(String)}))"
    )
    return words, {"statuses": statuses}


def _of_matches(matches: Sequence[Match]) -> list[tuple[str, Mapping[str, Any]]]:
    """What every row whose record passes these filters fulfils."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for number, match in enumerate(matches):
        columns = _COLUMNS_OF.get(match.field, ())
        if columns and match.operator in _PARTS and match.word:
            name = f"match_{number}"
            words = " OR ".join(f"positionCaseInsensitiveUTF8({column}, {{{name}:String}}) > 0" for column in columns)
            found.append((f"({words})", {name: fold(match.word)}))
    return found


def reach(sought: Sought, rows: int) -> Statement:
    """How far the first `rows` candidates reach: the time of the last of them, and how many they are."""
    sources, parameters = _of_fleet(sought) if sought.is_for_slim_tables else _of_deliveries(sought)
    first = f"ORDER BY queued_at {sought.direction} LIMIT {{rows:UInt32}}"
    found = " UNION ALL ".join(f"SELECT * FROM (SELECT queued_at FROM {source} {first})" for source in sources)
    end = "max" if sought.is_oldest_first else "min"
    sql = f"SELECT toUnixTimestamp64Milli({end}(queued_at)), count() FROM (SELECT queued_at FROM ({found}) {first})"
    return Statement(sought.viewer, sql, {"database": sought.database, "rows": rows, **parameters})


def rows_within(sought: Sought, rows: int) -> Statement:
    """The rows of the window in their last versions, at most `rows`.

    The sent row of a delivery stands before the received one, and of members whom the viewer may not see the one with
    the last event is read. GLOBAL: on a cluster the keys are found once, not once on each shard.
    """
    key = ", ".join(KEY)
    conditions, parameters = sought.conditions()
    if sought.is_for_slim_tables:
        (states, *events), values = _of_fleet(sought)
        if events:
            states = states.removesuffix(_OF_STATUSES) + f" AND (status IN {_STATUSES} OR k GLOBAL IN"
            states += f" (SELECT k FROM {events[0]}))"
        keys = states
        parameters = values | parameters
    else:
        keys = f"{DELIVERIES} WHERE {VIEWER}{conditions}"
    sql = (
        f"SELECT {_SELECTED} FROM {DELIVERIES} FINAL WHERE {VIEWER}"
        f" AND ({key}) GLOBAL IN (SELECT {key} FROM {keys}){conditions}"
        f" ORDER BY queued_at {sought.direction}, server, queue_id, {SHOWN}, direction DESC, updated_at DESC"
        f" LIMIT 1 BY {ROW_HASH} LIMIT {{rows:UInt32}}"
    )
    return Statement(sought.viewer, sql, {"database": sought.database, "rows": rows, **parameters})


def _of_deliveries(sought: Sought) -> tuple[list[str], dict[str, Any]]:
    """Where the candidates stand, as FROM and WHERE."""
    conditions, parameters = sought.conditions()
    return [f"{DELIVERIES} WHERE {VIEWER}{conditions}"], parameters


def _of_fleet(sought: Sought) -> tuple[list[str], dict[str, Any]]:
    """The same in the slim tables, which are in the order of time: as rows stand now, and where not all types are asked
    for, what happened to them."""
    scope = [sought.scope.condition()] if sought.scope else []
    conditions, parameters = joined(*scope, sought.window.condition(), *_of_matches(sought.matches))
    states = f"{STATES} WHERE {VIEWER}{conditions}"
    if sought.types == frozenset(TYPES.values()):
        return [states], parameters
    of_events, values = joined(*scope, sought.window.condition_of_events())
    events = f"{EVENTS} WHERE {VIEWER}{of_events}{_OF_STATUSES}"
    return [states + _OF_STATUSES, events], parameters | values | dict(_of_types(sought.types)[1])
