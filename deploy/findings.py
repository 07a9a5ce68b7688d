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
