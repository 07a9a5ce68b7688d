"""What a parser makes of a log line: events of a message, an ignored line, or an unreadable one.

Invariant: an event is a function of its line and the time zone alone, and its identity is its line. The joiner treats
a message as the set of its events, so seeing a line again changes nothing.

Events are built with keywords, and what a line does not tell is left out. Only the fast paths name all fields by their
place, which takes half the time. The order of the fields is that of parked messages: new ones go to the end.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from postwatch.streams.contracts.outcome import REJECTED

WHOLE, CLIENT, MESSAGE_ID, QUEUE, SUBJECT, PARENT = "", "client", "message-id", "queue", "subject", "parent"
"""What a line tells of an arrival: all of it (Exim), or one part (each daemon of Postfix tells its own)."""
IDENTITY = "identity"
"""The part that tells which hosting account submitted the message, in addition to an arrival of any kind."""
ENVELOPE, LOGIN = "envelope", "login"
"""ENVELOPE: the part that tells the sender and one recipient, once for each. LOGIN: the part that tells the login."""
FIRST_PARTS = (CLIENT, MESSAGE_ID, LOGIN)
"""One of these is the first line of a message whose queue id may have been another's: no client hands in a notice."""

HELD = "held"
"""The part that tells the sender of a message on hold. It stands in place of QUEUE until an operator releases it."""
WAITS = "waits"
"""What a process puts on hold before it has a queue id. Its number stands in `session_id`, the recipient alone."""
ON_HOLD = "on hold until an operator releases it"
"""The response of a recipient whose message is on hold."""
LINK = "link"
"""The part by which a filter tells from which message it made this one. It sets `earlier_queue_id` alone."""
REQUEUED = "requeued"
"""The part by which a scanner tells that it put the message back into the queue under this id, with all recipients."""
ANSWERED = "answered"
"""The part by which Postfix tells what a filter before the queue answered to a client. Its message is a passage."""
KEPT = "kept"
"""Not a part that is stored: what the filter of this passage (`session_id`) kept back is of this message."""
PIECE, LAST_PIECE = "piece", "last-piece"
"""A piece of a line that syslog cut, of the process that the queue id stands for: `subject` is its text, `size_bytes`
its number of the `recipient_count` pieces of the entry. The last one ends the line; of the entry more may follow."""
PROXIED = "-"
"""In place of an earlier queue id: a filter passed the message on before it had one. The line may name the login."""
OWN_NOTICE = "<>"
"""As the sender in a PARENT: the message is the server's own, whomever it names as its sender."""

FORWARDED = "forward"
"""As the sender in a PARENT: a forward made the message."""

FILTER, FORWARD, JUDGED, REDIRECTED = "filter", "forward", "judged", "redirected"
UNNAMED_SERVER = "remote"
"""As the transport: another server has the recipient, and the line does not name it. So no mailbox here got it."""
ASIDE, REPLY = "aside", "reply"
"""What an attempt was about where it was not the mailbox: a command, a file or nowhere; an automatic reply."""


class Arrival(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A message was accepted into the queue; or one part of that, all else empty."""

    queue_id: str
    at: int
    """The line's stamp, ms since the epoch."""
    line: str
    sender: str = ""
    recipients: tuple[str, ...] = ()
    """As submitted, lower-cased; empty where the log does not list them."""
    client_host: str = ""
    client_ip: str = ""
    system_user: str = ""
    """The local user that submitted it; empty for mail from the network."""
    auth_method: str = ""
    authenticated_as: str = ""
    size_bytes: int = 0
    message_id: str = ""
    subject: str = ""
    parent_queue_id: str = ""
    part: str = WHOLE
    """WHOLE, or the part that the line tells: CLIENT begins a message, QUEUE (sender, size) ends its arrival."""
    earlier_queue_id: str = ""
    """The id that the same message had on this server before, where the line names it (XFORWARD, requeueing)."""
    recipient_count: int = 0
    """How many recipients it has, where no line tells that it is done; 0: not known."""
    session_id: str = ""
    """The connection that the message came in by, where its client and its login are told of that; see `Message`."""


class Attempt(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The result of one try to deliver to one recipient."""

    queue_id: str
    at: int
    line: str
    status: str
    is_attempt: bool = True
    """False where the MTA only said that it would not try yet."""
    recipient: str = ""
    """Final address, lower-cased; empty where the line names none: that of the message, which has only one."""
    original_recipient: str = ""
    """The address that it was made from, lower-cased, where they differ; else empty."""
    smtp_code: int = 0
    enhanced_code: str = ""
    response: str = ""
    remote_host: str = ""
    remote_ip: str = ""
    tls: str = ""
    router: str = ""
    transport: str = ""
    next_queue_id: str = ""
    """The id under which the next hop queued it, where its answer tells."""
    handover: str = ""
    """FILTER: the next hop is this server again, and this recipient's status is logged under next_queue_id. FORWARD: a
    new message was made here for it. JUDGED: a filter's own line about a recipient, of a passage or of a message.
    REDIRECTED: a mailbox's rule sent a copy on; the line names the Message-ID alone. Else empty."""
    is_expanded: bool = False
    """An alias or a forward may have made it: it is none of those that `recipient_count` counts."""
    passage_id: str = ""
    """The passage through a filter whose own lines tell what became of the recipient; else empty."""
    told_by: str = ""
    """The filter's line that told it."""
    envelope_sender: str = ""
    """Where the line repeats it: for rows of a message whose arrival was not seen."""
    beside: str = ""
    """ASIDE or REPLY where the line shows that it is not the mailbox, whose attempts decide. Else empty."""
    is_original_unsure: bool = False
    """The original recipient may as well be the sender, if that is a user here: Sendmail's `ctladdr=` names either."""
    source_ip: str = ""
    """The address of ours that it was made from, where the line tells it."""


class LifecycleEvent(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Something happened to the message as a whole: it was completed, cancelled, discarded or put on hold."""

    queue_id: str
    at: int
    line: str
    status: str = ""
    """What it means for every recipient without a final status: cancelled or discarded, or deferred as long as an
    operator holds it; empty: the MTA is done."""
    closes: bool = False
    """No further line of the message is expected."""
    recipient: str = ""
    """As submitted, lower-cased, where it happened to this recipient alone."""
    is_before_queue: bool = False
    """The MTA never took the message over: where no recipient of it is known, there is nothing to report."""
    response: str = ""
    """The words of whoever ended it, where they are the answer."""
    smtp_code: int = 0
    enhanced_code: str = ""
    is_claim: bool = False
    """It stands only if the message is done and no other line names the recipient: the words may say either."""


class Refusal(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A recipient, or a whole message (recipient empty), was refused before it was accepted."""

    queue_id: str
    """Made from a digest of the line where the log gives none."""
    at: int
    line: str
    sender: str = ""
    recipient: str = ""
    client_host: str = ""
    client_ip: str = ""
    system_user: str = ""
    auth_method: str = ""
    authenticated_as: str = ""
    smtp_code: int = 0
    enhanced_code: str = ""
    response: str = ""
    status: str = REJECTED
    """REJECTED, or DISCARDED where the client was told that it was accepted."""
    closes: bool = False
    """The message of that queue id ends with it."""
    session_id: str = ""
    """The process that refused it, where its client and its login are told of that."""
    told_by: str = ""
    """The filter's line that told it, where `line` is the answer alone."""
    passage_id: str = ""
    """The passage through a filter whose own lines name the other recipients of the message; else empty."""
    answers_id: str = ""
    """The entry of what the client was told in place of `response`, where a filter may change the answer."""
    is_changed: bool = False
    """A filter changed the answer, which `told_by` tells."""
    awaits_arrival: bool = False
    """The arrival's line of that queue id comes behind it, and tells sender, client and login."""
    has_content: bool = False
    """The content was seen: lines of that queue id before it may tell Message-ID and subject."""
    message_id: str = ""
    subject: str = ""


STARTED, ADDRESSED, NAMED, REPLIED, CONTINUED, TRIED, MOVED = (
    "started",
    "addressed",
    "named",
    "replied",
    "continued",
    "tried",
    "moved",
)
"""The kinds of a `Step`, in the order in which they come; CONTINUED is another line of the answer."""
GROUPED = "grouped"
"""The kind of a `Step` that tells what came of some recipients of a message, without naming them."""
FILTERED, TOLD = "filtered", "told"
"""The kinds of a `Step` that tells an answer before and after a filter. The queue id is that of the entry."""
ANNOUNCED = "announced"
"""The part that tells Message-ID and size before it is known whether the message is queued."""


class Step(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a process says that tries one message after the other, and names the message only where a try begins.

    Its queue id is the process's. `joining/tries.py` makes events of the messages of it. A GROUPED one has the queue id
    of a message, and tells what came of recipients that it may not name; `joining/groups.py` names them.
    """

    queue_id: str
    at: int
    line: str
    kind: str
    words: str
    """The line without its head."""
    process: str = ""
    """The number of the process that wrote the line, where the head tells it."""
    file: str = ""
    """STARTED and MOVED: the queue id of the message."""
    remote_host: str = ""
    sender: str = ""
    recipients: tuple[str, ...] = ()
    message_id: str = ""
    status: str = ""
    """TRIED: what came of it. REPLIED: DELIVERED where the far server took it, else empty."""
    answer: str = ""
    """REPLIED and GROUPED: the far server's words."""
    group: int = 0
    """GROUPED: the number of the queue file within the message, from 1."""
    domain: str = ""
    """GROUPED: that of the recipients, where the line tells it."""
    counts: tuple[int, ...] = ()
    """GROUPED: how many recipients were accepted, deferred and refused; empty: all had the status."""
    is_first: bool = False
    """GROUPED: nothing was tried before, so the counts are those of all recipients of the queue file."""
    remote_ip: str = ""
    transport: str = ""


Event = Arrival | Attempt | LifecycleEvent | Refusal | Step


class Ignored(NamedTuple):
    """A line of no interest, counted by its kind."""

    kind: str
    suppressed_lines: int = 0
    """How many lines the log lost before this one, where the line says that a logger threw them away."""


class Unreadable(NamedTuple):
    """A line that claims to matter and can't be read: a dead letter, with the reason."""

    reason: str


Parsed = Event | list[Event] | Ignored | Unreadable
"""A line that names several recipients is an event of each."""
