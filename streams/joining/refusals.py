"""What was refused, or taken and thrown away, before it was queued, with what other lines tell of its client.

Invariant: a refusal is a row of its own, unless it ends a message that was handed in here: then its recipients bounce.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from postwatch.streams.contracts.outcome import REJECTED
from postwatch.streams.joining.answers import take_refusal
from postwatch.streams.joining.logins import find_login
from postwatch.streams.joining.merge import add_refusal
from postwatch.streams.joining.message import Message
from postwatch.streams.joining.open_messages import OpenMessages
from postwatch.streams.joining.verdicts import Verdicts
from postwatch.streams.parsers.events import HELD, LOGIN, Arrival, Refusal
from postwatch.streams.parsers.queue_ids import REFUSAL_PREFIX


def take_refused(
    messages: OpenMessages, verdicts: Verdicts, server: str, event: Refusal
) -> tuple[Message, Arrival] | None:
    """Add a refusal. Returns the message that it ends and the part that it tells of that; None: it is a row.

    In a session whose message has a queue id, the login is taken from that message.
    """
    if event.session_id:
        login = find_login(messages, server, event)
        unnamed = msgspec.structs.replace(event, authenticated_as="")
        event = _told_of(unnamed, login.parts[LOGIN]) if login is not None and login.parts else unnamed
    if not event.queue_id.startswith(REFUSAL_PREFIX):
        message = messages.find(server, event.queue_id)
        if message is not None:
            arrival = message.tell_arrival()
            if arrival is not None and not event.authenticated_as and message.parts is not None:
                event = _told_of(event, arrival)  # an arrival in one line comes behind it, unless it is repeated
            messages.hold(message)
            if event.closes:
                message.completed_at = max(message.completed_at, event.at)
                if event.status == REJECTED and arrival is not None and arrival.system_user:
                    return message, _refused_at_home(event)
    if event.awaits_arrival:
        event = _keep(messages, server, event)
    messages.refusals.append((server, event))
    if event.answers_id:
        answers = messages.find_or_open(server, event.answers_id, event.at)
        tell_changed(messages, verdicts, server, take_refusal(answers, event))
    if event.passage_id:
        verdicts.tell_others(server, event)
    return None


def tell_changed(messages: OpenMessages, verdicts: Verdicts, server: str, told: list[Refusal]) -> None:
    """Refusals with the answer that a filter made of theirs, which all recipients of the message were told."""
    for refusal in told:
        messages.refusals.append((server, refusal))
        if refusal.passage_id:
            verdicts.tell_others(server, refusal)


def told_by_arrival(message: Message) -> Iterator[Refusal]:
    """What was refused of a message, with what its arrival's line tells of the client. That line comes behind them."""
    for refusal in message.refusals or ():
        yield _told_by(refusal, message.arrival)


def _keep(messages: OpenMessages, server: str, event: Refusal) -> Refusal:
    message = messages.find_or_open(server, event.queue_id, event.at)
    add_refusal(message, event)
    return _told_by(event, message.arrival)


def _told_by(refusal: Refusal, arrival: Arrival | None) -> Refusal:
    if arrival is None:
        return refusal
    told = _told_of(refusal, arrival)
    return msgspec.structs.replace(told, sender=refusal.sender or arrival.sender, told_by=arrival.line)


def _refused_at_home(event: Refusal) -> Arrival:
    """The sender of a local submission that was refused: a bounce of each recipient follows, but no line of qmgr."""
    return Arrival(event.queue_id, event.at, event.line, sender=event.sender, part=HELD)


def _told_of(refusal: Refusal, client: Arrival) -> Refusal:
    """The refusal with the client's details, and those of the content where it was seen."""
    return msgspec.structs.replace(
        refusal,
        authenticated_as=client.authenticated_as,
        auth_method=client.auth_method,
        system_user=refusal.system_user or client.system_user,
        client_host=refusal.client_host or client.client_host,
        client_ip=refusal.client_ip or client.client_ip,
        message_id=refusal.message_id or (client.message_id if refusal.has_content else ""),
        subject=refusal.subject or (client.subject if refusal.has_content else ""),
    )
