"""Rows in batches of which each fits into one record."""

from __future__ import annotations

from collections.abc import Sequence

from postwatch.streams.contracts.outcome import Outcome

MAX_BATCH_ROWS = 2000
MAX_BATCH_BYTES = 2_000_000
"""Bytes of log lines in one record; the topics accept 8 MiB compressed."""
MAX_EVIDENCE_BYTES = 256 * 1024
"""Bytes of log lines in one row; beyond that only the first and the last lines are kept."""


def cut_batches(rows: Sequence[Outcome]) -> list[list[Outcome]]:
    """Split rows into batches that fit into one record each; too many log lines are cut to the first and the last."""
    batches: list[list[Outcome]] = []
    batch: list[Outcome] = []
    size = 0
    for row in rows:
        weight = _weight(row.log_lines)
        if weight > MAX_EVIDENCE_BYTES:
            row = row._replace(log_lines=_ends(row.log_lines))
            weight = _weight(row.log_lines)
        if not batch or len(batch) >= MAX_BATCH_ROWS or size + weight > MAX_BATCH_BYTES:
            batch = []
            batches.append(batch)
            size = 0
        batch.append(row)
        size += weight
    return batches


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
