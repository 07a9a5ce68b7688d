"""Rows as the values of records: each holds as many as fit into one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.contracts.outcome_records import OutcomeRecord

MAX_BATCH_ROWS = 2000
MAX_BATCH_BYTES = 2_000_000
"""Bytes of log lines in one record; the topics accept 8 MiB compressed."""
MAX_EVIDENCE_BYTES = 256 * 1024
"""Bytes of log lines in one row; beyond that only the first and the last lines are kept."""


def encode_rows(turns: Iterable[Sequence[Outcome]]) -> Iterator[bytes]:
    """Rows, some at a time → the values of as many records as it takes. Each row is encoded before the next turn is
    asked for; too many log lines are cut to the first and the last."""
    record = OutcomeRecord()
    count = size = 0
    for rows in turns:
        if not rows:
            continue
        batch: list[Outcome] = []
        for row in rows:
            weight = _weight(row.log_lines)
            if weight > MAX_EVIDENCE_BYTES:
                row = row._replace(log_lines=_ends(row.log_lines))
                weight = _weight(row.log_lines)
            if count >= MAX_BATCH_ROWS or (count and size + weight > MAX_BATCH_BYTES):
                record.add(batch)
                yield record.take()
                batch = []
                count = size = 0
            batch.append(row)
            count += 1
            size += weight
        record.add(batch)
        del rows, batch  # before the next turn needs the memory
    if count:
        yield record.take()


def _weight(lines: Sequence[str]) -> int:
    """A loop: compiled, it makes no object of each number, as `sum` would."""
    found = 0
    for line in lines:
        found += len(line)
    return found


def _ends(lines: Sequence[str]) -> tuple[str, ...]:
    half = MAX_EVIDENCE_BYTES // 2
    first = lines[0][:half]
    last = lines[-1][:half]
    return (first, last) if len(lines) > 1 else (first,)
