"""What the page of the statistics shows beside the figures: the ways to count, and where a line leads."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from postwatch.query.filters import DIRECTIONS
from postwatch.query.reports.statistics import Statistics, StatisticsGroup
from postwatch.query.reports.statistics_statements import (
    ASKED,
    BY_TIME,
    GROUPS,
    NARROWING,
    OWNER,
    SENDER,
    SORTS,
    UNKNOWN,
)
from postwatch.query.translation import N_
from postwatch.query.viewer import Viewer
from postwatch.query.web.queue import Way
from postwatch.query.web.track import Link

LABELS = {
    "domain": N_("Domain"),
    "account": N_("Account"),
    "provider": N_("Provider"),
    "owner": N_("Owner"),
    "sender": N_("Sender"),
    "server": N_("Server"),
    "day": N_("Day"),
    "hour": N_("Hour"),
    "sent": N_("Sent"),
    "received": N_("Received"),
}
_FOLLOWING = {"domain": "account", "account": "day", "provider": "domain", "server": "domain"}
"""What tells more of a line."""
_SPANS = (1, 7, 30)


@dataclass(frozen=True, slots=True)
class StatisticsLine:
    group: StatisticsGroup
    words: str
    address: str
    """The statistics of this value alone; empty: there are none."""
    at_ms: int
    """Of a day or an hour; 0: it is none."""


def statistics_context(
    viewer: Viewer, words: Mapping[str, str], answer: Statistics | None, address: Link, retention_days: int
) -> dict[str, Any]:
    by = answer.by if answer else GROUPS[0]
    spans = sorted({min(days, retention_days) for days in _SPANS})
    return {
        "ways": [Way(one, LABELS[one], address(by=one)) for one in ASKED if _is_offered(viewer, words, one)],
        "sorts": {one: address(sort=one) for one in SORTS},
        "directions": [Way(one, LABELS[one], address(direction=one)) for one in DIRECTIONS],
        "spans": [Way(str(days), "", address(days=str(days))) for days in spans],
        "narrowed": [Way(words[one], LABELS[one], address(**{one: ""})) for one in NARROWING if words[one]],
        "by_label": LABELS[by],
        "lines": [_line(by, group, address) for group in (answer.groups if answer else ())],
    }


def _is_offered(viewer: Viewer, words: Mapping[str, str], group: str) -> bool:
    if group == SENDER:
        return not viewer.sees_all or bool(words["domain"] or words["account"])
    return viewer.is_engineer or group != "server"


def _line(by: str, group: StatisticsGroup, address: Link) -> StatisticsLine:
    if by in BY_TIME:
        at = datetime.datetime.fromisoformat(group.value)
        return StatisticsLine(group, "", "", int(at.timestamp() * 1000))
    if by in (OWNER, SENDER):  # nothing is narrowed to these
        return StatisticsLine(group, group.name, "", 0)
    return StatisticsLine(group, group.name, address(**{by: group.value or UNKNOWN, "by": _FOLLOWING[by]}), 0)
