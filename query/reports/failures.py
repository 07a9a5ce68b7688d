"""What failed in a window: the troubles that stand out, the groups that people asked for, and the newest deliveries.

Everything is read by a few statements that are bounded in rows; the judgement is that of query/standing_out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from postwatch.query.reports.bounces_question import BouncesFilters, encode_position
from postwatch.query.reports.failure_statements import FailureStatements
from postwatch.query.reports.report import Tables
from postwatch.query.row_id import RowIds, RowPlace
from postwatch.query.standing_out.groups import EVERYWHERE, Counts, Group, Level, Place
from postwatch.query.standing_out.since import BIN_MS, Span, find_change
from postwatch.query.standing_out.surprise import Expectation, Judged, growth_of
from postwatch.query.standing_out.troubles import find_troubles
from postwatch.query.statements import Delivery, Row, decode_row

NEWEST_ROWS = 20
COURSE_BIN_MS = 15 * 60 * 1000
LEAST_COURSE_MS = 12 * 60 * 60 * 1000
"""How far back a chart goes at least."""


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """What failed at a place in the window, and what is usual there."""

    place: Place
    failed: int
    deferred: int
    expected: float | None
    """None: there is no day before to compare with."""
    surprise: float | None
    stands_out: bool
    id: str
    """Of the newest delivery that the viewer may see; empty: there is none."""

    @property
    def total(self) -> int:
        return self.failed + self.deferred


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that stands out."""

    group: FailureGroup
    span: Span
    is_earlier: bool
    """It began before the first time that was looked at."""


@dataclass(frozen=True, slots=True)
class Failures:
    """The answer to a question about failures."""

    wanted: BouncesFilters
    known_days: int
    """Windows of the baseline in which any mail was delivered; 0: nothing can stand out yet."""
    growth: float
    troubles: tuple[Trouble, ...]
    groups: tuple[FailureGroup, ...]
    newest: tuple[Delivery, ...] = ()
    has_more: bool = False
    course: tuple[tuple[int, int, int], ...] = ()
    """When a bin of COURSE_BIN_MS began, and how many attempts failed and were deferred in it; oldest first."""

    @property
    def rows(self) -> tuple[Any, ...]:
        """What was found."""
        return self.troubles if self.wanted.is_standing_out else self.groups

    @property
    def next_cursor(self) -> str:
        """Asks for the next page; empty: this is the last."""
        if not self.has_more or self.wanted.is_standing_out:
            return ""
        wanted = self.wanted
        return encode_position(wanted.since_ms, wanted.until_ms, wanted.offset + len(self.groups))


class FailureReader:
    """Reads the answer to one question."""

    def __init__(self, tables: Tables, wanted: BouncesFilters) -> None:
        self._tables = tables
        self._wanted = wanted
        self._statements = FailureStatements(tables.viewer, tables.database, wanted)

    def read(self, has_newest: bool = False) -> Failures:
        """`has_newest`: also the newest deliveries of what was asked for."""
        mail = {int(day): int(number) for day, number in self._tables.read(self._statements.mail())}
        days = [day for day in range(1, self._wanted.baseline + 1) if mail.get(day)]
        growth = growth_of(mail.get(0, 0), [mail[day] for day in days])
        found: list[Judged] = []
        usual: Expectation | None = None
        if days:
            whole = self._counts((), days)
            usual = Expectation(whole, len(days), growth)
            found = find_troubles(lambda without: self._counts(without, days) if without else whole, len(days), growth)
        troubles = tuple(self._trouble(one, days, growth) for one in found)
        groups: list[FailureGroup] = []
        if not self._wanted.is_standing_out:
            groups = self._groups(self._wanted.by, EVERYWHERE, days, usual)
        end = self._wanted.offset + self._wanted.limit
        return Failures(
            self._wanted,
            len(days),
            growth,
            troubles,
            tuple(groups[self._wanted.offset : end]),
            self._newest() if has_newest else (),
            len(groups) > end,
            self._course() if has_newest else (),
        )

    def _counts(self, without: Sequence[Place], days: list[int]) -> Counts:
        return self._statements.decode_counts(self._tables.read(self._statements.counts(without)), days)

    def _groups(self, by: Level, at: Place, days: list[int], usual: Expectation | None) -> list[FailureGroup]:
        """What stands out first, then the largest."""
        rows = self._tables.read(self._statements.rows(by, at))
        ids = self._tables.ids
        groups = [_group(ids, by, row, days, usual) for row in rows]
        return sorted(groups, key=lambda one: (not one.stands_out, -(one.surprise or 0) if one.stands_out else 0))

    def _trouble(self, judged: Judged, days: list[int], growth: float) -> Trouble:
        place = judged.group.place
        [row] = self._tables.read(self._statements.rows((), place, most=1)) or [(0, judged.group.now, (0, 0))]
        failed, deferred, (queued_ms, row_hash) = row[:3]
        group = FailureGroup(
            place,
            failed,
            deferred,
            judged.expected,
            judged.surprise,
            True,
            _id(self._tables.ids, int(queued_ms), int(row_hash)),
        )
        first_ms, now, before = self._bins(place, days)
        span = find_change(first_ms, now, before)
        return Trouble(group, span, span.since_ms < first_ms + BIN_MS)

    def _bins(self, place: Place, days: list[int]) -> tuple[int, list[int], list[list[int]]]:
        """From when on, what failed in each bin since then, and in the same bins of each known day."""
        wanted = self._wanted
        end_ms = -(-wanted.until_ms // BIN_MS) * BIN_MS
        first_ms = end_ms - wanted.step_ms
        oldest_ms = first_ms - wanted.baseline * wanted.step_ms
        size = wanted.step_ms // BIN_MS
        counted = {int(bin): int(number) for bin, number in self._tables.read(self._statements.bins(place, oldest_ms))}
        windows = [
            [counted.get(first + number, 0) for number in range(size)]
            for first in ((wanted.baseline - day) * size for day in (0, *days))
        ]
        return first_ms, windows[0], windows[1:]

    def _course(self) -> tuple[tuple[int, int, int], ...]:
        first_ms = min(self._wanted.since_ms, self._wanted.until_ms - LEAST_COURSE_MS) // COURSE_BIN_MS * COURSE_BIN_MS
        rows = self._tables.read(self._statements.course(first_ms, COURSE_BIN_MS))
        return tuple(
            (first_ms + int(number) * COURSE_BIN_MS, int(failed), int(waits)) for number, failed, waits in rows
        )

    def _newest(self) -> tuple[Delivery, ...]:
        keys = self._tables.read(self._statements.newest(EVERYWHERE, NEWEST_ROWS))
        if not keys:
            return ()
        rows = self._tables.read(self._statements.deliveries(keys))
        ids = self._tables.ids
        return self._tables.visible(decode_row(row, ids) for row in rows)


def _group(ids: RowIds, by: Level, row: Row, days: list[int], usual: Expectation | None) -> FailureGroup:
    place = Place(by, tuple(row[: len(by)]))
    failed, deferred, (queued_ms, row_hash), *counted = row[len(by) :]
    judged = None
    if usual is not None:
        judged = usual.judge(Group(place, failed + deferred, tuple(counted[day - 1] for day in days)))
    return FailureGroup(
        place,
        failed,
        deferred,
        judged.expected if judged else None,
        judged.surprise if judged else None,
        judged.stands_out if judged else False,
        _id(ids, int(queued_ms), int(row_hash)),
    )


def _id(ids: RowIds, queued_ms: int, row_hash: int) -> str:
    return ids.encode(RowPlace(queued_ms, row_hash)) if queued_ms else ""
