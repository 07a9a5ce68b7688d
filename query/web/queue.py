"""What the page of the queue shows beside the figures: the ways to count, what narrows it, where a line leads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from postwatch.query.labels import label
from postwatch.query.reports.queue import Queue, QueueGroup
from postwatch.query.reports.queue_statements import GROUPS, UNKNOWN
from postwatch.query.translation import N_
from postwatch.query.viewer import Viewer
from postwatch.query.web.columns import offered_columns
from postwatch.query.web.track import Heading, Link

LABELS = {
    "provider": N_("Provider"),
    "host": N_("Remote server"),
    "server": N_("Server"),
    "reason": N_("Reason"),
    "domain": N_("Domain"),
    "account": N_("Account"),
}
_SHOWN = ("status", "sent", "event", "sender", "recipient", "reply")


@dataclass(frozen=True, slots=True)
class Way:
    """One way to count, or one value that the queue is narrowed to; the address counts so, or takes the value away."""

    word: str
    label: str
    address: str


@dataclass(frozen=True, slots=True)
class QueueLine:
    group: QueueGroup
    words: str
    address: str
    """The queue narrowed to this value, counted by what tells more."""


def queue_context(viewer: Viewer, words: Mapping[str, str], answer: Queue | None, address: Link) -> dict[str, Any]:
    offered = [one for one in GROUPS if viewer.is_engineer or one != "server"]
    by = answer.by if answer else GROUPS[0]
    columns = [one for one in offered_columns(viewer) if one.name in _SHOWN]
    left = [one for one in offered if not words[one] and one != by]
    following = left[0] if left else by
    return {
        "ways": [Way(one, LABELS[one], address(by=one)) for one in offered],
        "narrowed": [Way(words[one], LABELS[one], address(**{one: ""})) for one in offered if words[one]],
        "by_label": LABELS[by],
        "lines": [
            QueueLine(one, _words(by, one), address(**{by: one.value or UNKNOWN, "by": following}))
            for one in (answer.groups if answer else ())
        ],
        "columns": columns,
        "headings": [Heading(column, "", "") for column in columns],
    }


def _words(by: str, group: QueueGroup) -> str:
    return label(group.value) if by == "reason" and group.value else group.name
