"""Dovecot's sieve scripts: what a mailbox's owner does with a message that LMTP has taken.

The answer to Postfix is `Saved` in any case, and names Dovecot's own id of the delivery, as the line here does. The
line begins with the mailbox and that id; what stands behind the action (a folder, an address) is not read.

A rule may also send a copy on (`redirect`). Dovecot gives that to the server like any program, and no line names its
queue id. So it is an event of the entry for the Message-ID too (`joining/returned.py`). A stranger writes the
Message-ID: one with a blank, an angle bracket or a comma is not taken, so none can look like the words behind it.
"""

from __future__ import annotations

from postwatch.streams.contracts.outcome import BOUNCED, DELIVERED, DISCARDED
from postwatch.streams.expressions import compiled
from postwatch.streams.parsers.events import JUDGED, REDIRECTED, Attempt, Event, Ignored, Parsed
from postwatch.streams.parsers.queue_ids import DOVECOT_PREFIX, return_entry

_DELIVERY = ("lmtp(", "lda(")
_ACTION = compiled(
    r"lmtp\([^\s()]++\)(?:<\d++>)?+<(?P<id>[\w+/]++(?::[TRP]\d++)*+)>: sieve: msgid=(?:<[^<>\s]*+>|\S*+): "
    r"(?P<words>(?P<discarded>discard action: [Mm]arked message to be discarded if not explicitly delivered"
    r"|marked message to be discarded if not explicitly delivered)"
    r"|(?:reject action: )?+(?P<rejected>rejected message from )"
    r"|(?:\w++ action: )?+(?:stored mail into mailbox |forwarded to ))"
)
_SESSION = r"[\w+/=-]*+(?::\w++)*+"
_REDIRECT = compiled(
    r"(?:lmtp|lda)\((?:\d++, )?+(?P<user>[^\s()<>,]++)\)(?:<\d++>)?+"
    rf"(?:<{_SESSION}>)?+: (?:Info: )?+(?:(?!sieve:){_SESSION}: )?+"
    r"sieve: msgid=<?+(?P<name>[^\s<>,]++)>?+: (?:redirect action: )?+"
    r"forwarded to <(?P<target>[^\s<>,]++)>$"
)
_OTHER_PROGRAM = Ignored("other-program")
_FILTERED = Ignored("filter")


def read_dovecot(text: str, start: int, at: int, line: str) -> Parsed:
    """What a script did, under Dovecot's id of the delivery. Logins and all else are another program's lines."""
    if not text.startswith(_DELIVERY, start):
        return _OTHER_PROGRAM
    found = _ACTION.match(text, start)
    redirect = _REDIRECT.match(text, start)
    events: list[Event] = []
    if found is not None:
        status = DISCARDED if found["discarded"] else BOUNCED if found["rejected"] else DELIVERED
        response = text[found.start("words") :]
        events.append(Attempt(DOVECOT_PREFIX + found["id"], at, line, status, response=response, handover=JUDGED))
    if redirect is not None:
        events.append(
            Attempt(
                return_entry(redirect["name"]),
                at,
                line,
                DELIVERED,
                recipient=redirect["target"].lower(),
                original_recipient=redirect["user"].lower(),
                handover=REDIRECTED,
            )
        )
    return events if len(events) > 1 else events[0] if events else _FILTERED
