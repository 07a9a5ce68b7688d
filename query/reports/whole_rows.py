"""The rows of a rare term of the search, found whole and at once by the indexes.

Of a row whose key has the term all versions are found, so the last one is among them and nothing more is read. Of any
other row, as of one with this sender, a newer version may say otherwise: so its last version is asked for, and where it
is another one than was found, the row is read again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from postwatch.query.reports.report import Tables
from postwatch.query.reports.search_question import SearchFilters
from postwatch.query.reports.search_window import SearchWindow, newest_rows
from postwatch.query.search import Alternative
from postwatch.query.statements import (
    DELIVERIES,
    HAS_QUEUE_ID,
    MAY_HAVE_MESSAGE_KEY,
    MESSAGE_KEY,
    NOT_COMPILED,
    ROW_HASH,
    MessageKey,
    Row,
    Span,
    Statement,
    of_keys,
)

MOST_WHOLE = 1_000
"""So many versions at most are read whole; of more, the keys are read first."""


class FoundRows(NamedTuple):
    """What a span has."""

    rows: Sequence[Row]
    """Newest first."""
    since_ms: int
    """They are all rows since then."""
    is_over: bool
    """Nothing older is in the span."""


def is_whole(window: SearchWindow) -> bool:
    """Whether its rows may be found so: it has a rare term, and no filter, which an old version alone may pass."""
    wanted = window.wanted
    is_plain = wanted == SearchFilters(wanted.terms, wanted.days, wanted.limit)
    return bool(window.most_rows) and is_plain and not window.by_sent and window.viewer.sees_all


class WholeRow(NamedTuple):
    """A version of a row."""

    key: MessageKey
    at_ms: int
    version: int
    is_deleted: bool
    has_term_by_key: bool
    """Every version of it is found by the term."""
    row: Row
    """ROW_HASH, and then the columns."""

    @classmethod
    def of(cls, row: Row) -> WholeRow:
        at_ms, version, is_deleted, by_key = row[4:8]
        return cls(MessageKey(*row[:4]), at_ms, version, bool(is_deleted), bool(by_key), row[8:])


def newest_whole(window: SearchWindow, until_ms: int | None, rows: int) -> Statement:
    """What `WholeRow.of` takes, of the newest `rows` versions that have the term, by each of its conditions; however
    old: a row of which the last version is too old is not to be shown in an earlier one."""
    any_of, values = window.alternatives()
    until = ""
    if until_ms is not None:
        until = " AND updated_at < fromUnixTimestamp64Milli({until_ms:Int64})"
        values["until_ms"] = until_ms
    found = " UNION ALL ".join(
        f"SELECT {MESSAGE_KEY}, toUnixTimestamp64Milli(updated_at), version, is_deleted, {one.of_key},"
        f" {ROW_HASH}, {window.columns.sql} FROM {one.rows_of(DELIVERIES)}{until}"
        " ORDER BY updated_at DESC LIMIT {rows:UInt32}"
        for one in any_of
    )
    limits = f"max_rows_to_read = {window.most_rows:d}, use_skip_indexes_on_data_read = 0"  # counted behind the indexes
    return window.statement(f"SELECT * FROM ({found}) SETTINGS {limits}, {NOT_COMPILED}", rows, values)


def last_versions(window: SearchWindow, keys: Collection[MessageKey]) -> Statement:
    """ROW_HASH and the last version of each row that has one of the keys."""
    of_keys_alone = Alternative(MAY_HAVE_MESSAGE_KEY, HAS_QUEUE_ID).rows_of(DELIVERIES)
    sql = f"SELECT {ROW_HASH}, max(version) FROM {of_keys_alone} GROUP BY 1 SETTINGS {NOT_COMPILED}"
    return Statement(window.viewer, sql, {"database": window.database, **of_keys(keys)})


def whole_rows(tables: Tables, window: SearchWindow, span: Span, sought: int) -> FoundRows:
    """The rows among the newest `sought` versions, in one question where all versions of each are sure to be there."""
    told = map(WholeRow.of, tables.read(newest_whole(window, span.until_ms, sought)))
    found = sorted(told, key=lambda one: one.at_ms, reverse=True)[:sought]
    is_cut = len(found) == sought
    since_ms = max(span.since_ms, found[-1].at_ms + 1) if is_cut else span.since_ms
    newest: dict[int, WholeRow] = {}
    for one in sorted(found, key=lambda one: one.version):
        newest[one.row[0]] = one
    within = {one.row[0] for one in found if one.at_ms >= since_ms}
    unsure = within
    if not is_cut and span.until_ms is None:
        unsure = within - {one.row[0] for one in found if one.has_term_by_key}
    changed: set[int] = set()
    if unsure:
        told_last = tables.read(last_versions(window, {newest[row_hash].key for row_hash in unsure}))
        last = {int(row_hash): int(version) for row_hash, version in told_last}
        changed = {row_hash for row_hash in unsure if last.get(row_hash) != newest[row_hash].version}
    shown = (newest[row_hash] for row_hash in within - changed)
    rows = [(one.at_ms, one.row) for one in shown if one.at_ms >= since_ms and not one.is_deleted]
    if changed:  # in its last version such a row has the term no more, or it came just now
        keys = {newest[row_hash].key for row_hash in changed}
        again = tables.read(newest_rows(window, Span(since_ms, span.until_ms), sought, keys))
        rows += [(window.columns.decode(row[1:]).updated_at, row) for row in again if row[0] in changed]
    rows.sort(key=lambda one: (one[0], one[1][0]), reverse=True)
    return FoundRows([row for _, row in rows], since_ms, is_over=not is_cut or found[-1].at_ms < span.since_ms)
