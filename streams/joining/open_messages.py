"""The messages of one partition that are in memory, and what became due by the lines that were just added.

Invariant: a message that changed is in memory and listed as dirty, so its rows are made anew. Of what is closed a
bounded number is remembered: a second shipper of the same file repeats the lines late, and they must begin no message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from postwatch.streams.joining.message import Message, begin_message
from postwatch.streams.joining.recent import Recent
from postwatch.streams.parsers.events import FIRST_PARTS, Arrival, Attempt, Event, Refusal
from postwatch.streams.parsers.queue_ids import PIECE_PREFIX, RETURN_PREFIX

MOST_CLOSED_IDS = 20_000
"""Per server: closed queue ids that carry no time. Their lines are duplicates until the id begins a new message."""
MOST_RECENT = 256
"""Per partition: recently closed messages with a unique queue id. A second shipper of the same file repeats their lines
late; without the message such a line would look like a message without an arrival. About what a record of 128 KiB
holds: more would not fit the processor's cache, and would cost a tenth of the join's speed."""

Find = Callable[[str, str], Message | None]
"""Server and queue id → the message as it was parked, if it was. Raises StoreError where the table can't be read."""


def find_nothing(server: str, queue_id: str) -> Message | None:
    return None


class OpenMessages:
    """By server and queue id."""

    def __init__(self, find_parked: Find) -> None:
        self.find_parked = find_parked
        self.servers: dict[str, dict[str, Message]] = {}
        self.dirty: list[Message] = []
        """The messages whose rows have to be made again."""
        self.refusals: list[tuple[str, Refusal]] = []
        """What was refused since the last rows, by server."""
        self.links: list[tuple[Message, Message]] = []
        """Pairs since the last rows: a message, and one that knows something from it."""
        self.handed_on: set[tuple[Message, str]] = set()
        """Message and recipient pairs whose status another message on the same server tells from now on."""
        self.closed_ids: dict[str, Recent[bool]] = {}
        """Server → closed queue ids. An event of one of these is a duplicate until the id begins a new message."""
        self._recent: Recent[Message] = Recent(MOST_RECENT)
        self._arrivals_looked_up = 0
        """For how many closed messages from now on one of the recent ones may lack its arrival: for the others the
        look-up of each arrival is saved."""

    def __iter__(self) -> Iterator[Message]:
        for messages in self.servers.values():
            yield from messages.values()

    def count(self) -> int:
        """How many there are in memory."""
        return sum([len(messages) for messages in self.servers.values()])

    def find(self, server: str, queue_id: str) -> Message | None:
        """The message in memory, else as it was parked; None: neither. A parked one stays out of memory."""
        return self.servers[server].get(queue_id) or self.find_parked(server, queue_id)

    def find_or_open(self, server: str, queue_id: str, at: int) -> Message:
        """The message in memory, else `open`; listed as dirty."""
        message = self.servers[server].get(queue_id) or self.open(server, queue_id, at)
        self.touch(message)
        return message

    def open(self, server: str, queue_id: str, at: int) -> Message:
        """A message that is not in memory: as it was parked, else a new one of which a line of `at` is the first."""
        message = self.find_parked(server, queue_id)
        if message is None:
            message = begin_message(server, queue_id, at)
        else:
            message.was_parked = True
            message.parked_at = message.read_until
        self.servers[server][queue_id] = message
        return message

    def hold(self, message: Message) -> None:
        """Hold a message that was found in memory, and list it as dirty."""
        self.servers[message.server][message.queue_id] = message
        self.touch(message)

    def touch(self, message: Message) -> None:
        """List a message in memory as dirty."""
        if message.dirty is None:
            message.dirty = []
            self.dirty.append(message)

    def replace(self, known: Message, event: Arrival) -> Message:
        """The queue id begins a new message, or a duplicate of an older message with the same id."""
        message = begin_message(known.server, event.queue_id, event.at)
        if event.at < known.queued_at:
            message.earlier = known
        else:
            if not known.is_complete():
                known.completed_at = event.at
            known.is_settled = True
        self.hold(message)
        return message

    def forget(self, message: Message) -> None:
        """Remove a message that was parked or closed from memory."""
        messages = self.servers[message.server]
        if messages.get(message.queue_id) is message:
            del messages[message.queue_id]
            if message.earlier is not None:
                messages[message.queue_id], message.earlier = message.earlier, None

    def close(self, message: Message) -> None:
        """Forget a message that is done, but for what tells a duplicate line of it: that would look like a message
        without an arrival."""
        server, queue_id = message.server, message.queue_id
        messages = self.servers[server]
        if message.earlier is None and messages.get(queue_id) is message:
            del messages[queue_id]  # as `forget`, without the call
        else:
            self.forget(message)
        if message.parts is None or queue_id.startswith(PIECE_PREFIX):
            self._recent.put((server, queue_id), message)
            if message.arrival is None:
                self._arrivals_looked_up = MOST_RECENT
            elif self._arrivals_looked_up:
                self._arrivals_looked_up -= 1
        elif not message.id_time and not queue_id.startswith(RETURN_PREFIX):
            if queue_id in messages:
                return  # in use again
            closed = self.closed_ids.get(server)
            if closed is None:
                closed = self.closed_ids[server] = Recent(MOST_CLOSED_IDS)
            closed.put(queue_id, True)

    def is_repeated(self, server: str, event: Event) -> bool:
        """Whether the event is a duplicate of a closed message whose queue id may be used again."""
        closed = self.closed_ids.get(server)
        if closed is None or event.queue_id not in closed:
            return False
        if isinstance(event, Arrival) and event.part in FIRST_PARTS:
            closed.drop(event.queue_id)
            return False
        return True

    def revive(self, server: str, event: Event) -> Message | None:
        """A closed message that a crash left in the table: the next one may have been parked without its lineage."""
        if not isinstance(event, Attempt) or not event.handover:
            return None
        message = self.find_parked(server, event.queue_id)
        if message is not None:
            self.servers[server][event.queue_id] = message
        return message

    def admit(self, server: str, event: Event) -> Message:
        """The message of an event that is not in memory: closed recently, or as it was parked, else a new one."""
        if type(event) is not Arrival or self._arrivals_looked_up:
            message = self._reopen(server, event)
            if message is not None:
                return message
        return self.open(server, event.queue_id, event.at)

    def _reopen(self, server: str, event: Event) -> Message | None:
        """A recently closed message, for a late-arriving event.

        An arrival begins a new message, unless the closed one had none and its rows are under no account.
        """
        message = self._recent.get((server, event.queue_id))
        if message is None or (isinstance(event, Arrival) and message.arrival is not None):
            return None
        self._arrivals_looked_up = MOST_RECENT  # a part of an arrival that comes now would take its arrival away
        self.servers[server][event.queue_id] = message
        return message
