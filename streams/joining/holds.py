"""What Postfix puts on hold at a command, before the message has a queue id (`NOQUEUE: hold: RCPT from …`).

Invariant: the hold is of the message that the same process takes next from the same address, within a second. A
stranger can't write the line of that process. It is none's whose recipient was refused after all.

The holds of a server are listed in one entry, which is parked as messages are. So a client's line costs one look into
a dict, and after a crash one into the table for each server.
"""

from __future__ import annotations

from postwatch.streams.contracts.outcome import DEFERRED
from postwatch.streams.joining.merge import add_attempt
from postwatch.streams.joining.message import Message
from postwatch.streams.joining.open_messages import OpenMessages
from postwatch.streams.parsers.events import HELD, ON_HOLD, Arrival, Attempt
from postwatch.streams.parsers.queue_ids import HOLDS_ID, answers_of
from postwatch.streams.parsers.syslog import process_in

MOST_HOLDS = 50
"""Of a server, the last ones."""
_LATE_MS = 1_000
"""The queue file is made as soon as the first recipient is accepted; stamps may be in whole seconds."""


class Holds:
    """Of the servers of one partition."""

    def __init__(self, messages: OpenMessages) -> None:
        self._messages = messages
        self._entries: dict[str, Message | None] = {}
        """By server; None: there is none."""

    def note(self, entry: Message, event: Arrival) -> None:
        """A message that has no queue id yet is put on hold."""
        parts = entry.parts = entry.parts or {}
        parts[event.line] = event
        if len(parts) > MOST_HOLDS:
            del parts[min(parts, key=lambda line: parts[line].at)]
        entry.completed_at = max(entry.completed_at, event.at)
        self._entries[entry.server] = entry

    def take(self, message: Message, client: Arrival) -> Arrival | None:
        """The message that its client's line shows: the part that tells of the hold; None: it is not on hold."""
        server = message.server
        if server not in self._entries:
            self._entries[server] = self._messages.find(server, HOLDS_ID)
        entry = self._entries[server]
        if entry is None or not entry.parts:
            return None
        near = [
            part
            for part in entry.parts.values()
            if part.client_ip == client.client_ip and 0 <= client.at - part.at <= _LATE_MS
        ]
        process = process_in(client.line, f"{client.queue_id}: client=") if near else ""
        found = [part for part in near if process and part.session_id == process and not self._is_refused(server, part)]
        if len({part.sender for part in found}) != 1:
            return None
        self._messages.hold(entry)
        self._messages.links.append((entry, message))
        for part in found:
            [recipient] = part.recipients or ("",)
            if recipient:
                waits = Attempt(
                    message.queue_id, part.at, part.line, DEFERRED, False, recipient=recipient, response=ON_HOLD
                )
                add_attempt(message, waits)
        return Arrival(message.queue_id, found[0].at, found[0].line, sender=found[0].sender, part=HELD)

    def _is_refused(self, server: str, hold: Arrival) -> bool:
        answers = self._messages.find(server, answers_of("", hold.session_id))
        return answers is not None and any(
            one.recipient in hold.recipients and one.at >= hold.at for one in answers.refusals or ()
        )
