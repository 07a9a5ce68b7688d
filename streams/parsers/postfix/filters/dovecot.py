"""Dovecot's sieve scripts: what a mailbox's owner does with a message that LMTP has taken.

The answer to Postfix is `Saved` in any case, and names Dovecot's own id of the delivery, as the line here does. The
line begins with the mailbox and that id; what stands behind the action (a folder, an address) is not read.
"""

from __future__ import annotations

import re

from postwatch.streams.contracts.outcome import BOUNCED, DELIVERED, DISCARDED
from postwatch.streams.parsers.events import JUDGED, Attempt, Ignored, Parsed
from postwatch.streams.parsers.queue_ids import DOVECOT_PREFIX

_DELIVERY = "lmtp("
_ACTION = re.compile(
    r"lmtp\([^\s()]++\)(?:<\d++>)?+<(?P<id>[\w+/]++(?::[TRP]\d++)*+)>: sieve: msgid=(?:<[^<>\s]*+>|\S*+): "
    r"(?P<words>(?P<discarded>discard action: [Mm]arked message to be discarded if not explicitly delivered"
    r"|marked message to be discarded if not explicitly delivered)"
    r"|(?:reject action: )?+(?P<rejected>rejected message from )"
    r"|(?:\w++ action: )?+(?:stored mail into mailbox |forwarded to ))"
)
_OTHER_PROGRAM = Ignored("other-program")
_FILTERED = Ignored("filter")


def read_dovecot(text: str, start: int, at: int, line: str) -> Parsed:
    """What a script did, under Dovecot's id of the delivery. Logins and all else are another program's lines."""
    if not text.startswith(_DELIVERY, start):
        return _OTHER_PROGRAM
    found = _ACTION.match(text, start)
    if found is None:
        return _FILTERED
    status = DISCARDED if found["discarded"] else BOUNCED if found["rejected"] else DELIVERED
    response = text[found.start("words") :]
    return Attempt(DOVECOT_PREFIX + found["id"], at, line, status, response=response, handover=JUDGED)
