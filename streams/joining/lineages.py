"""Ties one message to the next where it goes on under another queue id: a filter, a requeue, a forward, an envelope.

Invariant: a tie changes the same rows whichever of both messages comes first. A line that names a message of which no
line has arrived yet waits for it; a message whose own origin shows late passes it on to those made of it.
"""

from __future__ import annotations

from postwatch.streams.joining.message import Lineage, Message, arrival_lines, begin_message
from postwatch.streams.joining.open_messages import OpenMessages
from postwatch.streams.joining.status import OPEN, find_status
from postwatch.streams.parsers.events import (
    CLIENT,
    FILTER,
    FORWARD,
    JUDGED,
    LINK,
    MESSAGE_ID,
    REQUEUED,
    Arrival,
    Attempt,
)

MOST_AWAITED = 1_000
"""Per partition: queue ids that a filter names before their own lines arrive."""


class Lineages:
    """The ties of one partition's messages."""

    def __init__(self, messages: OpenMessages) -> None:
        self._messages = messages
        self.awaited: dict[tuple[str, str], dict[str, Arrival]] = {}
        """Server and queue id → later messages that name this id as their earlier one, before its own lines came."""

    def begin(self, message: Message, next_message: Message) -> Lineage | None:
        """The lineage of `next_message` from `message`; None: it has another origin."""
        known = next_message.lineage
        before = message.lineage
        first_id = before.queue_id if before else message.queue_id
        if known is not None:
            return known if known.queue_id == first_id else None
        arrival = before.arrival if before else message.submitted()
        if arrival is None or first_id == next_message.queue_id:
            return None
        next_message.was_reported_alone = next_message.was_seen()
        next_message.lineage = Lineage(
            first_id,
            before.queued_at if before else message.queued_at,
            arrival,
            [*before.lines, *arrival_lines(message)] if before else arrival_lines(message),
            [*before.subsequent_ids, message.queue_id] if before else [],
            {},
        )
        return next_message.lineage

    def go_on(self, message: Message, event: Attempt) -> None:
        """The recipient went into a filter, which queued it under another id of this server."""
        if event.handover != FILTER or event.next_queue_id == message.queue_id or not message.is_whole():
            return
        if any(one.handover == JUDGED for one in message.attempts.get(event.recipient, ())):
            return  # the filter went on with other recipients
        messages = self._messages
        next_message = messages.servers[message.server].get(event.next_queue_id)
        if next_message is None:
            next_message = messages.open(message.server, event.next_queue_id, event.at)
        is_new = next_message.lineage is None
        lineage = self.begin(message, next_message)
        if lineage is None:
            return
        if is_new and next_message.envelopes:
            self._pass_on(next_message)
        lineage.handed[event.recipient] = attempts_on_the_way(message, event.recipient)
        if next_message.return_id and not lineage.is_returned:
            self._unlist(next_message)
        messages.links.append((message, next_message))
        messages.touch(next_message)
        if next_message.was_seen():
            next_message.change([event.recipient, *next_message.attempts])
            messages.handed_on.add((message, event.recipient))

    def _pass_on(self, message: Message) -> None:
        """Further envelopes of a message go back to where it came from, which was told after they were made."""
        for queue_id in message.envelopes or ():
            made = self._messages.find(message.server, queue_id)
            if made is None or made.lineage is None or made.lineage.queue_id != message.queue_id:
                continue
            made.former, made.lineage = made.lineage, None
            self.begin(message, made)
            self._messages.links.append((message, made))
            self._messages.hold(made)
            made.change(list(made.attempts))

    def _unlist(self, message: Message) -> None:
        """A filter's answer named the message. An entry of `returned` that lists it alone is done with."""
        entry = self._messages.find(message.server, message.return_id)
        if entry is not None and entry.parts is not None and len(entry.parts) == 1:
            self._messages.hold(entry)
            entry.is_settled = True
        message.return_id = ""

    def continue_from(self, message: Message, event: Arrival) -> None:
        """The line names the earlier queue id of the message: a proxy passed it on, or it was requeued."""
        before = self._messages.find(message.server, event.earlier_queue_id)
        if before is message:
            return
        if (
            before is None
            or not (before.is_whole() or (before.lineage is not None and before.lineage.is_requeued))
            or (event.part == REQUEUED and MESSAGE_ID not in (before.parts or ()))
        ):
            self._await(message.server, event)
            return
        self._messages.hold(before)
        lineage = self.begin(before, message)
        if lineage is None:
            return
        self._messages.links.append((before, message))
        if event.part == LINK:
            before.add_envelope(message.queue_id)
        if event.part == REQUEUED:
            for recipient in before.attempts:
                lineage.handed[recipient] = attempts_on_the_way(before, recipient)
            before.completed_at = max(before.completed_at, event.at)
            return
        if not event.system_user:
            return  # a filter's; else the same message, queued anew by an operator
        lineage.is_requeued = True
        before.requeued_as = message.queue_id
        before.completed_at = max(before.completed_at, event.at)
        self.hand_open(before)
        if self.awaited:  # it may be requeued again before the queue manager has seen it
            self.continue_awaited(message)

    def hand_open(self, before: Message) -> None:
        """The open recipients of a message queued anew go on under its new queue id; the others keep their rows."""
        message = self._messages.find(before.server, before.requeued_as)
        if message is None or message.lineage is None or not message.lineage.is_requeued:
            return
        handed, earlier = message.lineage.handed, before.lineage.handed if before.lineage else {}
        for recipient in dict.fromkeys((*earlier, *before.attempts)):
            attempts = before.attempts.get(recipient, [])
            if attempts and find_status(before, recipient, attempts, 0)[1] not in OPEN:
                handed.pop(recipient, None)
            else:
                handed[recipient] = attempts_on_the_way(before, recipient)
        self._messages.links.append((before, message))
        self._messages.hold(message)
        message.change(list(message.attempts))

    def _await(self, server: str, event: Arrival) -> None:
        """Keep a line that names a message of which no line has arrived yet."""
        awaited = self.awaited
        awaited.setdefault((server, event.earlier_queue_id), {})[event.queue_id] = event
        if len(awaited) > MOST_AWAITED:
            del awaited[next(iter(awaited))]

    def continue_awaited(self, before: Message) -> None:
        """Tie the messages whose lines waited for this one."""
        for event in self.awaited.pop((before.server, before.queue_id), {}).values():
            message = self._messages.servers[before.server].get(event.queue_id)
            if message is not None and message.lineage is None:
                self._messages.touch(message)
                message.change([*message.attempts, *(message.originals or ())])
                self.continue_from(message, event)

    def forward(self, message: Message, event: Attempt) -> None:
        """What a forward made goes on as the recipient, as soon as its message's own origin is known."""
        if not message.is_whole() or (message.lineage is None and CLIENT not in (message.parts or {})):
            return
        known = self._messages.find(message.server, event.next_queue_id)
        next_message = known or begin_message(message.server, event.next_queue_id, event.at)
        self._messages.servers[message.server][event.next_queue_id] = next_message
        is_known = next_message.lineage is not None
        lineage = self.begin(message, next_message)
        if lineage is None or (is_known and lineage.forwarded != event.recipient):
            return
        lineage.forwarded = event.recipient
        message.forwarded = message.forwarded or {}
        message.forwarded.setdefault(event.recipient, False)
        on_the_way = attempts_on_the_way(message, event.recipient)
        lineage.handed[event.recipient] = [one for one in on_the_way if one.handover or one.status in OPEN]
        self._messages.links.append((message, next_message))
        self._messages.touch(next_message)
        next_message.change(list(next_message.attempts))
        if next_message.attempts:
            self.tell_parent(next_message)
        if not is_known:
            self.forward_on(next_message)

    def forward_on(self, message: Message) -> None:
        """What it was forwarded to before its own origin was known."""
        for attempts in list(message.attempts.values()):
            for attempt in attempts:
                if attempt.handover == FORWARD:
                    self.forward(message, attempt)

    def tell_parent(self, message: Message) -> None:
        """What a forward made was tried: from now on that tells what became of the recipient."""
        lineage = message.lineage
        assert lineage is not None
        parent = self._messages.find(message.server, lineage.parent_id())
        if parent is None or parent.forwarded is None:
            return
        self._messages.servers[parent.server][parent.queue_id] = parent
        attempts = parent.attempts.get(lineage.forwarded, ())
        if parent.forwarded.get(lineage.forwarded) is False and any(
            attempt.handover == FORWARD and attempt.next_queue_id == message.queue_id for attempt in attempts
        ):
            parent.forwarded[lineage.forwarded] = True
            self._messages.touch(parent)
            parent.change([lineage.forwarded])
        self._messages.links.append((parent, message))


def attempts_on_the_way(message: Message, recipient: str) -> list[Attempt]:
    """Those before the message got its queue id, and its own."""
    return [*(message.handed_over(recipient) or ()), *message.attempts.get(recipient, ())]
