"""The arrival of a message, in one line or in parts, and what it shows of the messages before and after it.

Invariant: a queue id that begins a new message ends the one before; a line that comes again changes nothing.
"""

from __future__ import annotations

from postwatch.streams.joining.handovers import Handovers
from postwatch.streams.joining.holds import Holds
from postwatch.streams.joining.logins import take_session, with_login
from postwatch.streams.joining.merge import add_part
from postwatch.streams.joining.message import TOLD_BY_OTHERS, Message, is_told_by_others
from postwatch.streams.joining.open_messages import OpenMessages
from postwatch.streams.joining.refusals import told_by_arrival
from postwatch.streams.parsers.events import (
    ANSWERED,
    CLIENT,
    FORWARDED,
    KEPT,
    LOGIN,
    MESSAGE_ID,
    PARENT,
    PROXIED,
    QUEUE,
    WAITS,
    Arrival,
    Attempt,
)
from postwatch.streams.parsers.queue_ids import LOGIN_PREFIX, SESSION_PREFIX
from postwatch.streams.parsers.smtp import is_own


class Arrivals:
    """Adds arrivals to the messages of one partition."""

    def __init__(self, messages: OpenMessages, handovers: Handovers) -> None:
        self._messages = messages
        self._handovers = handovers
        self._lineages = handovers.lineages
        self._returns = handovers.returns
        self._holds = Holds(messages)

    def add_whole(self, message: Message, event: Arrival) -> None:
        """The whole arrival, in one line."""
        if message.arrival is not None:
            if message.return_id:
                self._returns.tie(message)
            if not message.was_parked and not message.completed_at:
                message.is_repeated = True
            return
        message.arrival = with_login(self._messages, message, event) if event.session_id else event
        if message.refusals is not None:
            self._messages.refusals += [(message.server, told) for told in told_by_arrival(message)]
        if message.attempts or message.cancelled_recipients is not None:
            message.was_partial = True
            message.change([*message.attempts, *(message.cancelled_recipients or ())])
        if message.lineage is not None:
            message.change(list(message.lineage.handed))
        if message.was_partial:
            self._handovers.take_again(message)
        if self._lineages.awaited:
            self._lineages.continue_awaited(message)
        client_ip = event.client_ip
        is_here = not client_ip or is_own(client_ip)  # as `is_near`, without the call
        if event.system_user or (is_here and client_ip):
            self._returns.take_back(message)
            if message.return_id:
                self._returns.tie(message)
        if event.message_id:
            if is_here or message.arrival.authenticated_as:
                self._returns.unnamed.append(message)  # given back by nobody far away
            else:
                self._returns.name(message, event.message_id)

    def add_part(self, message: Message, event: Arrival) -> None:
        """One part of an arrival."""
        part = event.part
        if part == ANSWERED:
            self._handovers.verdicts.take_answer(message, event)
            return
        if part == KEPT:
            self._handovers.verdicts.take_kept(message, event)
            return
        if part == WAITS:
            self._holds.note(message, event)
            return
        is_first = message.parts is None and not message.attempts and not message.completed_at
        if part != QUEUE and not is_first and _is_another(message, event):
            message = self._messages.replace(message, event)
        if event.session_id and event.session_id.startswith(LOGIN_PREFIX):
            event = with_login(self._messages, message, event)
        parts, lineage = message.parts, message.lineage
        was_whole = lineage is not None and message.is_whole()
        if (
            event.at != message.queued_at
            and (parts is None or is_told_by_others(parts))
            and part not in TOLD_BY_OTHERS
            and not message.was_seen()
            and not message.is_dated()
        ):
            message.queued_at = event.at  # earlier parts came from lines of other messages about this one
        add_part(message, event)
        if part == CLIENT and (held := self._holds.take(message, event)) is not None:
            add_part(message, held)
        if lineage is not None and not was_whole and message.is_whole():
            message.change(list(lineage.handed))
        if self._lineages.awaited and message.is_whole():
            self._lineages.continue_awaited(message)
        if message.was_parked and part == QUEUE and message.parts is not None and MESSAGE_ID in message.parts:
            self._returns.name_again(message)
        if message.attempts and message.is_whole():
            self._lineages.forward_on(message)
        if part in (MESSAGE_ID, CLIENT) and message.parts is not None and MESSAGE_ID in message.parts:
            client = message.parts.get(CLIENT)
            if client is not None and (not client.client_ip or is_own(client.client_ip)):
                self._returns.take_back(message)
            if client is not None and (message_id := message.parts[MESSAGE_ID].message_id):
                self._returns.name(message, message_id)
        if message.return_id:
            self._returns.tie(message)
        if event.session_id and event.session_id.startswith(SESSION_PREFIX):
            take_session(self._messages, message, event)
        if event.earlier_queue_id and event.earlier_queue_id != PROXIED:
            self._lineages.continue_from(message, event)

    def forward(self, message: Message, event: Attempt) -> None:
        """A forward made a new message for the recipient: its arrival has the message as its parent."""
        made = self._messages.find_or_open(message.server, event.next_queue_id, event.at)
        self.add_part(made, _parent(event, message))
        self._lineages.forward(message, event)


def _parent(event: Attempt, message: Message) -> Arrival:
    """The part that ties a message which a forward made to its parent."""
    return Arrival(
        event.next_queue_id, event.at, event.line, sender=FORWARDED, parent_queue_id=message.queue_id, part=PARENT
    )


def _is_another(message: Message, event: Arrival) -> bool:
    """Whether the event begins a new message with the same queue id. An id that carries a time is never reused."""
    if message.id_time:
        return False
    parts = message.parts
    known = parts.get(event.part) if parts is not None else None
    if known is not None and known.line == event.line:
        return False
    if event.part == CLIENT:
        is_late = (
            known is not None or message.is_complete() or message.attempts or (parts is not None and QUEUE in parts)
        )
    elif event.part == LOGIN and event.queue_id.startswith(LOGIN_PREFIX):
        is_late = message.is_complete()  # the process's number is in use again
    elif event.part == MESSAGE_ID:
        is_over = message.is_complete() and event.at >= message.completed_at
        is_late = parts is not None and (is_over or QUEUE in parts)
    else:
        return False
    return bool(is_late)
