"""What the doctor says: a state, one sentence of what was seen, and, unless all is well, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OK, WARNING, TROUBLE = "ok", "warning", "trouble"
STATES = (OK, WARNING, TROUBLE)
"""Each one's place is the command's exit status."""


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    state: str
    seen: str
    remedy: str = ""


def worst(findings: Sequence[Finding]) -> int:
    """The exit status: 0 all is well, 1 there are warnings, 2 there is trouble."""
    return max((STATES.index(finding.state) for finding in findings), default=0)


def span(milliseconds: int) -> str:
    """'90 s', '45 min', '20 h', '3 days': what a person wants to read."""
    seconds = milliseconds / 1000
    for most, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds <= most:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86_400:.3g} days"
