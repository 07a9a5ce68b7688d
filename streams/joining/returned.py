"""Which message of this server is an earlier one that a program or filter gave back without naming a queue id. Pure.

A tie needs the Message-ID, the sender and a recipient of both, which a stranger can write, and beside them what he
can't: that a program of this server, or the address to which the first message went, submitted the second one, and
that it did so between the hand-over and its answer. Where two messages would do for one, none is tied.

The messages with one Message-ID are listed in an entry that is kept like a message under `b:` and a digest of it. It
makes no rows. So one finds the other whichever comes first, and after a crash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from postwatch.streams.contracts.outcome import DELIVERED
from postwatch.streams.expressions import compiled
from postwatch.streams.joining.merge import add_part
from postwatch.streams.joining.message import Message
from postwatch.streams.parsers.events import CLIENT, FILTER, FORWARD, MESSAGE_ID, PROXIED, Arrival, Attempt
from postwatch.streams.parsers.smtp import is_loopback, is_near

GIVEN, TAKEN, STORED = "given", "taken", "stored"
MOST_MEMBERS = 16
"""Messages with one Message-ID that are compared with each other: of more none is tied."""
PICKUP_LATE_MS = 2_000
"""Postfix takes a local submission over a little after the program that made it may have ended."""
STAMP_MS = 1_000
"""Stamps may be in whole seconds."""
_MAILBOX_PROGRAMS = ("relay=dovecot", "relay=cyrus", "relay=maildrop", "relay=procmail")
"""Pipes into mailboxes: no entry is made for what they get. They are compared with what came before their answer."""
_DELAYS = compiled(r", delays=[\d.]{1,12}+/[\d.]{1,12}+/(\d{1,9}+(?:\.\d{1,9}+)?+)/(\d{1,9}+(?:\.\d{1,9}+)?+), dsn=")
_BY_FILTER = compiled(
    r"<= [^ \"][^ ]*+ (?:R=[^ ]++ )?U=(?:[^ ]++ P=(?!local|e?smtp|lmtp)"
    r"|(?:mail|mailnull|exim4?|Debian-exim|spamd?|debian-spamd|spamassassin|amavis|vscan|clamav|filter) P=local)[^ ]*+ "
)
"""Exim lets trusted users alone name the protocol of what they submit; else it must be a user that no person is."""


class Group(msgspec.Struct, eq=False):
    """Messages of one server with one Message-ID, by queue id."""

    given: dict[str, Message] = {}
    """They went to a program or filter here, or may have."""
    taken: dict[str, Message] = {}
    """They came from a program or from an address which may be a filter's."""
    stored: dict[str, Message] = {}
    """A mailbox here got them, whose own rule sent a copy on."""
    redirects: list[Attempt] = []
    """What those rules did."""

    def is_crowded(self) -> bool:
        return max(map(len, (self.given, self.taken, self.stored, self.redirects))) > MOST_MEMBERS


class Tie(msgspec.Struct, eq=False):
    """A message, the one that it was given back as, and the attempt of the recipient between them."""

    before: Message
    message: Message
    attempt: Attempt
    redirect: Attempt | None = None
    """The rule of the mailbox that got the attempt, where that made the message."""


def message_id_of(message: Message) -> str:
    if message.parts is None:
        return message.arrival.message_id if message.arrival is not None else ""
    named = message.parts.get(MESSAGE_ID)
    return named.message_id if named is not None else ""


def note_member(entry: Message, kind: str, message: Message, event: Arrival | Attempt) -> None:
    """List a message in the entry, until that is crowded: then it ties nothing anyway."""
    name = f"{kind} {message.queue_id}"
    known = entry.parts or {}
    if name in known or sum(part.startswith(kind) for part in known) > MOST_MEMBERS:
        return
    listed = Arrival(entry.queue_id, event.at, event.line, part=name, earlier_queue_id=message.queue_id)
    add_part(entry, listed)
    entry.completed_at = max(entry.completed_at, event.at)


def source_of(message: Message) -> Arrival | None:
    """The line that tells where the message came from."""
    return message.arrival if message.parts is None else message.parts.get(CLIENT)


def may_be_taken(source: Arrival, is_named_twice: bool = False) -> bool:
    """Whether a program or filter of this server may have submitted it, or one anywhere, where another open message
    has the same Message-ID: then only the address to which that one went counts."""
    if source.authenticated_as or source.earlier_queue_id not in ("", PROXIED):
        return False
    return is_named_twice or is_near(source.client_ip) if source.client_ip else is_by_program(source)


def is_by_program(source: Arrival) -> bool:
    if not source.system_user or source.client_ip:
        return False
    return source.part == CLIENT or _BY_FILTER.match(source.line, source.line.find("<= ")) is not None


def may_be_given(message: Message, attempt: Attempt) -> bool:
    """Whether a program or filter got the recipient: it is one if the message comes back from there in that time."""
    if attempt.status != DELIVERED or attempt.handover:
        return False
    if message.parts is None:
        return True  # Exim's transports have the names that the administrator gave them
    if attempt.remote_ip:
        return attempt.transport in ("smtp", "lmtp")
    return attempt.transport == "pipe" or attempt.response.startswith("delivered to command")


def is_given(message: Message, attempt: Attempt) -> bool:
    """Whether an entry is worth making for it: a message that comes back may show later than the answer."""
    if message.parts is None or not is_near(attempt.remote_ip):
        return False  # Exim's own submission is logged before the program ends
    if attempt.remote_ip:
        return attempt.transport == "smtp" and f"[{attempt.remote_ip}]:25, " not in attempt.line
    return attempt.transport == "pipe" and not any(f", {name}" in attempt.line for name in _MAILBOX_PROGRAMS)


def last_given(message: Message, recipient: str) -> Attempt | None:
    """The attempt of the recipient that may have brought another message about."""
    for attempt in reversed(message.attempts.get(recipient, ())):
        if may_be_given(message, attempt):
            return attempt
    return None


def fits(before: Message, attempt: Attempt, message: Message) -> bool:
    """Whether the attempt may have brought the message about, by its place and time."""
    source = source_of(message)
    if source is None or message is before or message.queue_id == before.queue_id or source.authenticated_as:
        return False
    if source.client_ip:
        late = 0
        is_there = source.client_ip == attempt.remote_ip or (
            is_loopback(source.client_ip) and is_loopback(attempt.remote_ip)
        )
    else:
        late = PICKUP_LATE_MS if source.part == CLIENT else 0
        is_there = not attempt.remote_ip and is_by_program(source)
    return is_there and _began_at(before, attempt) - STAMP_MS <= source.at <= attempt.at + late


def _began_at(before: Message, attempt: Attempt) -> int:
    """When the delivery began, or at the earliest: a forged second set of delays counts for none."""
    tries = before.attempts.get(attempt.recipient, ())
    began_at = max((one.at for one in tries if one.at < attempt.at), default=0)
    found = _DELAYS.findall(attempt.line) if before.parts is not None else ()
    if len(found) == 1:
        connecting, sending = found[0]
        began_at = max(began_at, attempt.at - int((float(connecting) + float(sending)) * 1000))
    return max(began_at, before.queued_at)


def names(message: Message, attempt: Attempt) -> bool:
    """Whether the message is for the recipient of the attempt."""
    for recipient in (attempt.recipient, attempt.original_recipient):
        if not recipient:
            continue
        if recipient in message.attempts or (message.originals and recipient in message.originals):
            return True
        if message.parts is None and message.arrival is not None and recipient in message.arrival.recipients:
            return True
    return False


def is_rival(message: Message, attempt: Attempt) -> bool:
    """Whether it is, or may still turn out to be, for the recipient of the attempt."""
    return names(message, attempt) or (message.parts is not None and not message.attempts)


def sender_of(message: Message) -> str | None:
    arrival = message.tell_arrival()
    return arrival.sender.lower() if arrival is not None and message.is_whole() else None


def find_ties(group: Group, recipient: str) -> list[Tie]:
    """The ties of one recipient, as the first message of each names it."""
    if group.is_crowded():
        return []
    edges: list[Tie] = []
    for before in group.given.values():
        attempt = last_given(before, recipient)
        if attempt is not None:
            taken = [one for one in group.taken.values() if fits(before, attempt, one) and is_rival(one, attempt)]
            answered = [one for one in taken if one.queue_id == attempt.next_queue_id]
            edges += [Tie(before, one, attempt) for one in answered or taken]
    edges = [edge for edge in edges if not _is_passed(edge, edges)]
    ties = [
        tie
        for tie in edges
        if sum(edge.message is tie.message for edge in edges) == 1
        and sum(edge.before is tie.before for edge in edges) == 1
        and names(tie.message, tie.attempt)
        and sender_of(tie.message) == sender_of(tie.before) is not None
    ]
    return sorted(ties, key=lambda tie: (tie.before.queued_at, tie.before.lineage is None, tie.before.queue_id))


def _is_passed(edge: Tie, edges: list[Tie]) -> bool:
    """Whether the message was given back once more in between, so that it is not of the first one."""
    for later in edges:
        if later.message is edge.message and later.before is not edge.before:
            between = any(one.before is edge.before and one.message is later.before for one in edges)
            back = any(one.before is later.before and one.message is edge.before for one in edges)
            if between and not back and later.before.queued_at >= edge.before.queued_at:
                return True
    return False


def redirects_of(entry: Message) -> Iterator[Attempt]:
    for attempts in entry.attempts.values():
        yield from attempts


def is_redirected(redirects: Iterable[Attempt], attempt: Attempt) -> bool:
    """Whether a rule of the mailbox that got the attempt sent a copy on."""
    return not attempt.remote_ip and any(_is_of(one, attempt) for one in redirects)


def _is_of(redirect: Attempt, attempt: Attempt) -> bool:
    """Whether the attempt was into the mailbox of that rule: Dovecot names it by its address, or its user."""
    user = redirect.original_recipient
    for address in (attempt.recipient, attempt.original_recipient):
        if address and (user == address or ("@" not in user and user == address.partition("@")[0])):
            return True
    return False


def find_redirects(group: Group) -> list[Tie]:
    """What the rules of mailboxes sent on, each with the delivery into its mailbox and the message that it made."""
    if not group.redirects or group.is_crowded():
        return []
    found = [
        Tie(before, message, attempt, redirect)
        for redirect in group.redirects
        for before in group.stored.values()
        for attempts in before.attempts.values()
        for attempt in attempts
        if attempt.status == DELIVERED and _is_of(redirect, attempt) and _is_during(before, attempt, redirect.at)
        for message in group.taken.values()
        if names(message, redirect) and _is_redirect(before, attempt, message)
    ]
    return [
        tie
        for tie in found
        if sum(other.message is tie.message for other in found) == 1
        and sum(other.before is tie.before and other.redirect is tie.redirect for other in found) == 1
    ]


def into_mailbox(attempt: Attempt) -> Attempt:
    """The delivery into the mailbox whose rule sent the copy on: that is its own, whatever alias led there."""
    return msgspec.structs.replace(attempt, handover=FORWARD, original_recipient="")


def _is_redirect(before: Message, attempt: Attempt, message: Message) -> bool:
    """Whether a program here, or a client on this machine, gave the message in while the mailbox got its own."""
    source = source_of(message)
    if source is None or message is before or source.authenticated_as:
        return False
    is_here = is_loopback(source.client_ip) if source.client_ip else source.system_user != ""
    return is_here and _is_during(before, attempt, source.at)


def _is_during(before: Message, attempt: Attempt, at: int) -> bool:
    return _began_at(before, attempt) - STAMP_MS <= at <= attempt.at + PICKUP_LATE_MS


def as_handed(attempts: list[Attempt]) -> list[Attempt]:
    """The attempts of which the last one turned out to be into a filter."""
    return [*attempts[:-1], msgspec.structs.replace(attempts[-1], handover=FILTER)]
