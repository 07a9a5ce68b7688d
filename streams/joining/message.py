"""A message as the set of its events: what is known of it. `union.py` adds to it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from postwatch.streams.contracts.outcome import (
    BOUNCED,
    CANCELLED,
    DEFERRED,
    DELIVERED,
    DISCARDED,
    EXPIRED,
    PENDING,
    REJECTED,
    RESULTS,
)
from postwatch.streams.parsers.events import (
    CLIENT,
    ENVELOPE,
    HELD,
    LINK,
    LOGIN,
    MESSAGE_ID,
    OWN_NOTICE,
    PARENT,
    QUEUE,
    SUBJECT,
    WHOLE,
    Arrival,
    Attempt,
    LifecycleEvent,
)
from postwatch.streams.parsers.queue_ids import LOGIN_PREFIX, SESSION_PREFIX, queued_at

RETRACTED = "withdrawn"
RANKS = {
    PENDING: 1,
    DEFERRED: 2,
    RETRACTED: 3,
    CANCELLED: 4,
    BOUNCED: 5,
    EXPIRED: 6,
    REJECTED: 7,
    DISCARDED: 8,
    DELIVERED: 9,
}
_LOOPBACK = ("127.", "::1")


class Lineage(msgspec.Struct, gc=False, eq=False, array_like=True):
    """Where a message was before a filter of this server gave it back: its rows stand under its first queue id."""

    queue_id: str
    queued_at: int
    arrival: Arrival
    lines: list[str]
    """The lines of the first arrival."""
    subsequent_ids: list[str]
    """The queue ids behind the first, up to the one before this."""
    handed: dict[str, list[Attempt]]
    """By recipient as it was handed over: the attempts before, the last one into the filter."""


class Message(msgspec.Struct, gc=False, eq=False, array_like=True):
    """All that is known of one message. Encoded as it is when it is parked."""

    server: str
    queue_id: str
    queued_at: int
    arrival: Arrival | None = None
    """Where the log tells it in parts, `tell_arrival` puts it together."""
    was_partial: bool = False
    """Some other event came before the arrival, so rows may be out under no account."""
    attempts: dict[str, list[Attempt]] = {}
    """By final recipient."""
    originals: dict[str, int] | None = None
    """Addresses that turned out to be aliases → when, ms since the epoch."""
    terminal_event: LifecycleEvent | None = None
    """Cancelled, discarded or expired as a whole."""
    completed_at: int = 0
    dirty: list[str] | None = None
    """Recipients whose rows are due; None: nothing changed since the last rows. Never parked."""
    parts: dict[str, Arrival] | None = None
    lineage: Lineage | None = None
    was_reported_alone: bool = False
    """Rows may be out under its own queue id, from before its lineage was known."""
    earlier: Message | None = None
    """The message that a repeated older one of the same queue id has set aside."""
    is_settled: bool = False
    """Nothing will tell any more where it came from."""
    identity: Arrival | None = None
    """What the control panel says of who submitted it."""

    is_repeated: bool = False
    """Its arrival came twice: a second shipper of the same file will bring the rest again, its end included."""
    was_parked: bool = False
    """Lines read again after a crash repeat the arrival of such a message, too."""
    cancelled_recipients: dict[str, LifecycleEvent] | None = None
    """Recipients as submitted that were taken off the message."""
    is_tried_again: bool = False
    """The first try to deliver it is over."""
    held_at: int = 0
    """When an operator or a rule of his held it up first, before or behind its first try."""
    id_time: int = 0
    """The time in its queue id, ms since the epoch; 0: the id carries none, and may be used again."""

    def is_complete(self) -> bool:
        """The MTA is done with it."""
        return self.completed_at > 0

    def count_completes(self) -> None:
        """Where no line says that the MTA is done: it is when every recipient is, as many as were submitted."""
        arrival = self.arrival if self.parts is None else self.parts.get(QUEUE)
        if arrival is None or not 0 < arrival.recipient_count <= len(self.attempts):
            return
        done = 0
        completed_at = arrival.at
        for attempts in self.attempts.values():
            final = [attempt for attempt in attempts if RESULTS[attempt.status] != "pending"]
            if not final:
                return
            done += not final[-1].is_expanded
            completed_at = max(completed_at, final[-1].at)
        if done >= arrival.recipient_count:
            self.completed_at = completed_at

    def is_closed(self) -> bool:
        """Nothing that is still to come can change a row of it."""
        return self.is_complete() and (self.is_settled or not self.awaits_correlation())

    def awaits_correlation(self) -> bool:
        """Whether another message's line may still tell that this one came from that, or its own lines come again."""
        if self.is_repeated:
            return True
        if self.parts is None and self.lineage is None and self.arrival is not None:  # as nearly all of Exim's
            return not self.arrival.authenticated_as and self.arrival.client_ip.startswith(_LOOPBACK)
        if self.queue_id.startswith(LOGIN_PREFIX):
            return True  # by each message that comes in there
        if self.queue_id.startswith(SESSION_PREFIX):
            return False
        if self.lineage is not None:
            return not all(map(self.handed_over, self.attempts))
        if self.parts is None:
            return False
        if self.terminal_event is not None and self.terminal_event.status == CANCELLED:
            return True  # a delivery that was under way then is logged behind it
        if PARENT in self.parts or LOGIN in self.parts:
            return False
        client = self.parts.get(CLIENT)
        if client is None:
            return True  # made here: a bounce or a forward
        if client.earlier_queue_id or (HELD in self.parts and QUEUE not in self.parts):
            return True
        return client.client_ip.startswith(_LOOPBACK) and not client.authenticated_as

    def was_seen(self) -> bool:
        """A line of its own came, not only one of another message about it."""
        if self.parts is not None:
            return bool(self.attempts) or any(part not in TOLD_BY_OTHERS for part in self.parts)
        return self.arrival is not None or bool(self.attempts) or self.is_complete() or self.identity is not None

    def is_whole(self) -> bool:
        """The arrival was seen, and not only what is said of it again at each attempt."""
        if self.parts is None:
            return self.arrival is not None
        if QUEUE not in self.parts and HELD not in self.parts:
            return False
        return CLIENT in self.parts or (MESSAGE_ID in self.parts and self._is_made_here())

    def _is_made_here(self) -> bool:
        """No client handed it in: a bounce, or what another message's line names, such as a forward."""
        assert self.parts is not None
        queued = self.parts.get(QUEUE) or self.parts[HELD]
        return not queued.sender or not TOLD_BY_OTHERS.isdisjoint(self.parts)

    def tell_arrival(self) -> Arrival | None:
        """What is known of the arrival so far."""
        if self.arrival is None and self.parts:
            self.arrival = _assemble(self.parts)
        return self.arrival

    def submitted(self) -> Arrival | None:
        """The arrival, with the hosting account in place of a system user that many share."""
        arrival, identity = self.tell_arrival(), self.identity
        if arrival is None or identity is None or arrival.authenticated_as:
            return arrival
        return msgspec.structs.replace(arrival, system_user=identity.system_user)

    def is_pending(self, recipient: str) -> bool:
        return recipient not in self.attempts and (self.originals is None or recipient not in self.originals)

    def duplicate_aliases(self) -> list[str]:
        """Recipients as submitted of which no line will come, for they resolve to the same address as another one.

        Exim tells something of each recipient when it first tries: so those of which nothing was heard when it tries
        again.
        """
        arrival = self.arrival
        if not self.is_tried_again or self.parts is not None or arrival is None:
            return []
        return [recipient for recipient in arrival.recipients if self.is_pending(recipient)]

    def handed_over(self, recipient: str) -> list[Attempt] | None:
        """The attempts that came before a filter gave the recipient back; None: it is not known to have been there."""
        if self.lineage is None:
            return None
        handed = self.lineage.handed
        found = handed.get(recipient)
        if found is None:
            attempts = self.attempts.get(recipient)
            if attempts:
                found = handed.get(attempts[-1].original_recipient)
        return found

    def expected(self) -> list[str]:
        """Recipients as submitted here, as far as the log lists them."""
        arrival = self.tell_arrival()
        known = list(arrival.recipients) if arrival else []
        if self.lineage is not None:
            known += [recipient for recipient in self.lineage.handed if recipient not in known]
        return known

    def pending_recipients(self) -> Sequence[str]:
        """Recipients as submitted of which nothing was heard."""
        if self.lineage is None:
            arrival = self.tell_arrival()
            known: Sequence[str] = arrival.recipients if arrival is not None else ()
            if not known or (len(known) == 1 and known[0] in self.attempts):
                return ()
        else:
            known = self.expected()
        return [recipient for recipient in known if self.is_pending(recipient)]

    def change(self, recipients: list[str]) -> None:
        """The rows of these recipients are due; nothing to do for a message that is only being merged."""
        if self.dirty is not None:
            self.dirty += recipients


def begin_message(server: str, queue_id: str, at: int) -> Message:
    """A message of which nothing is known but that a line of `at` names it."""
    id_time = queued_at(queue_id)
    return Message(server, queue_id, id_time or at, id_time=id_time)


def envelope_key(recipient: str) -> str:
    return f"{ENVELOPE} {recipient}"


_NO_PART = Arrival("", 0, "")


def _assemble(parts: dict[str, Arrival]) -> Arrival:
    client = parts.get(CLIENT, _NO_PART)
    named = parts.get(MESSAGE_ID, _NO_PART)
    parent = parts.get(PARENT, _NO_PART)
    queued = parts.get(QUEUE) or parts.get(HELD, _NO_PART)
    envelopes = [] if queued.sender else [part for part in parts.values() if part.part == ENVELOPE]
    first = parts.get(CLIENT) or next(iter(_in_order(parts)), None) or next(iter(parts.values()))
    return Arrival(
        first.queue_id,
        first.at,
        first.line,
        sender=(queued.sender or client.sender or (envelopes[0].sender if envelopes else ""))
        if parent.sender != OWN_NOTICE
        else "",
        recipients=queued.recipients or client.recipients or tuple(sorted(one.recipients[0] for one in envelopes)),
        client_host=client.client_host or queued.client_host,
        client_ip=client.client_ip or queued.client_ip,
        system_user=client.system_user or queued.system_user,
        auth_method=client.auth_method or queued.auth_method,
        authenticated_as=client.authenticated_as
        or queued.authenticated_as
        or parts.get(LOGIN, _NO_PART).authenticated_as,
        size_bytes=queued.size_bytes,
        message_id=named.message_id or queued.message_id,
        subject=parts.get(SUBJECT, _NO_PART).subject,
        parent_queue_id=parent.parent_queue_id,
        part=WHOLE,
        earlier_queue_id=client.earlier_queue_id,
        recipient_count=queued.recipient_count,
    )


def _in_order(parts: dict[str, Arrival]) -> list[Arrival]:
    return [parts[name] for name in _PARTS if name in parts]


_PARTS = (CLIENT, LOGIN, MESSAGE_ID, QUEUE, SUBJECT, PARENT, LINK)
TOLD_BY_OTHERS = frozenset((PARENT, LINK))
"""Parts that lines of other messages and programs tell: the message itself has not been seen with them."""


def arrival_lines(message: Message) -> list[str]:
    """The lines that tell how the message arrived, in their order; but for those of one recipient each."""
    if message.parts is not None:
        lines = [part.line for part in _in_order(message.parts)]
    else:
        lines = [message.arrival.line] if message.arrival else []
    return [*lines, message.identity.line] if message.identity else lines


def all_lines(message: Message) -> list[str]:
    """Every line that the message was made of, as far as they are kept."""
    lines = arrival_lines(message)
    lines += [part.line for part in (message.parts or {}).values()]
    if message.lineage is not None:
        lines += message.lineage.lines
    for attempts in message.attempts.values():
        lines += [attempt.line for attempt in attempts]
    if message.terminal_event is not None:
        lines.append(message.terminal_event.line)
    lines += [event.line for event in (message.cancelled_recipients or {}).values()]
    return lines


def count_characters(message: Message) -> int:
    """Of the lines of its arrival and its attempts: a measure of the memory that it takes."""
    characters = len(message.arrival.line) if message.arrival is not None else 0
    for part in (message.parts or {}).values():
        characters += len(part.line)
    for attempts in message.attempts.values():
        for attempt in attempts:
            characters += len(attempt.line)
    if message.lineage is not None:
        characters += sum(map(len, message.lineage.lines))
    return characters
