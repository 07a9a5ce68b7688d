"""Ties what a program or filter of a server gave back without naming a queue id, and what a mailbox's rule sent on.

Invariant: what may be tied is listed in an entry for its Message-ID, which is parked as messages are, so that the tie
comes about whichever line is first and after a crash. `returned` has the rules of what is tied.
"""

from __future__ import annotations

from postwatch.streams.joining.lineages import Lineages, attempts_on_the_way
from postwatch.streams.joining.message import Message
from postwatch.streams.joining.open_messages import OpenMessages
from postwatch.streams.joining.returned import (
    GIVEN,
    STORED,
    TAKEN,
    Group,
    as_handed,
    find_redirects,
    find_ties,
    into_mailbox,
    is_given,
    is_redirected,
    may_be_given,
    may_be_taken,
    message_id_of,
    note_member,
    redirects_of,
    source_of,
)
from postwatch.streams.parsers.events import Arrival, Attempt
from postwatch.streams.parsers.queue_ids import return_entry
from postwatch.streams.parsers.smtp import is_near

MOST_NAMED = 10_000
"""Per partition: Message-IDs of the last messages. A filter gives a message back while that is being delivered."""


class ReturnTies:
    """The entries of one partition, and the Message-IDs that were seen lately."""

    def __init__(self, messages: OpenMessages, lineages: Lineages) -> None:
        self._messages = messages
        self._lineages = lineages
        self._named: dict[tuple[str, str], str] = {}
        """Server and Message-ID → the last message that has it."""
        self.unnamed: list[Message] = []
        """Messages to be added there before one is looked up, or when rows are made, if they are still open."""
        self.has_entries = False
        """An entry of messages that may have been given back was in memory: before, none can be found in there."""

    def name_waiting(self) -> None:
        """What is complete was not given to a filter that gives it back later."""
        for message in self.unnamed:
            if not message.completed_at and message.arrival is not None:
                self._named[message.server, message.arrival.message_id] = message.queue_id
        self.unnamed.clear()

    def keep_bounded(self) -> None:
        """Forget the older half of the Message-IDs once they are too many."""
        if len(self._named) > MOST_NAMED:
            self._named = dict(list(self._named.items())[MOST_NAMED // 2 :])

    def name_again(self, message: Message) -> None:
        """A parked message is tried again, or was found in the table."""
        message_id = message_id_of(message)
        if message_id:
            self._named.setdefault((message.server, message_id), message.queue_id)

    def name(self, message: Message, message_id: str) -> None:
        """Note the Message-ID. What comes from a far client may be an earlier message that has it, given back."""
        if self.unnamed:
            self.name_waiting()
        known_id = self._named.setdefault((message.server, message_id), message.queue_id)
        if known_id != message.queue_id:
            self._meet(message, known_id, message_id)

    def _meet(self, message: Message, known_id: str, message_id: str) -> None:
        self._named[message.server, message_id] = message.queue_id
        source = source_of(message)
        if source is None or message.lineage is not None or is_near(source.client_ip):
            return
        if not may_be_taken(source, is_named_twice=True):
            return
        known = self._messages.find(message.server, known_id)
        if known is None:
            return
        was_parked = known.was_parked or known_id not in self._messages.servers[message.server]
        self._messages.hold(known)
        other = source_of(known)
        # What was parked may be ahead of the lines that are read again after a crash: then it is its time that counts.
        is_over = known.is_complete() and (not was_parked or known.completed_at < source.at)
        if is_over or other is None or (source.client_ip == other.client_ip and not known.return_id):
            return  # too late, or a list's other recipients
        self._list(known, GIVEN, other)
        self._list(message, TAKEN, source)
        self.tie(message)

    def take_back(self, message: Message) -> None:
        """List a message that a program or filter of this server may have made of an earlier one."""
        source = source_of(message)
        is_named_twice = message.return_id != ""
        if (
            source is not None
            and may_be_taken(source, is_named_twice)
            and (message.lineage is None or message.lineage.is_returned)
        ):
            self._list(message, TAKEN, source)

    def give(self, message: Message, event: Attempt) -> None:
        """List a message of which a recipient went to what may be a filter."""
        name = return_entry(message_id_of(message))
        entry = self._messages.find(message.server, name) if name else None
        if entry is not None:
            self._messages.hold(entry)
        if name and may_be_given(message, event) and (entry is not None or is_given(message, event)):
            self._list(message, GIVEN, event)
        if entry is not None and is_redirected(redirects_of(entry), event):
            self._list(message, STORED, event)

    def redirect(self, entry: Message, event: Attempt) -> None:
        """A mailbox's rule sent a copy on, under the entry's Message-ID."""
        self.has_entries = True
        entry.completed_at = max(entry.completed_at, event.at)
        entry.is_settled = False
        self._tie_redirects(self._find_group(entry))

    def _list(self, message: Message, kind: str, event: Arrival | Attempt) -> None:
        name = return_entry(message_id_of(message))
        if not name:
            return
        self.has_entries = True
        entry = self._messages.find_or_open(message.server, name, event.at)
        note_member(entry, kind, message, event)
        entry.is_settled = False
        message.return_id = name

    def tie(self, message: Message, event: Attempt | None = None) -> None:
        """Tie what was given back, as far as the message, or its recipient of that attempt, now shows it."""
        self.take_back(message)  # a crash may have parked it without its entry
        entry = self._messages.find_or_open(message.server, message.return_id, message.queued_at)
        group = self._find_group(entry)
        if event is None or message.queue_id in group.taken or is_redirected(group.redirects, event):
            self._tie_redirects(group)
        if not group.given or not group.taken:
            return
        named: tuple[str, ...] = ()
        if event is not None and (len(group.taken) == 1 or len(message.attempts) > 1):
            named = (event.recipient, event.original_recipient)
        recipients: dict[str, None] = {}
        for before in group.given.values():
            if not named or (before.originals and not before.originals.keys().isdisjoint(named)):
                recipients.update(dict.fromkeys(before.attempts))
            else:
                recipients.update((name, None) for name in named if name in before.attempts)
        for recipient in recipients:
            self._tie_recipient(group, recipient)

    def _find_group(self, entry: Message) -> Group:
        """The messages that the entry lists."""
        self._messages.touch(entry)
        group = Group({}, {}, {}, list(redirects_of(entry)))
        for part in (entry.parts or {}).values():
            member = self._messages.find(entry.server, part.earlier_queue_id)
            if member is None or return_entry(message_id_of(member)) != entry.queue_id:
                continue
            self._messages.hold(member)
            if part.part.startswith(GIVEN):
                group.given[member.queue_id] = member
            elif part.part.startswith(STORED):
                group.stored[member.queue_id] = member
            elif member.lineage is None or member.lineage.is_returned:
                group.taken[member.queue_id] = member
        return group

    def _tie_redirects(self, group: Group) -> None:
        """What the rule of a mailbox sent on goes on as its recipient, under the first queue id."""
        for tie in find_redirects(group):
            if tie.message.lineage is not None or tie.redirect is None:
                continue
            lineage = self._lineages.begin(tie.before, tie.message)
            if lineage is None:
                continue
            lineage.is_returned = True
            lineage.forwarded = tie.attempt.recipient
            lineage.lines.append(tie.redirect.line)
            lineage.handed[tie.attempt.recipient] = [into_mailbox(tie.attempt)]
            self._messages.links.append((tie.before, tie.message))
            tie.message.change(list(tie.message.attempts))

    def _tie_recipient(self, group: Group, recipient: str) -> None:
        for tie in find_ties(group, recipient):
            known = tie.message.lineage
            if known is not None and (recipient in known.handed or known.forwarded):
                continue
            lineage = self._lineages.begin(tie.before, tie.message)
            if lineage is None:
                continue
            lineage.is_returned = True
            lineage.handed[recipient] = as_handed(attempts_on_the_way(tie.before, recipient))
            self._messages.links.append((tie.before, tie.message))
            tie.message.change([recipient, *tie.message.attempts])
            self._messages.handed_on.add((tie.before, recipient))
