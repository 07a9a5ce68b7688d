"""rspamd: what it wants done with a message, under the queue id that Postfix told it as a milter.

Its line decides nothing alone, because rspamd may be asked for advice only, and may be set to quarantine what it would
refuse. Postfix's line about the milter's action decides, and names the last recipient; rspamd's line names them all.
Strangers write the Message-ID, the symbols and the header `To`. So every field that is read must stand there once.
"""

from __future__ import annotations

from postwatch.streams.contracts.outcome import DISCARDED, REJECTED
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import JUDGED, Attempt, Ignored, Parsed
from postwatch.streams.parsers.postfix.grammar import LONG_ID
from postwatch.streams.parsers.queue_ids import rspamd_passage

_HEAD = compiled(r"(?:[\d-]++ [\d:.]++ )?+(?:#\d++\([\w ]++\) )?+<[^<>\s]++>; task; rspamd_task_write_log: id: <")
"""As rspamd gives it to syslog, or with the stamp and the process that it writes to a console."""
_QUEUE_ID, _ACTION, _RECIPIENTS = ", qid: <", "(default: ", ", rcpts: <"
_QUEUE_ID_FIELD = compiled(rf"([0-9A-F]{{6,}}+|{LONG_ID})>, ")
_ACTION_FIELD = compiled(r"(default: T \((reject|soft reject|discard|quarantine)\): \[-?[\d.]++/-?[\d.]++\])")
_RECIPIENTS_FIELD = compiled(r"([^\s<>\"]++)>(?:, |$)")
_ADDRESS = compiled(r"[^\s<>@,]++@[^\s<>@,]++$")
_STATUSES = {"reject": REJECTED, "soft reject": REJECTED, "discard": DISCARDED, "quarantine": DISCARDED}
_CUT = "..."
_FILTERED = Ignored("filter")


def read_rspamd(text: str, start: int, at: int, line: str) -> Parsed:
    """What it wants done with each recipient; nothing where it lets the message pass."""
    head = _HEAD.match(text, start)
    if head is None:
        return _FILTERED
    places = []
    for name in (_QUEUE_ID, _ACTION, _RECIPIENTS):
        if text.count(name, head.end()) != 1:
            return _FILTERED  # a Message-ID may look like the fields behind it
        places.append(text.index(name, head.end()) + len(name))
    queue_id = _QUEUE_ID_FIELD.match(text, places[0])
    action = _ACTION_FIELD.match(text, places[1] - len("default: "))
    recipients = _RECIPIENTS_FIELD.match(text, places[2])
    if queue_id is None or action is None or recipients is None or places != sorted(places):
        return _FILTERED
    passage = rspamd_passage(queue_id[1])
    verdicts = [
        Attempt(passage, at, line, _STATUSES[action[2]], recipient=recipient, response=action[1], handover=JUDGED)
        for recipient in dict.fromkeys(recipients[1].lower().split(","))
        if _ADDRESS.match(recipient) and not recipient.endswith(_CUT)
    ]
    return [*verdicts] if verdicts else _FILTERED
