"""Retracts partial rows, whose arrival was never seen, where the table has the whole ones.

A shipper that begins in the middle of a log, or beside another one, repeats the ends of messages that the join has
forgotten. The join cannot know the account unless a mailbox has the mail, so most of these rows have an empty account.
Only the table shows that the message was seen from its beginning. A whole row covers a partial row of the same server,
queue id and recipient if it was queued no later and its last event is no earlier. Then the partial row is retracted. A
partial row with a later event stays. If only the end of a message is known, its row has no recipient, and any row of
the message covers it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.contracts.outcome_records import from_table, to_batch
from postwatch.streams.contracts.version import FIRST_WHOLE_VERSION, retracted
from postwatch.streams.settings import LONGEST_RETRY_MS

_IDS_A_QUESTION = 500

Ask = Callable[[str, dict[str, Any]], Sequence[Sequence[Any]]]
"""SQL and its parameters → rows of the answer."""

_WHOLE_ROWS = """
SELECT server, queue_id, recipient, toUnixTimestamp64Milli(queued_at), toUnixTimestamp64Milli(updated_at)
FROM deliveries
WHERE version >= {first_whole:UInt64} AND queue_id IN {ids:Array(String)}
AND queued_at >= fromUnixTimestamp64Milli({since_ms:Int64})
AND queued_at <= fromUnixTimestamp64Milli({until_ms:Int64})
"""
"""Reads old versions and retracted rows too. A message with subsequent queue ids has its rows under the first one, and
the rows under the others are retracted; they cover partial rows all the same."""


def retractions(rows: pa.Table, ask: Ask) -> pa.Table:
    """Of rows that are in the table: a tombstone for each partial one that a whole one covers."""
    partial = from_table(rows.filter(_is_partial(rows)))
    whole = _whole_rows(partial, ask) if partial else {}
    covered = [
        row._replace(version=retracted(row.version), is_deleted=1)
        for row in partial
        if _is_covered(row, whole.get((row.server, row.queue_id, row.recipient), ()))
    ]
    return pa.Table.from_batches([to_batch(covered)])


def _is_partial(rows: pa.Table) -> pa.ChunkedArray:
    return pc.and_(
        pc.equal(rows["is_deleted"], 0), pc.less(rows["version"], pa.scalar(FIRST_WHOLE_VERSION, pa.uint64()))
    )


def _whole_rows(partial: Sequence[Outcome], ask: Ask) -> dict[tuple[str, str, str], list[tuple[int, int]]]:
    """Server, queue id and recipient → `queued_at` and `updated_at` of their whole rows, ms since the epoch."""
    whole = defaultdict(list)
    since_ms = min(row.queued_at for row in partial) - LONGEST_RETRY_MS
    until_ms = max(row.queued_at for row in partial)
    ids = sorted({row.queue_id for row in partial})
    for first in range(0, len(ids), _IDS_A_QUESTION):
        wanted = {
            "first_whole": FIRST_WHOLE_VERSION,
            "ids": ids[first : first + _IDS_A_QUESTION],
            "since_ms": since_ms,
            "until_ms": until_ms,
        }
        for server, queue_id, recipient, queued_at, updated_at in ask(_WHOLE_ROWS, wanted):
            for one in (recipient, ""):
                whole[server, queue_id, one].append((queued_at, updated_at))
    return whole


def _is_covered(row: Outcome, whole: Sequence[tuple[int, int]]) -> bool:
    told_at = _told_at(row)
    return any(queued_at <= row.queued_at and told_at <= updated_at for queued_at, updated_at in whole)


def _told_at(row: Outcome) -> int:
    """Time of the recipient's last event. `updated_at` may be that of a queue manager's line for another recipient."""
    if row.attempts and row.attempts[-1].status == row.status:
        return row.attempts[-1].at
    return row.updated_at
