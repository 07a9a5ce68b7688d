"""Who a client is, where the log tells that of its connection or of the process that serves it, not of the message.

Invariant: a line that names another login than the process told is nobody's, for strangers write such lines.
"""

from __future__ import annotations

import msgspec
from postwatch.streams.joining.merge import add_part
from postwatch.streams.joining.message import Message
from postwatch.streams.joining.open_messages import OpenMessages
from postwatch.streams.parsers.events import LOGIN, Arrival, Refusal


def take_session(messages: OpenMessages, message: Message, event: Arrival) -> None:
    """Copy to the message what the log told of the connection that it was received on."""
    session = messages.find(message.server, event.session_id)
    if session is None or session is message or session.parts is None:
        return
    messages.hold(session)
    messages.links.append((session, message))
    for part in session.parts.values():
        add_part(message, msgspec.structs.replace(part, queue_id=message.queue_id))


def with_login(messages: OpenMessages, message: Message, event: Arrival) -> Arrival:
    """The arrival with the login of the process that received it."""
    login = find_login(messages, message.server, event)
    if login is None or not login.parts:
        return msgspec.structs.replace(event, authenticated_as="")
    messages.links.append((login, message))
    told = login.parts[LOGIN]
    return msgspec.structs.replace(event, authenticated_as=told.authenticated_as, auth_method=told.auth_method)


def find_login(messages: OpenMessages, server: str, event: Arrival | Refusal) -> Message | None:
    """The login that a process logged for its client; None where there is none, or the line names another one."""
    login = messages.find(server, event.session_id)
    told = login.parts.get(LOGIN) if login is not None and login.parts else None
    if login is None or told is None or told.at > event.at:
        return None
    names = (told.authenticated_as,) if isinstance(event, Refusal) else ("", told.authenticated_as)
    if event.authenticated_as not in names:
        return None
    messages.hold(login)
    return login
