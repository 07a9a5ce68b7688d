"""Proxmox Mail Gateway's filter: what it did with each recipient of a message, under the id of that passage.

The filter's answer to Postfix names the same id, `250 2.5.0 OK (ID)`. The filter takes no address that holds a blank
or a closing bracket (`PMG::SMTP`), so nothing of an address can look like the words behind it.
"""

from __future__ import annotations

from postwatch.streams.contracts.outcome import DELIVERED, DISCARDED
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import JUDGED, Attempt, Ignored, Parsed
from postwatch.streams.parsers.postfix.grammar import LONG_ID
from postwatch.streams.parsers.queue_ids import PASSAGE_PREFIX

_ADDRESS = r'(?:"[^\s<>"]*+")?+[^\s<>"]++'
_DECIDED = compiled(
    r"(?P<passage>[0-9A-F]{12,40}): (?P<words>"
    rf"(?:accept mail to <(?P<accepted>{_ADDRESS})> \((?P<behind>[0-9A-F]{{6,}}+|{LONG_ID})\)"
    rf"|moved mail for <(?P<moved>{_ADDRESS})> to (?:spam|virus|(?P<partly>attachment)) quarantine - [\w./-]++"
    rf"|block mail to <(?P<blocked>{_ADDRESS})>) \(rule: .*+)$"
)
_FILTERED = Ignored("filter")


def read_proxmox(text: str, start: int, at: int, line: str) -> Parsed:
    """What the filter decided about one recipient; all else that it says is of no interest."""
    found = _DECIDED.match(text, start)
    if found is None:
        return _FILTERED
    accepted, behind = found["accepted"], found["behind"] or ""
    return Attempt(
        PASSAGE_PREFIX + found["passage"],
        at,
        line,
        DELIVERED if accepted else DISCARDED,
        is_attempt=not found["partly"],  # the rest of a message without its attachments may still be accepted
        recipient=(accepted or found["moved"] or found["blocked"]).lower(),
        response=found["words"],
        next_queue_id=behind,
        handover=JUDGED,
    )
