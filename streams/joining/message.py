"""A message as the set of its events. `merge.py` adds to it."""

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
    ANNOUNCED,
    CLIENT,
    ENVELOPE,
    FORWARDED,
    HELD,
    LINK,
    LOGIN,
    MESSAGE_ID,
    OWN_NOTICE,
    PARENT,
    QUEUE,
    REQUEUED,
    SUBJECT,
    WHOLE,
    Arrival,
    Attempt,
    LifecycleEvent,
    Refusal,
    Step,
)
from postwatch.streams.parsers.queue_ids import (
    ANSWER_PREFIX,
    LOGIN_PREFIX,
    PASSAGE_PREFIX,
    PIECE_PREFIX,
    RETURN_PREFIX,
    SESSION_PREFIX,
    arrival_time,
    queued_at,
)

RETRACTED = "retracted"
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
_MAILBOXES = ("mda", "delivery")
"""OpenSMTPD's names for a delivery here, since version 6 and before."""


class Lineage(msgspec.Struct, gc=False, eq=False, array_like=True):
    """What a message was before a content filter on this server returned it. Its rows keep the first queue id."""

    queue_id: str
    queued_at: int
    arrival: Arrival
    lines: list[str]
    """The lines of the first arrival."""
    subsequent_ids: list[str]
    """The queue ids after the first, up to the one before this message's."""
    handed: dict[str, list[Attempt]]
    """Recipient as handed to the filter → the earlier attempts; the last one went into the filter."""
    is_requeued: bool = False
    """No filter was there: an operator had the message queued anew. Its earlier rows are right until its own come."""
    forwarded: str = ""
    """The recipient, here, of whom a forward made the message. Every recipient of it is one of his."""

    is_returned: bool = False
    """No line named this message's queue id: its Message-ID, place and time showed that a filter gave it back."""

    def parent_id(self) -> str:
        """The queue id just before the message's own."""
        return self.subsequent_ids[-1] if self.subsequent_ids else self.queue_id


class Try(msgspec.Struct, gc=False, eq=False, array_like=True):
    """One try of a process to deliver a message: its first line, and what the process said after it."""

    started: Step
    steps: list[Step]


class Message(msgspec.Struct, gc=False, eq=False, array_like=True):
    """One message. It is encoded as it is when it is parked, so fields are only ever added, at the end."""

    server: str
    queue_id: str
    queued_at: int
    arrival: Arrival | None = None
    """Where the log tells the arrival in parts, `tell_arrival` assembles it."""
    was_partial: bool = False
    """Another event came before the arrival, so rows may have been sent under no account."""
    attempts: dict[str, list[Attempt]] = {}
    """By final recipient."""
    originals: dict[str, int] | None = None
    """Aliases → when they were resolved, ms since the epoch."""
    terminal_event: LifecycleEvent | None = None
    """The event that cancelled, discarded or expired the whole message."""
    completed_at: int = 0
    dirty: list[str] | None = None
    """Recipients that changed since the last rows; None: none did. Never parked."""
    parts: dict[str, Arrival] | None = None
    lineage: Lineage | None = None
    was_reported_alone: bool = False
    """Rows may have been sent under its own queue id, before its lineage was known."""
    earlier: Message | None = None
    """The newer message with the same queue id, while lines of this older one are repeated."""
    is_settled: bool = False
    """No later line can tie it to another message."""
    identity: Arrival | None = None
    """The submitter as the control panel names it."""

    is_repeated: bool = False
    """Its arrival came twice: a second shipper of the same file will repeat the other lines, the last included."""
    was_parked: bool = False
    """Its arrival may come again too, when records are read again after a crash."""
    cancelled_recipients: dict[str, LifecycleEvent] | None = None
    """Recipients, as submitted, whose delivery was cancelled."""
    is_tried_again: bool = False
    """The first delivery attempt of the whole message is over."""
    held_at: int = 0
    """When an operator or a rule first put it on hold."""
    id_time: int = 0
    """The time in its queue id, ms since the epoch; 0: the id carries none, and may be used again."""
    requeued_as: str = ""
    """The queue id under which its open recipients go on, since an operator had it queued anew."""
    forwarded: dict[str, bool] | None = None
    """Recipients of whom a forward made a new message → whether that tells what became of them."""

    awaits_verdict: bool = False
    """A filter's own line will tell what became of a recipient."""

    tries: list[Try] | None = None
    """Of a process that tries one message after the other: its last tries, in the order of time."""
    current_try: str = ""
    """The first line of the try of which the next line is."""
    read_until: int = -1
    """The place in the stream of the last record that a line of the process was in."""
    parked_at: int = -1
    """`read_until` as the process was parked: what comes from there is read again."""
    refusals: list[Refusal] | None = None
    """Of a passage: what the client was told of the whole message. The filter's own lines name its recipients."""
    return_id: str = ""
    """The entry that lists it as a message which a filter may have given back, or as what such a filter got."""
    envelopes: list[str] | None = None
    """The queue ids of further envelopes that the MTA made of it. They have its lineage."""
    former: Lineage | None = None
    """The lineage under which rows were made before the message that it was made of showed its own."""

    def is_dated(self) -> bool:
        """Whether its id tells when it was queued: then the key of its rows is the same whichever line comes first."""
        return self.queued_at == self.id_time

    def is_complete(self) -> bool:
        """The MTA is done with it."""
        return self.completed_at > 0

    def count_completes(self) -> None:
        """Complete a message of an MTA that logs no end, when as many recipients as it accepted have a final status."""
        arrival = self.arrival if self.parts is None else self.parts.get(QUEUE)
        if arrival is None or not 0 < arrival.recipient_count <= len(self.attempts):
            return
        count = arrival.recipient_count
        if self.parts is not None:
            count = max(count, sum(part.part == ENVELOPE for part in self.parts.values()))
        done = 0
        completed_at = arrival.at
        unnamed = self.only_recipient() if "" in self.attempts else ""
        for recipient, attempts in self.attempts.items():
            if unnamed and recipient == unnamed:
                continue
            if not recipient and not unnamed and not self.bounces_nobody():
                continue
            final = [attempt for attempt in attempts if RESULTS[attempt.status] != "pending"]
            if not final:
                return
            done += not final[-1].is_expanded
            completed_at = max(completed_at, final[-1].at)
        if done >= count:
            self.completed_at = completed_at

    def may_have_more(self) -> bool:
        """Whether an alias may have more targets than the mailbox of the same name, whose line tells of no alias."""
        queued = (self.parts or {}).get(QUEUE)
        return (
            queued is not None
            and queued.recipient_count > 0
            and any(tried[-1].transport in _MAILBOXES and not tried[-1].is_expanded for tried in self.attempts.values())
        )

    def bounces_nobody(self) -> bool:
        """Whether a bounce was made of it though no line names whom it failed for, such as an alias that loops."""
        if self.parts is not None:  # dma's, or a further envelope, whose recipients its first one may name
            return LINK not in self.parts
        arrival = self.arrival
        if arrival is None or not arrival.recipient_count:
            return False
        done = 0
        for recipient, attempts in self.attempts.items():
            if not recipient:
                continue
            final = [attempt for attempt in attempts if RESULTS[attempt.status] != "pending"]
            if final and RESULTS[final[-1].status] == "failed":
                return False
            done += bool(final) and not final[-1].is_expanded
        return done < arrival.recipient_count and not self.only_recipient()

    def only_recipient(self) -> str:
        """The one recipient that it was accepted for, where no line tells what became of him; else empty."""
        arrival = self.tell_arrival()
        names = dict.fromkeys((*(self.lineage.handed if self.lineage is not None else ()), *self.attempts))
        names.pop("", None)
        if arrival is None or arrival.recipient_count != 1 or len(names) != 1:
            return ""
        [name] = names
        return "" if any(RESULTS[one.status] != "pending" for one in self.attempts.get(name, ())) else name

    def is_closed(self) -> bool:
        """No later event can change a row of it."""
        return self.is_complete() and (self.is_settled or not self.awaits_correlation())

    def awaits_correlation(self) -> bool:
        """Whether a line of another message may still tie to it, or its own lines will come again."""
        if self.is_repeated or self.awaits_verdict or self.return_id:
            return True
        if self.parts is None and self.lineage is None and self.arrival is not None:  # as nearly all of Exim's
            return not self.arrival.authenticated_as and self.arrival.client_ip.startswith(_LOOPBACK)
        if self.requeued_as:
            return True  # a delivery that was in progress is logged later
        if self.forwarded is not None and not all(self.forwarded.values()):
            return True  # what it was forwarded to is tried later
        if self.queue_id[1:2] == ":":  # no MTA's
            if self.queue_id.startswith(LOGIN_PREFIX):
                return True  # each message received by that process refers to it
            if self.queue_id.startswith((PASSAGE_PREFIX, RETURN_PREFIX, ANSWER_PREFIX)):
                return True  # the answer that names it, or more of the filter's lines, may come
            if self.queue_id.startswith((SESSION_PREFIX, PIECE_PREFIX)):
                return False
        if self.lineage is not None:
            return not all(map(self.handed_over, self.attempts))
        if self.parts is None:
            return False
        queued = self.parts.get(QUEUE)
        if queued is not None and queued.recipient_count and self.may_have_more():
            return True
        if self.terminal_event is not None and self.terminal_event.status == CANCELLED:
            return True  # a delivery that was in progress is logged later
        if LOGIN in self.parts:
            return False
        if PARENT in self.parts:
            return self.is_forward()  # the message that it was made of may show its own origin later
        client = self.parts.get(CLIENT)
        if client is None:
            return True  # made here: a bounce or a forward
        if client.earlier_queue_id or (HELD in self.parts and QUEUE not in self.parts):
            return True
        return client.client_ip.startswith(_LOOPBACK) and not client.authenticated_as

    def was_seen(self) -> bool:
        """A line of its own came, not only lines of other messages about it."""
        if self.parts is not None:
            return bool(self.attempts) or any(part not in TOLD_BY_OTHERS for part in self.parts)
        return self.arrival is not None or bool(self.attempts) or self.is_complete() or self.identity is not None

    def is_forward(self) -> bool:
        """A forward made it, and not the server as a notice of another message."""
        parts = self.parts or {}
        return PARENT in parts and parts[PARENT].sender == FORWARDED

    def is_whole(self) -> bool:
        """The whole arrival was seen, not only the parts that each attempt repeats."""
        if self.parts is None:
            return self.arrival is not None
        if QUEUE not in self.parts and HELD not in self.parts:
            return False
        return CLIENT in self.parts or REQUEUED in self.parts or (MESSAGE_ID in self.parts and self._is_made_here())

    def _is_made_here(self) -> bool:
        """It has no client: a bounce, or a message that another one's line names, such as a forward."""
        assert self.parts is not None
        queued = self.parts.get(QUEUE) or self.parts[HELD]
        if queued.sender.startswith("double-bounce@"):
            return True  # smtpd's notice to the postmaster
        return not queued.sender or is_told_by_others(self.parts)

    def tell_arrival(self) -> Arrival | None:
        """The arrival as far as it is known."""
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
        if recipient in self.attempts or (self.originals is not None and recipient in self.originals):
            return False
        return self.lineage is None or not self.is_qualified(recipient)

    def duplicate_aliases(self) -> list[str]:
        """Recipients, as submitted, that resolve to the same address as another one: no line will name them.

        Exim logs each recipient at its first attempt, so these are the ones without an event when it tries again.
        """
        arrival = self.arrival
        if not self.is_tried_again or self.parts is not None or arrival is None:
            return []
        return [recipient for recipient in arrival.recipients if self.is_pending(recipient)]

    def handed_over(self, recipient: str) -> list[Attempt] | None:
        """The attempts before a filter returned the recipient; None: it is not known to have passed one."""
        if self.lineage is None:
            return None
        handed = self.lineage.handed
        found = handed.get(self.lineage.forwarded or recipient)
        if found is None:
            attempts = self.attempts.get(recipient)
            if attempts:
                found = handed.get(attempts[-1].original_recipient) or handed.get(_local_part(recipient))
                if found is None and attempts[-1].is_expanded and len(handed) == 1:
                    [found] = handed.values()
        return found

    def unqualified(self) -> list[str]:
        """Recipients that were handed over without a domain: the lines of this message name them with one."""
        return [name for name in self.lineage.handed if "@" not in name] if self.lineage is not None else []

    def is_qualified(self, name: str) -> bool:
        """Whether lines of this message name what was handed over without a domain, or what an alias made of it."""
        if self.lineage is None or "@" in name or name in self.attempts or name not in self.lineage.handed:
            return False
        return any(_local_part(to) == name or tried[-1].is_expanded for to, tried in self.attempts.items())

    def _tells_handed(self) -> bool:
        """Whether recipients have rows of this message before its lines name them; else those before are right."""
        lineage = self.lineage
        assert lineage is not None
        return not lineage.forwarded and (not lineage.is_requeued or self.terminal_event is not None)

    def is_told_before(self, recipient: str) -> bool:
        """Whether another message tells of the recipient, of whom no line of this one is."""
        if self.lineage is None or not recipient or recipient in self.attempts or self._tells_handed():
            return False
        return bool(self.lineage.forwarded) or not (self.originals and recipient in self.originals)

    def expected(self) -> list[str]:
        """Recipients as submitted here, as far as the log lists them."""
        arrival = self.tell_arrival()
        known = list(arrival.recipients) if arrival else []
        if self.lineage is not None and self._tells_handed():
            known += [recipient for recipient in self.lineage.handed if recipient not in known]
        return known

    def pending_recipients(self) -> Sequence[str]:
        """Recipients, as submitted, without any event."""
        if self.lineage is None:
            arrival = self.arrival or self.tell_arrival()
            known: Sequence[str] = arrival.recipients if arrival is not None else ()
            if not known or (len(known) == 1 and known[0] in self.attempts):
                return ()
        else:
            known = self.expected()
        return [recipient for recipient in known if self.is_pending(recipient)]

    def add_envelope(self, queue_id: str) -> None:
        self.envelopes = self.envelopes or []
        if queue_id not in self.envelopes:
            self.envelopes.append(queue_id)

    def change(self, recipients: list[str]) -> None:
        """Mark recipients as dirty, unless the message is only being merged."""
        if self.dirty is not None:
            self.dirty += recipients


def begin_message(server: str, queue_id: str, at: int) -> Message:
    """A message of which nothing is known but that a line of `at` names it."""
    id_time = queued_at(queue_id)
    return Message(server, queue_id, arrival_time(id_time, at) if id_time else at, id_time=id_time)


def _local_part(address: str) -> str:
    return address.rpartition("@")[0]


def envelope_key(recipient: str) -> str:
    return f"{ENVELOPE} {recipient}"


_NO_PART = Arrival("", 0, "")


def _assemble(parts: dict[str, Arrival]) -> Arrival:
    client = parts.get(CLIENT, _NO_PART)
    named = parts.get(MESSAGE_ID, _NO_PART)
    parent = parts.get(PARENT, _NO_PART)
    queued = parts.get(QUEUE) or parts.get(HELD, _NO_PART)
    announced = parts.get(ANNOUNCED, _NO_PART)
    envelopes = [] if queued.sender else [part for part in parts.values() if part.part == ENVELOPE]
    first = parts.get(CLIENT) or next(iter(_in_order(parts)), None) or next(iter(parts.values()))
    sender = queued.sender or client.sender or (envelopes[0].sender if envelopes else "")
    return Arrival(  # by position: by name it takes three times as long
        first.queue_id,
        first.at,
        first.line,
        sender if parent.sender != OWN_NOTICE else "",
        queued.recipients or client.recipients or tuple(sorted(one.recipients[0] for one in envelopes)),
        client.client_host or queued.client_host,
        client.client_ip or queued.client_ip,
        client.system_user or queued.system_user,
        client.auth_method or queued.auth_method,
        client.authenticated_as or queued.authenticated_as or parts.get(LOGIN, _NO_PART).authenticated_as,
        queued.size_bytes or announced.size_bytes,
        named.message_id or queued.message_id or announced.message_id,
        (parts.get(SUBJECT) or parts.get(HELD, _NO_PART)).subject,
        parent.parent_queue_id,
        WHOLE,
        client.earlier_queue_id,
        queued.recipient_count,
    )


def has_usual_parts(parts: dict[str, Arrival]) -> bool:
    """Whether these are client, Message-ID and sender, in this order."""
    return len(parts) == 3 and list(parts) == _USUAL_PARTS


def _in_order(parts: dict[str, Arrival]) -> list[Arrival]:
    if has_usual_parts(parts):
        return list(parts.values())
    return [parts[name] for name in _PARTS if name in parts]


_PARTS = (CLIENT, LOGIN, MESSAGE_ID, ANNOUNCED, QUEUE, SUBJECT, PARENT, LINK, REQUEUED)
_USUAL_PARTS = [CLIENT, MESSAGE_ID, QUEUE]
"""Nearly always, and in this order."""
TOLD_BY_OTHERS = frozenset((PARENT, LINK, REQUEUED))
"""Parts that come from lines of other messages and programs: they do not show that the message itself was seen."""


def is_told_by_others(parts: dict[str, Arrival]) -> bool:
    """Whether any part is. A look into the dict for each name: its parts may be as many as recipients."""
    return PARENT in parts or LINK in parts or REQUEUED in parts


def arrival_lines(message: Message) -> list[str]:
    """The lines of the arrival in their order, without those that name one recipient each."""
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
    lines += [refusal.line for refusal in message.refusals or ()]
    return lines


def count_characters(message: Message) -> int:
    """Characters of the lines of its arrival and attempts: a measure of its memory."""
    characters = len(message.arrival.line) if message.arrival is not None else 0
    for part in (message.parts or {}).values():
        characters += len(part.line)
    for attempts in message.attempts.values():
        for attempt in attempts:
            characters += len(attempt.line)
    if message.lineage is not None:
        characters += sum(map(len, message.lineage.lines))
    if message.tries is not None:
        characters += sum(map(count_try, message.tries))
    return characters


def count_try(one: Try) -> int:
    """Characters of the lines of a try."""
    return len(one.started.line) + sum(len(step.line) for step in one.steps)
