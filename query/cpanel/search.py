"""`emailtrack_search` and `EmailTrack::search`: the attempts that were made, as records.

Invariant: a call reads MOST_ROWS rows at most, whatever it asks for, and says so where there were more. The records are
made of rows as the viewer may see them, and filtered, counted and cut only then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from postwatch.query.cpanel.attempt_rows import Sought, outcome_of, reach, rows_within
from postwatch.query.cpanel.lists import Page, holds, ordered, paged
from postwatch.query.cpanel.owner_names import OwnerNames
from postwatch.query.cpanel.parameters import (
    LATEST_SECONDS,
    Parameters,
    number_of,
    read_choice,
    read_flag,
    read_whole_number,
)
from postwatch.query.cpanel.records import DEFER, FAILURE, IN_PROGRESS, SUCCESS, TrackRecord, records_of
from postwatch.query.cpanel.scopes import UserScope, Window
from postwatch.query.cpanel.shaping import Match, Shaping
from postwatch.query.reports.report import DAY_MS, Tables
from postwatch.query.statements import Row
from postwatch.streams.contracts.outcome import SENT, Outcome

MOST_ROWS = 10_000
"""Rows that one call reads. A row has a record for each attempt."""
MOST_RECORDS = 50_000
_FIRST_ROWS = 200
FLAGS = (SUCCESS, DEFER, FAILURE, IN_PROGRESS)
DELIVERY_TYPES = ("all", "remote", "local")


@dataclass(frozen=True, slots=True)
class SearchCall:
    types: frozenset[str]
    delivery_type: str
    most_by_type: int
    """0: all."""
    shaping: Shaping
    scope: UserScope | None


@dataclass(frozen=True, slots=True)
class Found:
    """The records asked for, and what was left out."""

    page: Page[TrackRecord]
    overflowed: bool
    """There are more than were looked at, or than `max_results_by_type` lets through."""
    warnings: tuple[str, ...] = ()


def read_search(parameters: Parameters, shaping: Shaping, scope: UserScope | None) -> SearchCall:
    """Raises CallError. Without any flag only failures are found, as cPanel does."""
    types = frozenset(flag for flag in FLAGS if read_flag(parameters, flag))
    return SearchCall(
        types or frozenset({FAILURE}),
        read_choice(parameters, "deliverytype", DELIVERY_TYPES, "all"),
        read_whole_number(parameters, "max_results_by_type", 0),
        shaping,
        scope,
    )


def search(tables: Tables, names: OwnerNames, call: SearchCall) -> Found:
    """Raises whatever reading raises."""
    sought = _sought(tables, call)
    enough = _enough(call)
    found: list[TrackRecord] = []
    by_type: Counter[str] = Counter()
    is_capped = is_cut = False
    servers = tables.names
    reading = _Reading(tables, sought, MOST_ROWS if enough is None else enough)
    for row in reading:
        for record in records_of(tables.viewer, names, row, servers):
            if record.type not in call.types or not _is_of(call.delivery_type, record):
                continue
            if not holds(record, call.shaping.matches):
                continue
            if call.most_by_type and by_type[record.type] >= call.most_by_type:
                is_capped = True
                continue
            by_type[record.type] += 1
            found.append(record)
        if len(found) > MOST_RECORDS:
            is_cut = True
            break
        if enough is not None and len(found) > enough:
            break
    page = paged(ordered(found, call.shaping.orders), call.shaping.chunk)
    is_cut = is_cut or reading.is_cut
    which = "oldest" if sought.is_oldest_first else "newest"
    words = (f"Only the {which} {MOST_ROWS} deliveries were looked at. Ask for less time by filters on sendunixtime.",)
    return Found(page, is_cut or is_capped, words if is_cut else ())


def _is_of(delivery_type: str, record: TrackRecord) -> bool:
    return delivery_type == "all" or record.transport_is_remote == (delivery_type == "remote")


def _is_by_time(call: SearchCall) -> bool:
    """Whether the rows can be read in the order of the records: that of when messages were sent."""
    orders = call.shaping.orders
    return not call.most_by_type and (not orders or (len(orders) == 1 and orders[0].field == "sendunixtime"))


def _enough(call: SearchCall) -> int | None:
    """How many records fill the page; None: all are needed, for their order, their number or the cap."""
    chunk = call.shaping.chunk
    if chunk is None or chunk.end is None or chunk.is_verbose or not _is_by_time(call):
        return None
    return chunk.end


def _sought(tables: Tables, call: SearchCall) -> Sought:
    kept_ms = tables.now_ms - tables.retention_days * DAY_MS
    since_ms, until_ms = _sent_within(call.shaping.matches)
    window = Window(max(since_ms, kept_ms - tables.open_ms), min(until_ms, tables.now_ms + DAY_MS), kept_ms)
    orders = call.shaping.orders
    is_oldest_first = bool(orders) and _is_by_time(call) and not orders[0].is_reversed
    return Sought(tables.viewer, tables.database, window, call.types, call.scope, call.shaping.matches, is_oldest_first)


def _sent_within(matches: tuple[Match, ...]) -> tuple[int, int]:
    """From when and before when, in ms, as the filters on `sendunixtime` say. A record tells whole seconds."""
    since, until = 0, LATEST_SECONDS
    for match in matches:
        number = number_of(match.word)
        if match.field != "sendunixtime" or number is None:
            continue
        second = int(min(max(number, 0), LATEST_SECONDS))
        if match.operator in ("gt", "gt_equal", "==", "eq"):
            since = max(since, second)
        if match.operator in ("lt", "lt_equal", "==", "eq"):
            until = min(until, second + 1)
    return since * 1000, until * 1000


class _Reading:
    """The rows in order, read in growing pieces up to MOST_ROWS. Each delivery comes once: where its sender and its
    recipient are both the viewer's, under the sender."""

    def __init__(self, tables: Tables, sought: Sought, wanted: int) -> None:
        self._tables = tables
        self._sought = sought
        self._wanted = max(wanted, _FIRST_ROWS)
        self.is_cut = False

    def __iter__(self) -> Iterator[Outcome]:
        sought, step, taken = self._sought, min(self._wanted, MOST_ROWS), 0
        seen: set[tuple[str, str, int, str]] = set()
        while sought.window.since_ms < sought.window.until_ms:
            piece = self._piece(sought, step + step // 4)
            rows = self._tables.read(rows_within(piece, MOST_ROWS + 1 - taken))
            for row in map(outcome_of, rows):
                delivery = (row.server, row.queue_id, row.queued_at, row.recipient)
                taken += 1
                if taken > MOST_ROWS:
                    self.is_cut = True
                    return
                if row.direction == SENT:
                    seen.add(delivery)
                elif delivery in seen:
                    continue
                yield row
            sought = _behind(sought, piece)
            step = min(step * 4, MOST_ROWS)

    def _piece(self, sought: Sought, rows: int) -> Sought:
        """The first part of the window that has so many candidates, or all of it."""
        found: list[Row] = list(self._tables.read(reach(sought, rows)))
        (at_ms, number) = found[0]
        if number < rows:
            return sought
        window = sought.window
        if sought.is_oldest_first:
            return replace(sought, window=replace(window, until_ms=at_ms + 1))
        return replace(sought, window=replace(window, since_ms=at_ms))


def _behind(sought: Sought, piece: Sought) -> Sought:
    """The rest of the window behind a piece of it."""
    if sought.is_oldest_first:
        return replace(sought, window=replace(sought.window, since_ms=piece.window.until_ms))
    return replace(sought, window=replace(sought.window, until_ms=piece.window.since_ms))
