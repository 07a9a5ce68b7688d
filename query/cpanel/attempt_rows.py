"""The rows of `emailtrack_search`, and the statements that read them in pieces, newest or oldest first.

A piece is bounded by time: how far its rows reach is found without FINAL, which is cheap but counts old versions too;
then the rows of that time are read in their last versions, by the keys that were found. Conditions may let more rows
through than the filters ask for, never fewer: `lists.holds` has the last word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from postwatch.query.cpanel.records import TYPES
from postwatch.query.cpanel.scopes import UserScope, Window, joined
from postwatch.query.cpanel.shaping import Match
from postwatch.query.search import fold
from postwatch.query.statements import DELIVERIES, ROW_HASH, SHOWN, VIEWER, Row, Statement
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
    conditions, parameters = sought.conditions()
    end = "max" if sought.is_oldest_first else "min"
    sql = (
        f"SELECT toUnixTimestamp64Milli({end}(queued_at)), count() FROM (SELECT queued_at FROM {DELIVERIES}"
        f" WHERE {VIEWER}{conditions} ORDER BY queued_at {sought.direction} LIMIT {{rows:UInt32}})"
    )
    return Statement(sought.viewer, sql, {"database": sought.database, "rows": rows, **parameters})


def rows_within(sought: Sought, rows: int) -> Statement:
    """The rows of the window in their last versions, at most `rows`.

    The sent row of a delivery stands before the received one, and of members whom the viewer may not see the one with
    the last event is read. GLOBAL: on a cluster the keys are found once, not once on each shard.
    """
    key = ", ".join(KEY)
    conditions, parameters = sought.conditions()
    sql = (
        f"SELECT {_SELECTED} FROM {DELIVERIES} FINAL WHERE {VIEWER}"
        f" AND ({key}) GLOBAL IN (SELECT {key} FROM {DELIVERIES} WHERE {VIEWER}{conditions}){conditions}"
        f" ORDER BY queued_at {sought.direction}, server, queue_id, {SHOWN}, direction DESC, updated_at DESC"
        f" LIMIT 1 BY {ROW_HASH} LIMIT {{rows:UInt32}}"
    )
    return Statement(sought.viewer, sql, {"database": sought.database, "rows": rows, **parameters})
