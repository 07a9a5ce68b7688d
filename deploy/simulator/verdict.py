"""Simulated truth against the table: what is missing, what has another status, what nobody sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from postwatch.deploy.simulator.truth import TruthRow

NO_QUEUE_ID = "r:"
"""The join names a refusal that has no queue id by a digest with this in front."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The rows, sorted into right, missing, wrong and unexpected; each list is in order."""

    right: int
    missing: list[TruthRow]
    wrong: list[tuple[TruthRow, str]]
    """The true row, and the status that the table has."""
    unexpected: list[TruthRow]

    @property
    def is_right(self) -> bool:
        return not (self.missing or self.wrong or self.unexpected)

    def lines(self, most: int = 10) -> list[str]:
        """The differences, some of each kind, for people."""
        kinds = {
            "missing": [_name(row, row.status) for row in self.missing],
            "wrong": [_name(row, f"{status} instead of {row.status}") for row, status in self.wrong],
            "unexpected": [_name(row, row.status) for row in self.unexpected],
        }
        found = []
        for kind, names in kinds.items():
            found += [f"{kind}: {name}" for name in names[:most]]
            if len(names) > most:
                found.append(f"{kind}: {len(names) - most} more")
        return found


def compare(truth: Iterable[TruthRow], table: Iterable[TruthRow]) -> Verdict:
    """Both as rows of the truth; rows of the table keep the queue ids that the join made up."""
    expected = Counter(truth)
    found = Counter(row._replace(queue_id="") if row.queue_id.startswith(NO_QUEUE_ID) else row for row in table)
    right = (expected & found).total()
    missing = Counter((expected - found).elements())
    unexpected = Counter((found - expected).elements())
    wrong: list[tuple[TruthRow, str]] = []
    others = sorted(unexpected.elements())
    for row in sorted(missing.elements()):
        other = next((other for other in others if other[:-1] == row[:-1]), None)
        if other is not None:
            others.remove(other)
            missing[row] -= 1
            wrong.append((row, other.status))
    return Verdict(right, sorted((+missing).elements()), wrong, others)


def _name(row: TruthRow, what: str) -> str:
    return f"{row.server} {row.queue_id or 'refusal'} {row.direction} {row.account} → {row.recipient}: {what}"
