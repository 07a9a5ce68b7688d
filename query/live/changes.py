"""What a poll found → what one page has to show of it, and no more than its viewer may see. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from postwatch.query.live.arrivals import Group
from postwatch.query.live.belonging import hides_recipient, is_asked_for, is_of, may_see
from postwatch.query.privacy import visible_row
from postwatch.query.reports.account_window import Window
from postwatch.query.statements import Delivery

MOST_ROWS_AT_ONCE = 50
"""A page that misses more is told that there are more."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A row that is new on the page, or has changed."""

    at_ms: int
    """What the page is ordered by."""
    row: Delivery
    """As the viewer may see it."""
    row_hash: int
    """What rows of the same time are ordered by."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened to a page. Empty: nothing."""

    shown: tuple[Shown, ...] = ()
    gone: tuple[str, ...] = ()
    """Ids of rows that are no longer there, or no longer what was asked for."""
    has_more: bool = False

    def __bool__(self) -> bool:
        return bool(self.shown or self.gone or self.has_more)


def changes_of(window: Window, groups: Iterable[Group], now_ms: int, *, is_repeat: bool = False) -> Changes:
    """What the groups change on a page. A repeat brings rows again that were not new to the process."""
    shown: dict[str, Shown] = {}
    gone: list[str] = []
    for group in groups:
        for row_id, row_hash, row in _seen_rows(window, group, is_repeat):
            if row is not None and is_asked_for(window, row, now_ms):
                at_ms = row.queued_at if window.wanted.by == "sent" else row.updated_at
                visible = visible_row(window.viewer, row._replace(), window.names)
                visible.id = row_id
                shown[row_id] = Shown(at_ms, visible, row_hash)
            else:
                shown.pop(row_id, None)
                gone.append(row_id)
    newest = sorted(shown.values(), key=lambda one: (one.at_ms, one.row_hash))
    return Changes(tuple(newest[-MOST_ROWS_AT_ONCE:]), tuple(gone), len(newest) > MOST_ROWS_AT_ONCE)


def _seen_rows(window: Window, group: Group, is_repeat: bool) -> Iterable[tuple[str, int, Delivery | None]]:
    """The rows of a group as the viewer tells them apart, each with its id and its hash; None: it was retracted."""
    merged: list[Delivery] = []
    has_merged = False
    for member in group.members:
        if not may_see(window.viewer, member.row) or not is_of(window, member.row):
            continue
        row = None if member.row.is_deleted else member.row
        if not hides_recipient(window.viewer, member.row):
            if member.is_new or is_repeat:
                yield member.row.id, member.row.row_hash, row
            continue
        has_merged = has_merged or member.is_new or is_repeat
        if row is not None:
            merged.append(row)
    if has_merged:
        yield (
            group.id,
            group.row_hash,
            max(merged, key=lambda row: (row.updated_at, row.recipient.encode()), default=None),
        )
