"""One large real Postfix log, with ignored and debug lines in it, counted as pflogsumm counts it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from postwatch.streams.contracts.outcome import BOUNCED, DEFERRED, DELIVERED, REJECTED
from postwatch.streams.parsers.events import CLIENT, Arrival, Attempt, Refusal

from tests.corpora.check import Check
from tests.corpora.reading import new_parser, read_lines

_TOTAL = re.compile(r" +(\d+) +(received|delivered|deferred|bounced|rejected)\b(?: +\((\d+) +deferrals\))?")


def check(corpora: Path) -> Iterator[Check]:
    folder = corpora / "postfix-maillog-dump"
    for name in ("maillog", "mailog2"):
        if (folder / name).is_file():
            wanted = _totals((folder / "oracle" / f"pflogsumm-{name}.txt").read_text())
            lines = read_lines(folder / name)
            found = _count(lines)
            different = [what for what, number in wanted.items() if found[what] != number]
            differences = [f"{what}: {found[what]}, not {wanted[what]}" for what in different]
            yield Check(f"postfix-maillog-dump: {name}", len(lines), 0, differences)


def _totals(text: str) -> dict[str, int]:
    wanted: dict[str, int] = {}
    for number, what, deferrals in _TOTAL.findall(text.partition("Per-Day")[0]):
        wanted[what] = int(number)
        if deferrals:
            wanted["deferrals"] = int(deferrals)
    return wanted


def _count(lines: list[str]) -> Counter[str]:
    """A message is received where a client or a local user begins it; deferred is counted by message too."""
    parser = new_parser("postfix")
    found: Counter[str] = Counter()
    deferred: set[str] = set()
    for line in lines:
        event = parser.parse(line)
        if isinstance(event, Arrival):
            found["received"] += event.part == CLIENT
        elif isinstance(event, Refusal):
            found["rejected"] += event.status == REJECTED
        elif isinstance(event, Attempt):
            found["delivered"] += event.status == DELIVERED
            found["bounced"] += event.status == BOUNCED
            found["deferrals"] += event.status == DEFERRED
            if event.status == DEFERRED:
                deferred.add(event.queue_id)
    found["deferred"] = len(deferred)
    return found
