"""MailScanner: it takes messages that are on hold and puts them back into the queue under another id, or keeps them.

Its own id of a message is the queue id with a dot and random digits behind it. The line begins with its words and that
id; of what stands behind them nothing is read.
"""

from __future__ import annotations

import re

from postwatch.streams.contracts.outcome import DISCARDED
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import JUDGED, REQUEUED, Arrival, Attempt, Ignored, LifecycleEvent, Parsed
from postwatch.streams.parsers.postfix.grammar import ID

_EXIM_ID = r"[0-9A-Za-z]{6}-[0-9A-Za-z]{6,11}-[0-9A-Za-z]{2,4}"
_ANY_ID = rf"{_EXIM_ID}(?= )|[0-9A-Za-z]{{6,}}+"
_OF_BATCH = r"(?:\.[0-9A-F]{5})?+"
_OWN_ID = rf"(?P<before>{_ANY_ID}){_OF_BATCH}"
_REQUEUE = compiled(rf"Requeue: {_OWN_ID} to (?P<behind>{ID})$")
_KEPT = compiled(
    rf"(?:(?:Spam|MCP) Actions: message {_OWN_ID} actions are (?P<actions>\S++)$"
    rf"|Infected message (?P<infected>{_ANY_ID}){_OF_BATCH} came from \S*+$)"
)
_NOT_DELIVERED = compiled(
    rf"(?P<words>Non-delivery of (?:non)?+spam: message {_OWN_ID}) from [^\s\"]*+ "
    r"to (?P<recipients>[^\s\",]++(?:,[^\s\",]++)*+) with subject "
)
"""Where `Log Delivery And Non-Delivery` is set; the subject may hold anything."""
_QUEUE_ID = compiled(rf"(?:{ID}|{_EXIM_ID})$")
_PASSING_ON = frozenset(("deliver", "forward"))
_FILTERED = Ignored("filter")


def read_mailscanner(text: str, start: int, at: int, line: str) -> Parsed:
    """Under which id it put a message back, or that it did not."""
    requeue = _REQUEUE.match(text, start)
    if requeue is not None:
        before, behind = requeue["before"], requeue["behind"]
        if before == behind or not _QUEUE_ID.match(before):
            return _FILTERED
        return Arrival(behind, at, line, part=REQUEUED, earlier_queue_id=before)
    not_delivered = _NOT_DELIVERED.match(text, start)
    if not_delivered is not None:
        return _kept_back(not_delivered, at, line)
    kept = _KEPT.match(text, start)
    if kept is None or (kept["actions"] and not _PASSING_ON.isdisjoint(kept["actions"].split(","))):
        return _FILTERED
    queue_id = kept["before"] or kept["infected"]
    if not _QUEUE_ID.match(queue_id):
        return _FILTERED
    # An infected message may be put back without the infection; its Requeue line has priority then.
    return LifecycleEvent(queue_id, at, line, DISCARDED, closes=True, response=text[start:])


def _kept_back(found: re.Match[str], at: int, line: str) -> Parsed:
    """All recipients of a message that it delivers to none of them; Postfix named the last one alone."""
    if not _QUEUE_ID.match(found["before"]):
        return _FILTERED
    return [
        Attempt(found["before"], at, line, DISCARDED, recipient=to, response=found["words"], handover=JUDGED)
        for to in dict.fromkeys(found["recipients"].lower().split(","))
    ]
