"""amavisd-new's report of a message: which recipients it gave back to Postfix, and which it kept back.

Behind the queue the report names the queue ids before and behind the filter, before the queue only the latter. Its own
id is in its answer to Postfix. The line is read to the last byte that matters, because strangers' words stand in it. A
line that can be read in two ways tells nothing.
"""

from __future__ import annotations

import re

from postwatch.streams.contracts.outcome import BOUNCED, DISCARDED, REJECTED
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import JUDGED, KEPT, LINK, Arrival, Attempt, Ignored, Parsed
from postwatch.streams.parsers.postfix.grammar import WHOLE_ID
from postwatch.streams.parsers.queue_ids import amavis_passage
from postwatch.streams.parsers.smtp import ADDRESS

_OPENING = (
    r"\((?P<own_id>[\w-]++)\) (?P<words>{verdict} [A-Z0-9-]++(?: ?\([^()]*+\))?+(?: \{{(?P<actions>[\w,]*+)\}})?+), "
    r"(?:[A-Z]++ )*+(?:\[[^\]]*+\](?::\d++)?+ )*+"
)
_QUEUE_ID = r"(?:quarantine: [^\s,]++(?:,[^\s,]++)*+, )?+(?:Queue-ID: (?P<before>\w++), )?+"
_PASSED = compiled(
    _OPENING.format(verdict="Passed")
    + rf"<{ADDRESS}> -> <{ADDRESS}>(?:,<{ADDRESS}>)*+, "
    + _QUEUE_ID
    + r"(?:(?:Resent-)?+Message-ID: <[^<>\s,]*+>, )*+(?:mail_id: [\w+-]++, )?+Hits: [^\s,]++, size: \d++, "
    r"(?:pt: \d++, )?+queued_as: (?P<behind>[\w/]++)(?=, |$)"
)
"""amavisd-new's `$log_templ` as it comes: the queue id before, those behind with slashes between them."""
_BLOCKED = compiled(
    _OPENING.format(verdict="Blocked")
    + rf"<{ADDRESS}> -> (?P<recipients><{ADDRESS}>(?:,<{ADDRESS}>)*+), "
    + _QUEUE_ID
    + r"(?:(?:Resent-)?+Message-ID: |mail_id: |Hits: )"
)
_RECIPIENT = compiled(rf"<{ADDRESS}>(?:,|$)")
_QUEUED_AS = ", queued_as: "
_BEFORE = ", Queue-ID: "
_ENVELOPE = "> -> <"
_FATES = {"Discarded": DISCARDED, "NoBounce": DISCARDED, "Bounced": BOUNCED, "Rejected": REJECTED, "TempFailed": ""}
"""Of an action such as `DiscardedInbound`. What it asks to be sent again (`TempFailed…`) is still Postfix's."""
_FILTERED = Ignored("filter")


def read_amavis(text: str, start: int, at: int, line: str) -> Parsed:
    """What it did with some recipients of a message; it reports those that it kept back in a line of their own."""
    if text.count(_ENVELOPE, start) != 1:
        return _FILTERED  # the name of an attached file may look like the fields behind it
    blocked = _BLOCKED.match(text, start)
    if blocked is not None:
        return _kept_back(blocked, text, start, at, line)
    found = _PASSED.match(text, start)
    if found is None or text.count(_QUEUED_AS, start) != 1:
        return _FILTERED  # a Message-ID may look like the fields behind it
    before = found["before"] or ""
    behind = [queue_id for queue_id in found["behind"].split("/") if WHOLE_ID.match(queue_id) and queue_id != before]
    if not behind:
        return _FILTERED
    if WHOLE_ID.match(before):
        return [Arrival(queue_id, at, line, part=LINK, earlier_queue_id=before) for queue_id in dict.fromkeys(behind)]
    return Arrival(behind[0], at, line, part=KEPT, session_id=amavis_passage(found["own_id"]))


def _fate(actions: str) -> str:
    """What became of all that it kept back; empty: Postfix tells, or it is not known of which recipient.

    The actions are those of the whole message, for the recipients that it let pass too.
    """
    fates = {fate for word, fate in _FATES.items() if word in actions}
    return fates.pop() if len(fates) == 1 else DISCARDED if fates == {DISCARDED, BOUNCED} else ""


def _kept_back(blocked: re.Match[str], text: str, start: int, at: int, line: str) -> Parsed:
    """The recipients of a message, or of a passage where it has no queue id yet, that the filter kept back."""
    status = _fate(blocked["actions"] or "")
    before = blocked["before"] or ""
    is_queued = WHOLE_ID.match(before) is not None
    if not status or text.count(_BEFORE, start) > (before != "") or (is_queued and status == REJECTED):
        return _FILTERED  # where it refuses what Postfix has in its queue, Postfix says so
    queue_id = before if is_queued else amavis_passage(blocked["own_id"])
    recipients = [one[1].lower() for one in _RECIPIENT.finditer(blocked["recipients"])]
    return [
        Attempt(queue_id, at, line, status, recipient=to, response=blocked["words"], handover=JUDGED)
        for to in dict.fromkeys(recipients)
    ]
