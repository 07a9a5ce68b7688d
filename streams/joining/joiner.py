"""The join: events of messages in, delivery rows out. Pure; time comes in as an argument.

A message is the set of its events, and a row is a function of that set. So the order of lines, duplicates and the cut
into records change no row. An MTA may reuse a queue id. A message that passes a content filter on its server has two
or more queue ids: `message.Lineage` ties them together, whichever line comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec
from postwatch.streams.contracts.outcome import DELIVERED, REJECTED, Outcome
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.enrichment.reasons import BUILT_IN, ReasonBook
from postwatch.streams.errors import StoreError
from postwatch.streams.joining.answers import take_answer, take_refusal
from postwatch.streams.joining.entries import take_piece, unfinished_pieces
from postwatch.streams.joining.groups import name_recipients
from postwatch.streams.joining.merge import add_attempt, add_lifecycle_event, add_part, add_refusal
from postwatch.streams.joining.message import (
    TOLD_BY_OTHERS,
    Lineage,
    Message,
    all_lines,
    arrival_lines,
    begin_message,
    is_told_by_others,
)
from postwatch.streams.joining.passages import (
    by_mailbox,
    decide,
    is_about_kept,
    judge,
    kept_back,
    note_asker,
    note_kept,
    others_refused,
    refusals_of,
)
from postwatch.streams.joining.recent import Recent
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
from postwatch.streams.joining.rows import RowMaker
from postwatch.streams.joining.status import OPEN, find_status
from postwatch.streams.joining.tries import take_step
from postwatch.streams.parsers.events import (
    ANSWERED,
    CLIENT,
    FILTER,
    FILTERED,
    FORWARD,
    FORWARDED,
    GROUPED,
    HELD,
    JUDGED,
    KEPT,
    LAST_PIECE,
    LINK,
    LOGIN,
    MESSAGE_ID,
    PARENT,
    PIECE,
    PROXIED,
    QUEUE,
    REDIRECTED,
    REQUEUED,
    TOLD,
    Arrival,
    Attempt,
    Event,
    Ignored,
    LifecycleEvent,
    Refusal,
    Step,
    Unreadable,
)
from postwatch.streams.parsers.exim.pieces import put_together
from postwatch.streams.parsers.queue_ids import (
    ANSWER_PREFIX,
    DOVECOT_PREFIX,
    LOGIN_PREFIX,
    PASSAGE_PREFIX,
    PIECE_PREFIX,
    REFUSAL_PREFIX,
    RETURN_PREFIX,
    SESSION_PREFIX,
    return_entry,
)
from postwatch.streams.parsers.smtp import is_near, is_own

EARLIER_BY_MS = 2 * 3_600_000
"""A line that is older than its message by more than this belongs to an earlier message with the same queue id."""
_NO_PARTS_OF_ARRIVALS = frozenset((ANSWERED, KEPT, PIECE, LAST_PIECE))
_WITHOUT_ROWS = (PASSAGE_PREFIX, RETURN_PREFIX, ANSWER_PREFIX)
MOST_CLOSED_IDS = 20_000
"""Per server: closed queue ids that carry no time. Their lines are duplicates until the id begins a new message."""
LOST_PIECE = "an entry of which a piece is missing"
MOST_AWAITED = 1_000
"""Per partition: queue ids that a filter names before their own lines arrive."""
MOST_NAMED = 10_000
"""Per partition: Message-IDs of the last messages. A filter gives a message back while that is being delivered."""
MOST_RECENT = 256
"""Per partition: recently closed messages with a unique queue id. A second shipper of the same file repeats their lines
late; without the message such a line would look like a message without an arrival. About what a record of 128 KiB
holds: more would not fit the processor's cache, and would cost a tenth of the join's speed."""


class Failure(NamedTuple):
    """A message on which the join failed, which is a fault of Postwatch; or an entry that can't be read. Its lines
    become dead letters."""

    server: str
    queue_id: str
    lines: tuple[str, ...]
    error: Exception | None
    reason: str = ""
    """Why the lines can't be read, where the join did not fail."""


Find = Callable[[str, str], Message | None]
"""Server and queue id → the message as it was parked, if it was. Raises StoreError where the table can't be read."""


def _find_nothing(server: str, queue_id: str) -> Message | None:
    return None


WasClosed = Callable[[str, str], bool]
"""Server and queue id → whether the record that is added was read before, and that message is closed for good."""


def _closed_none(server: str, queue_id: str) -> bool:
    return False


class Joiner:
    """The open messages of one partition, and the messages whose rows have to be made again."""

    def __init__(
        self,
        accounts: AccountBook,
        find_parked: Find = _find_nothing,
        keep_lines: bool = True,
        reasons: ReasonBook = BUILT_IN,
        was_closed: WasClosed = _closed_none,
    ) -> None:
        self._rows = RowMaker(accounts, reasons, keep_lines)
        self._find_parked = find_parked
        self._was_closed = was_closed
        self._offset = -1
        """Of the record that is being added."""
        self._servers: dict[str, dict[str, Message]] = {}
        self._closed_ids: dict[str, Recent[bool]] = {}
        """Server → closed queue ids. An event of one of these is a duplicate until the id begins a new message."""
        self._recent: Recent[Message] = Recent(MOST_RECENT)
        self._saved: Recent[tuple[Message, Attempt]] = Recent(MOST_RECENT)
        """By Dovecot's id of the delivery: its line about what a script did may come when the message is closed."""
        self._dirty: list[Message] = []
        self._refusals: list[tuple[str, Refusal]] = []
        self._links: list[tuple[Message, Message]] = []
        self._failures: list[Failure] = []
        self.links: list[tuple[Message, Message]] = []
        """Pairs of the last `take_dirty`: a message, and the message that has its lineage from it."""
        self._awaited: dict[tuple[str, str], dict[str, Arrival]] = {}
        """Server and queue id → later messages that name this id as their earlier one, before its own lines came."""
        self._named: dict[tuple[str, str], str] = {}
        """Server and Message-ID → the last message that has it."""
        self._unnamed: list[Message] = []
        """Messages to be added there before one is looked up, or when rows are made, if they are still open."""
        self._has_returns = False
        """An entry of messages that may have been given back was in memory: before, none can be found in there."""
        self._handed_on: set[tuple[Message, str]] = set()
        """Message and recipient pairs whose status another message on the same server tells from now on."""

    def open_messages(self) -> Iterator[Message]:
        for messages in self._servers.values():
            yield from messages.values()

    def forget(self, message: Message) -> None:
        """Remove a message that was parked or closed from memory."""
        messages = self._servers[message.server]
        if messages.get(message.queue_id) is message:
            del messages[message.queue_id]
            if message.earlier is not None:
                messages[message.queue_id], message.earlier = message.earlier, None

    def add(self, server: str, events: Iterable[Event], offset: int = -1) -> None:
        """Add events of one server; a duplicate changes nothing. One loop: it runs for every line.

        `offset`: the place of their record in the stream; negative: not known.

        An event on which the join fails costs its message, see `take_failures`, and no other one.
        """
        messages = self._servers.setdefault(server, {})
        self._offset = offset
        for event in events:
            try:
                message = messages.get(event.queue_id)
                if message is None:
                    if isinstance(event, Refusal):
                        self._add_refusal(messages, server, event)
                        continue
                    if (
                        type(event) is Attempt
                        and event.status == DELIVERED
                        and event.queue_id.startswith(DOVECOT_PREFIX)
                        and self._find_parked(server, event.queue_id) is None
                    ):
                        continue  # of interest only where the script discards as well, and it says that first
                    if self._closed_ids and self._is_repeated(server, event):
                        message = self._revive(server, event)
                        if message is None:
                            continue
                    else:
                        message = self._reopen(server, event) or self._open(server, event.queue_id, event.at)
                if (
                    message.parts is not None
                    and event.at < message.queued_at - EARLIER_BY_MS
                    and _is_earlier(message, event)
                ):
                    self._touch(message)
                    continue
                if message.dirty is None:
                    message.dirty = []
                    self._dirty.append(message)
                if isinstance(event, Arrival):
                    if event.part:
                        self._add_part(messages, message, event)
                    else:
                        self._add_arrival(messages, message, event)
                elif isinstance(event, Attempt):
                    add_attempt(message, event)
                    if event.handover or event.passage_id:
                        self._hand_over(messages, message, event)
                    elif event.status == DELIVERED and (
                        self._has_returns
                        or message.was_parked
                        or (message.parts and (event.transport == "pipe" or is_own(event.remote_ip)))
                    ):
                        self._give(messages, message, event)
                    if message.return_id or message.requeued_as:
                        if message.return_id:
                            self._tie_returned(messages, message, event)
                        if message.requeued_as:
                            self._hand_open(messages, message)
                    if "" in message.attempts:
                        message.dirty += ("", message.only_recipient())
                    if message.lineage is not None:
                        if message.lineage.forwarded:
                            self._tell_parent(messages, message)
                        else:
                            message.dirty += message.unqualified()
                elif isinstance(event, LifecycleEvent):
                    add_lifecycle_event(message, event)
                elif isinstance(event, Refusal):
                    self._add_refusal(messages, server, event)
                else:
                    if event.kind in (FILTERED, TOLD):
                        self._refusals += [(server, told) for told in take_answer(message, event, offset)]
                        continue
                    is_grouped = event.kind == GROUPED
                    told = name_recipients(message, event) if is_grouped else take_step(message, event, offset)
                    self.add(server, told, offset)
            except (StoreError, MemoryError):
                raise
            except Exception as error:
                self._fail_on(server, event, error)

    def _add_arrival(self, messages: dict[str, Message], message: Message, event: Arrival) -> None:
        """The whole arrival, in one line."""
        if message.arrival is not None:
            if message.return_id:
                self._tie_returned(messages, message)
            if not message.was_parked and not message.completed_at:
                message.is_repeated = True
            return
        message.arrival = self._with_login(messages, message, event) if event.session_id else event
        if message.attempts or message.cancelled_recipients is not None:
            message.was_partial = True
            message.change([*message.attempts, *(message.cancelled_recipients or ())])
        if message.lineage is not None:
            message.change(list(message.lineage.handed))
        if message.was_partial:
            self._hand_over_again(messages, message)
        if self._awaited:
            self._continue_awaited(messages, message)
        if event.system_user or is_own(event.client_ip):
            self._take_back(messages, message)
            if message.return_id:
                self._tie_returned(messages, message)
        if event.message_id:
            if message.arrival.authenticated_as or is_near(event.client_ip):
                self._unnamed.append(message)  # given back by nobody far away
                return
            if self._unnamed:
                self._name_messages()
            known_id = self._named.setdefault((message.server, event.message_id), message.queue_id)
            if known_id != message.queue_id:
                self._meet(messages, message, known_id, event.message_id)

    def _name_messages(self) -> None:
        """What is complete was not given to a filter that gives it back later."""
        for message in self._unnamed:
            if not message.completed_at and message.arrival is not None:
                self._named[message.server, message.arrival.message_id] = message.queue_id
        self._unnamed.clear()

    def _is_repeated(self, server: str, event: Arrival | Attempt | LifecycleEvent | Step) -> bool:
        closed = self._closed_ids.get(server)
        if closed is None or event.queue_id not in closed:
            return False
        if isinstance(event, Arrival) and event.part in (CLIENT, MESSAGE_ID, LOGIN):
            closed.drop(event.queue_id)
            return False
        return True

    def _revive(self, server: str, event: Arrival | Attempt | LifecycleEvent | Step) -> Message | None:
        """A closed message that a crash left in the table: the next one may have been parked without its lineage."""
        if not isinstance(event, Attempt) or not event.handover:
            return None
        message = self._find_parked(server, event.queue_id)
        if message is not None:
            self._servers[server][event.queue_id] = message
        return message

    def _remember(self, message: Message) -> None:
        """Remember a closed queue id: a duplicate line of it would look like a message without an arrival."""
        if message.queue_id in self._servers[message.server]:
            return  # in use again
        closed = self._closed_ids.get(message.server)
        if closed is None:
            closed = self._closed_ids[message.server] = Recent(MOST_CLOSED_IDS)
        closed.put(message.queue_id, True)

    def _reopen(self, server: str, event: Arrival | Attempt | LifecycleEvent | Step) -> Message | None:
        """A recently closed message, for a late-arriving event.

        An arrival begins a new message, unless the closed one had none and its rows are under no account.
        """
        message = self._recent.get((server, event.queue_id))
        if message is None or (isinstance(event, Arrival) and message.arrival is not None):
            return None
        self._servers[server][event.queue_id] = message
        return message

    def _open(self, server: str, queue_id: str, at: int) -> Message:
        message = self._find_parked(server, queue_id)
        if message is None:
            message = begin_message(server, queue_id, at)
        else:
            message.was_parked = True
            message.parked_at = message.read_until
        self._servers[server][queue_id] = message
        return message

    def _find_known(self, server: str, queue_id: str) -> Message | None:
        """The message in memory, else as it was parked; None: neither. A parked one stays out of memory."""
        return self._servers[server].get(queue_id) or self._find_parked(server, queue_id)

    def _touch(self, message: Message) -> None:
        if message.dirty is None:
            message.dirty = []
            self._dirty.append(message)

    def _add_part(self, messages: dict[str, Message], message: Message, event: Arrival) -> None:
        part = event.part
        if part in _NO_PARTS_OF_ARRIVALS:
            if part == ANSWERED:
                self._take_answer(messages, message, event)
            elif part == KEPT:
                self._take_kept(messages, message, event)
            else:
                self._take_piece(messages, message, event)
            return
        is_first = message.parts is None and not message.attempts and not message.completed_at
        if part != QUEUE and not is_first and _is_another(message, event):
            message = self._replace(messages, message, event)
        if event.session_id and event.session_id.startswith(LOGIN_PREFIX):
            event = self._with_login(messages, message, event)
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
        if lineage is not None and not was_whole and message.is_whole():
            message.change(list(lineage.handed))
        if self._awaited and message.is_whole():
            self._continue_awaited(messages, message)
        if message.was_parked and part == QUEUE and message.parts is not None and MESSAGE_ID in message.parts:
            self._named.setdefault((message.server, message_id_of(message)), message.queue_id)  # it is tried again
        if message.attempts and message.is_whole():
            self._forward_on(messages, message)
        if part in (MESSAGE_ID, CLIENT) and message.parts is not None and MESSAGE_ID in message.parts:
            client = message.parts.get(CLIENT)
            if client is not None and (not client.client_ip or is_own(client.client_ip)):
                self._take_back(messages, message)
            if client is not None and (message_id := message.parts[MESSAGE_ID].message_id):
                if self._unnamed:
                    self._name_messages()
                known_id = self._named.setdefault((message.server, message_id), message.queue_id)
                if known_id != message.queue_id:
                    self._meet(messages, message, known_id, message_id)
        if message.return_id:
            self._tie_returned(messages, message)
        if event.session_id and event.session_id.startswith(SESSION_PREFIX):
            self._take_session(messages, message, event)
        if event.earlier_queue_id and event.earlier_queue_id != PROXIED:
            self._continue(messages, message, event)

    def _take_piece(self, messages: dict[str, Message], process: Message, event: Arrival) -> None:
        """A piece of an entry. The message of a whole entry is retained with its pieces, to be read again with them."""
        pieces, lost = take_piece(process, event, self._offset)
        if lost:
            self._failures.append(_unread(process, lost, LOST_PIECE))
        parsed = put_together(pieces) if pieces else None
        if parsed is None or isinstance(parsed, Ignored):
            return
        if isinstance(parsed, Unreadable):
            self._failures.append(_unread(process, pieces, parsed.reason))
            return
        events = [
            one
            for one in (parsed if isinstance(parsed, list) else [parsed])
            if not self._was_closed(process.server, one.queue_id)
        ]
        self.add(process.server, events, self._offset)
        for one in events:
            if one.queue_id in messages:
                self._links.append((process, messages[one.queue_id]))

    def _replace(self, messages: dict[str, Message], known: Message, event: Arrival) -> Message:
        """The queue id begins a new message, or a duplicate of an older message with the same id."""
        message = begin_message(known.server, event.queue_id, event.at)
        if event.at < known.queued_at:
            message.earlier = known
        else:
            if not known.is_complete():
                known.completed_at = event.at
            known.is_settled = True
        messages[event.queue_id] = message
        self._touch(message)
        return message

    def _add_refusal(self, messages: dict[str, Message], server: str, event: Refusal) -> None:
        """Add a refusal. In a session whose message has a queue id, the login is taken from that message."""
        if event.session_id:
            login = self._find_login(messages, server, event)
            unnamed = msgspec.structs.replace(event, authenticated_as="")
            event = _told_of(unnamed, login.parts[LOGIN]) if login is not None and login.parts else unnamed
        if not event.queue_id.startswith(REFUSAL_PREFIX):
            message = self._find_known(server, event.queue_id)
            if message is not None:
                messages[event.queue_id] = message
                arrival = message.tell_arrival()
                if arrival is not None and not event.authenticated_as and message.parts is not None:
                    event = _told_of(event, arrival)  # an arrival in one line comes behind it, unless it is repeated
                self._touch(message)
                if event.closes:
                    message.completed_at = max(message.completed_at, event.at)
                    if event.status == REJECTED and arrival is not None and arrival.system_user:
                        self._add_part(messages, message, _refused_at_home(event))
                        return
        self._refusals.append((server, event))
        if event.answers_id:
            answers = messages.get(event.answers_id) or self._open(server, event.answers_id, event.at)
            self._touch(answers)
            self._refusals += [(server, told) for told in take_refusal(answers, event)]
        if event.passage_id:
            self._tell_others(messages, server, event)

    def _tell_others(self, messages: dict[str, Message], server: str, event: Refusal) -> None:
        """The filter's own lines name the other recipients of a message that was refused or thrown away."""
        passage = messages.get(event.passage_id) or self._open(server, event.passage_id, event.at)
        self._touch(passage)
        add_refusal(passage, event)
        passage.completed_at = max(passage.completed_at, event.at)
        for origin in (event.session_id, event.queue_id):
            known = messages.get(origin)
            if known is not None:
                self._links.append((known, passage))
        self._refusals += [(server, refusal) for refusal in others_refused(passage)]

    def _hand_over(self, messages: dict[str, Message], message: Message, event: Attempt) -> None:
        """The recipient continues under another queue id on this server."""
        if event.passage_id.startswith(DOVECOT_PREFIX):
            self._saved.put((message.server, event.passage_id), (message, event))
            passage = self._find_known(message.server, event.passage_id)
            if passage is not None:
                self._heed_script(messages, passage)
            if self._has_returns or message.was_parked:
                self._give(messages, message, event)
            return
        if event.handover == REDIRECTED:
            self._has_returns = True
            message.completed_at = max(message.completed_at, event.at)
            message.is_settled = False
            self._tie_redirects(self._find_group(messages, message))
            return
        if event.handover == JUDGED:
            if message.queue_id.startswith(PASSAGE_PREFIX):
                self._take_verdict(messages, message, event)
            else:
                self._keep_back(messages, message, event)
            return
        if event.passage_id and not event.told_by:
            self._ask_filter(messages, message, event)
            return
        next_message = messages.get(event.next_queue_id)
        if event.handover == FORWARD:
            if next_message is None:
                next_message = self._open(message.server, event.next_queue_id, event.at)
            self._touch(next_message)
            self._add_part(messages, next_message, _parent(event, message))
            self._forward(messages, message, event)
            return
        if event.handover != FILTER or event.next_queue_id == message.queue_id or not message.is_whole():
            return
        if any(one.handover == JUDGED for one in message.attempts.get(event.recipient, ())):
            return  # the filter went on with other recipients
        if next_message is None:
            next_message = self._open(message.server, event.next_queue_id, event.at)
        is_new = next_message.lineage is None
        lineage = self._lineage(message, next_message)
        if lineage is None:
            return
        if is_new and next_message.envelopes:
            self._pass_lineage_on(messages, next_message)
        lineage.handed[event.recipient] = self._attempts_on_the_way(message, event.recipient)
        if next_message.return_id and not lineage.is_returned:
            self._unlist(messages, next_message)
        self._links.append((message, next_message))
        self._touch(next_message)
        if next_message.was_seen():
            next_message.change([event.recipient, *next_message.attempts])
            self._handed_on.add((message, event.recipient))

    def _meet(self, messages: dict[str, Message], message: Message, known_id: str, message_id: str) -> None:
        """Another message has the same Message-ID. What comes from a far client may be that one, given back."""
        self._named[message.server, message_id] = message.queue_id
        source = source_of(message)
        if source is None or message.lineage is not None or is_near(source.client_ip):
            return
        known = self._find_known(message.server, known_id) if may_be_taken(source, is_named_twice=True) else None
        if known is None:
            return
        messages[known_id] = known
        self._touch(known)
        other = source_of(known)
        if known.is_complete() or other is None or (source.client_ip == other.client_ip and not known.return_id):
            return  # too late, or a list's other recipients
        self._list(messages, known, GIVEN, other)
        self._list(messages, message, TAKEN, source)
        self._tie_returned(messages, message)

    def _take_back(self, messages: dict[str, Message], message: Message) -> None:
        """List a message that a program or filter of this server may have made of an earlier one."""
        source = source_of(message)
        is_named_twice = message.return_id != ""
        if (
            source is not None
            and may_be_taken(source, is_named_twice)
            and (message.lineage is None or message.lineage.is_returned)
        ):
            self._list(messages, message, TAKEN, source)

    def _give(self, messages: dict[str, Message], message: Message, event: Attempt) -> None:
        """List a message of which a recipient went to what may be a filter."""
        name = return_entry(message_id_of(message))
        entry = self._find_known(message.server, name) if name else None
        if entry is not None:
            messages[name] = entry
            self._touch(entry)
        if name and may_be_given(message, event) and (entry is not None or is_given(message, event)):
            self._list(messages, message, GIVEN, event)
        if entry is not None and is_redirected(redirects_of(entry), event):
            self._list(messages, message, STORED, event)

    def _list(self, messages: dict[str, Message], message: Message, kind: str, event: Arrival | Attempt) -> None:
        name = return_entry(message_id_of(message))
        if not name:
            return
        self._has_returns = True
        entry = messages.get(name) or self._open(message.server, name, event.at)
        self._touch(entry)
        note_member(entry, kind, message, event)
        entry.is_settled = False
        message.return_id = name

    def _unlist(self, messages: dict[str, Message], message: Message) -> None:
        """A filter's answer named the message. An entry that lists it alone is done with."""
        entry = self._find_known(message.server, message.return_id)
        if entry is not None and entry.parts is not None and len(entry.parts) == 1:
            messages[entry.queue_id] = entry
            self._touch(entry)
            entry.is_settled = True
        message.return_id = ""

    def _tie_returned(self, messages: dict[str, Message], message: Message, event: Attempt | None = None) -> None:
        """Tie what was given back, as far as the message, or its recipient of that attempt, now shows it."""
        self._take_back(messages, message)  # a crash may have parked it without its entry
        entry = messages.get(message.return_id) or self._open(message.server, message.return_id, message.queued_at)
        group = self._find_group(messages, entry)
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
            self._tie(group, recipient)

    def _find_group(self, messages: dict[str, Message], entry: Message) -> Group:
        """The messages that the entry lists."""
        self._touch(entry)
        group = Group({}, {}, {}, list(redirects_of(entry)))
        for part in (entry.parts or {}).values():
            member = self._find_known(entry.server, part.earlier_queue_id)
            if member is None or return_entry(message_id_of(member)) != entry.queue_id:
                continue
            messages[member.queue_id] = member
            self._touch(member)
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
            lineage = self._lineage(tie.before, tie.message)
            if lineage is None:
                continue
            lineage.is_returned = True
            lineage.forwarded = tie.attempt.recipient
            lineage.lines.append(tie.redirect.line)
            lineage.handed[tie.attempt.recipient] = [into_mailbox(tie.attempt)]
            self._links.append((tie.before, tie.message))
            tie.message.change(list(tie.message.attempts))

    def _tie(self, group: Group, recipient: str) -> None:
        for tie in find_ties(group, recipient):
            known = tie.message.lineage
            if known is not None and (recipient in known.handed or known.forwarded):
                continue
            lineage = self._lineage(tie.before, tie.message)
            if lineage is None:
                continue
            lineage.is_returned = True
            lineage.handed[recipient] = as_handed(self._attempts_on_the_way(tie.before, recipient))
            self._links.append((tie.before, tie.message))
            tie.message.change([recipient, *tie.message.attempts])
            self._handed_on.add((tie.before, recipient))

    def _hand_over_again(self, messages: dict[str, Message], message: Message) -> None:
        """What was handed over before the message's own arrival was seen."""
        for attempts in list(message.attempts.values()):
            for attempt in attempts:
                if attempt.handover == FILTER:
                    self._hand_over(messages, message, attempt)

    def _pass_lineage_on(self, messages: dict[str, Message], message: Message) -> None:
        """Further envelopes of a message go back to where it came from, which was told after they were made."""
        for queue_id in message.envelopes or ():
            made = self._find_known(message.server, queue_id)
            if made is None or made.lineage is None or made.lineage.queue_id != message.queue_id:
                continue
            messages[queue_id] = made
            made.former, made.lineage = made.lineage, None
            self._lineage(message, made)
            self._links.append((message, made))
            self._touch(made)
            made.change(list(made.attempts))

    def _ask_filter(self, messages: dict[str, Message], message: Message, event: Attempt) -> None:
        """The filter's own lines, which may come before or after its answer, tell what became of the recipient."""
        passage = messages.get(event.passage_id) or self._open(message.server, event.passage_id, event.at)
        self._touch(passage)
        note_asker(passage, event)
        self._judge(messages, passage, message, event)

    def _take_verdict(self, messages: dict[str, Message], passage: Message, event: Attempt) -> None:
        """A filter's own line: for the messages whose answer named the passage, or for the client that waited."""
        passage.completed_at = max(passage.completed_at, event.at)
        if passage.queue_id.startswith(DOVECOT_PREFIX):
            self._heed_script(messages, passage)
            return
        for part in list((passage.parts or {}).values()):
            if part.part == ANSWERED:
                self._refuse_by_verdict(passage, part)
                continue
            message = self._find_known(passage.server, part.earlier_queue_id)
            if message is None:
                continue
            messages[part.earlier_queue_id] = message
            self._touch(message)
            if is_about_kept(part):
                self._judge_kept(messages, passage, message, part)
                continue
            for attempt in list(message.attempts.get(event.recipient, ())):
                if attempt.passage_id == passage.queue_id:
                    self._judge(messages, passage, message, attempt)
        self._refusals += [(passage.server, refusal) for refusal in others_refused(passage)]

    def _heed_script(self, messages: dict[str, Message], passage: Message) -> None:
        """Put what the mailbox's script did in place of the answer; Dovecot's lines may come just behind it."""
        saved = self._saved.get((passage.server, passage.queue_id))
        if saved is None:
            return
        message, answer = saved
        told = by_mailbox(passage, answer)
        known = message.attempts.get(answer.recipient, [])
        if told is None or not any(one.line == answer.line for one in known):
            return
        messages.setdefault(message.queue_id, message)
        self._touch(message)
        message.attempts[answer.recipient] = [told if one.line == answer.line else one for one in known]
        message.change([answer.recipient])
        self._links.append((passage, message))

    def _take_kept(self, messages: dict[str, Message], message: Message, event: Arrival) -> None:
        """Some recipients of the message are named by the filter alone, which kept them back."""
        passage = messages.get(event.session_id) or self._open(message.server, event.session_id, event.at)
        self._touch(passage)
        self._judge_kept(messages, passage, message, note_kept(passage, event))

    def _judge_kept(self, messages: dict[str, Message], passage: Message, message: Message, noted: Arrival) -> None:
        self._links.append((passage, message))
        for verdict in kept_back(passage, noted):
            add_attempt(message, verdict)
            self._keep_back(messages, message, verdict)

    def _keep_back(self, messages: dict[str, Message], message: Message, verdict: Attempt) -> None:
        """The recipient does not go on in the message that the filter's answer named."""
        for attempt in message.attempts[verdict.recipient]:
            if attempt.handover != FILTER or not attempt.next_queue_id:
                continue
            self._handed_on.discard((message, verdict.recipient))
            next_message = self._find_known(message.server, attempt.next_queue_id)
            if next_message is not None and next_message.lineage is not None:
                messages[attempt.next_queue_id] = next_message
                self._touch(next_message)
                next_message.lineage.handed.pop(verdict.recipient, None)
                if verdict.recipient not in next_message.attempts:
                    next_message.dirty = [one for one in next_message.dirty or () if one != verdict.recipient]

    def _judge(self, messages: dict[str, Message], passage: Message, message: Message, event: Attempt) -> None:
        """Put what the filter told in place of its answer."""
        verdict = decide(passage, event.recipient)
        if verdict is None:
            message.awaits_verdict = True
            return
        judged = judge(message, event, verdict)
        self._hand_over(messages, message, judged)

    def _take_answer(self, messages: dict[str, Message], passage: Message, event: Arrival) -> None:
        """The answer of a filter before the queue. The process that logged it has told who its client is."""
        login = self._find_login(messages, passage.server, event) if event.session_id else None
        told = login.parts[LOGIN] if login is not None and login.parts else Arrival("", 0, "")
        if login is not None:
            self._links.append((login, passage))
        event = msgspec.structs.replace(
            event,
            client_host=told.client_host,
            client_ip=told.client_ip,
            authenticated_as=told.authenticated_as,
            auth_method=told.auth_method,
        )
        add_part(passage, event)
        passage.completed_at = max(passage.completed_at, event.at)
        assert passage.parts is not None
        self._refuse_by_verdict(passage, passage.parts[ANSWERED])

    def _refuse_by_verdict(self, passage: Message, answer: Arrival) -> None:
        self._refusals += [(passage.server, refusal) for refusal in refusals_of(passage, answer)]

    def _forward(self, messages: dict[str, Message], message: Message, event: Attempt) -> None:
        """What a forward made goes on as the recipient, as soon as its message's own origin is known."""
        if not message.is_whole() or (message.lineage is None and CLIENT not in (message.parts or {})):
            return
        known = self._find_known(message.server, event.next_queue_id)
        next_message = known or begin_message(message.server, event.next_queue_id, event.at)
        messages[event.next_queue_id] = next_message
        is_known = next_message.lineage is not None
        lineage = self._lineage(message, next_message)
        if lineage is None or (is_known and lineage.forwarded != event.recipient):
            return
        lineage.forwarded = event.recipient
        message.forwarded = message.forwarded or {}
        message.forwarded.setdefault(event.recipient, False)
        on_the_way = self._attempts_on_the_way(message, event.recipient)
        lineage.handed[event.recipient] = [one for one in on_the_way if one.handover or one.status in OPEN]
        self._links.append((message, next_message))
        self._touch(next_message)
        next_message.change(list(next_message.attempts))
        if next_message.attempts:
            self._tell_parent(messages, next_message)
        if not is_known:
            self._forward_on(messages, next_message)

    def _forward_on(self, messages: dict[str, Message], message: Message) -> None:
        """What it was forwarded to before its own origin was known."""
        for attempts in list(message.attempts.values()):
            for attempt in attempts:
                if attempt.handover == FORWARD:
                    self._forward(messages, message, attempt)

    def _tell_parent(self, messages: dict[str, Message], message: Message) -> None:
        """What a forward made was tried: from now on that tells what became of the recipient."""
        lineage = message.lineage
        assert lineage is not None
        parent = self._find_known(message.server, lineage.parent_id())
        if parent is None or parent.forwarded is None:
            return
        messages[parent.queue_id] = parent
        attempts = parent.attempts.get(lineage.forwarded, ())
        if parent.forwarded.get(lineage.forwarded) is False and any(
            attempt.handover == FORWARD and attempt.next_queue_id == message.queue_id for attempt in attempts
        ):
            parent.forwarded[lineage.forwarded] = True
            self._touch(parent)
            parent.change([lineage.forwarded])
        self._links.append((parent, message))

    def _lineage(self, message: Message, next_message: Message) -> Lineage | None:
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

    def _attempts_on_the_way(self, message: Message, recipient: str) -> list[Attempt]:
        return [*(message.handed_over(recipient) or ()), *message.attempts.get(recipient, ())]

    def _continue(self, messages: dict[str, Message], message: Message, event: Arrival) -> None:
        """The line names the earlier queue id of the message: a proxy passed it on, or it was requeued."""
        before = self._find_known(message.server, event.earlier_queue_id)
        if before is message:
            return
        if (
            before is None
            or not (before.is_whole() or (before.lineage is not None and before.lineage.is_requeued))
            or (event.part == REQUEUED and MESSAGE_ID not in (before.parts or ()))
        ):
            self._await(message.server, event)
            return
        messages[event.earlier_queue_id] = before
        self._touch(before)
        lineage = self._lineage(before, message)
        if lineage is None:
            return
        self._links.append((before, message))
        if event.part == LINK:
            before.add_envelope(message.queue_id)
        if event.part == REQUEUED:
            for recipient in before.attempts:
                lineage.handed[recipient] = self._attempts_on_the_way(before, recipient)
            before.completed_at = max(before.completed_at, event.at)
            return
        if not event.system_user:
            return  # a filter's; else the same message, queued anew by an operator
        lineage.is_requeued = True
        before.requeued_as = message.queue_id
        before.completed_at = max(before.completed_at, event.at)
        self._hand_open(messages, before)
        if self._awaited:  # it may be requeued again before the queue manager has seen it
            self._continue_awaited(messages, message)

    def _hand_open(self, messages: dict[str, Message], before: Message) -> None:
        """The open recipients of a message queued anew go on under its new queue id; the others keep their rows."""
        message = self._find_known(before.server, before.requeued_as)
        if message is None or message.lineage is None or not message.lineage.is_requeued:
            return
        messages[message.queue_id] = message
        handed, earlier = message.lineage.handed, before.lineage.handed if before.lineage else {}
        for recipient in dict.fromkeys((*earlier, *before.attempts)):
            attempts = before.attempts.get(recipient, [])
            if attempts and find_status(before, recipient, attempts, 0)[1] not in OPEN:
                handed.pop(recipient, None)
            else:
                handed[recipient] = self._attempts_on_the_way(before, recipient)
        self._links.append((before, message))
        self._touch(message)
        message.change(list(message.attempts))

    def _await(self, server: str, event: Arrival) -> None:
        """Keep a line that names a message of which no line has arrived yet."""
        awaited = self._awaited
        awaited.setdefault((server, event.earlier_queue_id), {})[event.queue_id] = event
        if len(awaited) > MOST_AWAITED:
            del awaited[next(iter(awaited))]

    def _continue_awaited(self, messages: dict[str, Message], before: Message) -> None:
        for event in self._awaited.pop((before.server, before.queue_id), {}).values():
            message = messages.get(event.queue_id)
            if message is not None and message.lineage is None:
                self._touch(message)
                message.change([*message.attempts, *(message.originals or ())])
                self._continue(messages, message, event)

    def _take_session(self, messages: dict[str, Message], message: Message, event: Arrival) -> None:
        """Copy to the message what the log told of the connection that it was received on."""
        session = self._find_known(message.server, event.session_id)
        if session is None or session is message or session.parts is None:
            return
        messages[event.session_id] = session
        self._touch(session)
        self._links.append((session, message))
        for part in session.parts.values():
            add_part(message, msgspec.structs.replace(part, queue_id=message.queue_id))

    def _with_login(self, messages: dict[str, Message], message: Message, event: Arrival) -> Arrival:
        """The arrival with the login of the process that received it."""
        login = self._find_login(messages, message.server, event)
        if login is None or not login.parts:
            return msgspec.structs.replace(event, authenticated_as="")
        self._links.append((login, message))
        told = login.parts[LOGIN]
        return msgspec.structs.replace(event, authenticated_as=told.authenticated_as, auth_method=told.auth_method)

    def _find_login(self, messages: dict[str, Message], server: str, event: Arrival | Refusal) -> Message | None:
        """The login that a process logged for its client; None where there is none, or the line names another one."""
        login = self._find_known(server, event.session_id)
        told = login.parts.get(LOGIN) if login is not None and login.parts else None
        if login is None or told is None or told.at > event.at:
            return None
        if event.authenticated_as not in ("", told.authenticated_as):
            return None
        messages[event.session_id] = login
        self._touch(login)
        return login

    def take_dirty(self) -> tuple[list[Outcome], list[Message]]:
        """The rows of all messages that changed since the last call, and these messages. Closed ones are forgotten."""
        rows: list[Outcome] = []
        for server, refusal in self._refusals:
            try:
                rows += list(self._rows.refusal_rows(server, refusal))
            except Exception as error:
                self._failures.append(Failure(server, refusal.queue_id, (refusal.line,), error))
        self._refusals.clear()
        dirty = self._dirty
        self._dirty = []
        self.links, self._links = self._links, []
        for message in dirty:
            made = len(rows)
            try:
                if not message.completed_at:
                    message.count_completes()
                if (message.dirty or message.completed_at) and not (
                    message.queue_id[1:2] == ":" and message.queue_id.startswith(_WITHOUT_ROWS)
                ):
                    self._add_due_rows(message, rows)
            except Exception as error:
                del rows[made:]
                self.fail(message, error)
            message.dirty = None
        for message in dirty:
            if message.completed_at and (message.is_settled or not message.awaits_correlation()):
                self.forget(message)
                if message.parts is None or message.queue_id.startswith(PIECE_PREFIX):
                    self._recent.put((message.server, message.queue_id), message)
                elif not message.id_time and not message.queue_id.startswith(RETURN_PREFIX):
                    self._remember(message)
        self._handed_on.clear()
        self._name_messages()
        if len(self._named) > MOST_NAMED:
            self._named = dict(list(self._named.items())[MOST_NAMED // 2 :])
        return rows, dirty

    def pending_rows(self, message: Message) -> list[Outcome]:
        """Rows of the pending recipients of an open message."""
        rows: list[Outcome] = []
        try:
            if message.is_whole():
                for recipient in message.pending_recipients():
                    self._rows.add_rows(message, recipient, rows)
        except Exception as error:
            self.fail(message, error)
            return []
        return rows

    def take_failures(self) -> list[Failure]:
        """The messages on which the join failed since the last call. Each is closed; rows sent earlier stay."""
        if not self._failures:
            return []
        failures, self._failures = self._failures, []
        return failures

    def fail(self, message: Message, error: Exception, event: Event | None = None) -> None:
        """Close a message on which the join failed, with nothing left in it that could fail again."""
        lines = dict.fromkeys(all_lines(message))
        if event is not None:
            lines[event.line] = None
        empty = Message(message.server, message.queue_id, message.queued_at)
        for name in message.__struct_fields__:
            if name not in ("dirty", "id_time"):
                setattr(message, name, getattr(empty, name))
        if message.dirty:
            message.dirty.clear()
        message.completed_at = max(event.at if event is not None else message.queued_at, 1)
        message.is_settled = True
        self._failures.append(Failure(message.server, message.queue_id, tuple(lines), error))

    def _fail_on(self, server: str, event: Event, error: Exception) -> None:
        message = self._servers[server].get(event.queue_id)
        if message is None:
            self._failures.append(Failure(server, event.queue_id, (event.line,), error))
            return
        self._touch(message)
        self.fail(message, error, event)

    def _add_due_rows(self, message: Message, rows: list[Outcome]) -> None:
        dirty = message.dirty or ()
        handed_on = self._handed_on
        for recipient in dict.fromkeys(dirty) if len(dirty) > 1 else dirty:
            if not handed_on or (message, recipient) not in handed_on:
                self._rows.add_rows(message, recipient, rows)
        if message.completed_at and message.terminal_event is None and (message.parts is None or message.is_whole()):
            for recipient in message.pending_recipients():
                self._rows.add_rows(message, recipient, rows)
        elif not message.completed_at:
            for recipient in message.duplicate_aliases():
                self._rows.add_rows(message, recipient, rows)


def unfinished_entry(process: Message) -> Failure | None:
    """The pieces of a line whose rest did not come; None: there are none, or the message is no such process."""
    pieces = unfinished_pieces(process)
    return _unread(process, pieces, LOST_PIECE) if pieces else None


def _unread(process: Message, pieces: list[Arrival], reason: str) -> Failure:
    return Failure(process.server, process.queue_id, tuple(piece.line for piece in pieces), None, reason)


def _refused_at_home(event: Refusal) -> Arrival:
    """The sender of a local submission that was refused: a bounce of each recipient follows, but no line of qmgr."""
    return Arrival(event.queue_id, event.at, event.line, sender=event.sender, part=HELD)


def _parent(event: Attempt, message: Message) -> Arrival:
    """The part that ties a message which a forward made to its parent."""
    return Arrival(
        event.next_queue_id, event.at, event.line, sender=FORWARDED, parent_queue_id=message.queue_id, part=PARENT
    )


def _told_of(refusal: Refusal, client: Arrival) -> Refusal:
    """The refusal with the client's details."""
    return msgspec.structs.replace(
        refusal,
        authenticated_as=client.authenticated_as,
        auth_method=client.auth_method,
        system_user=refusal.system_user or client.system_user,
        client_host=refusal.client_host or client.client_host,
        client_ip=refusal.client_ip or client.client_ip,
    )


def _is_earlier(message: Message, event: Event) -> bool:
    """Whether an event that is much older than its message belongs to an earlier one; a client's line begins one."""
    return not message.id_time and not (isinstance(event, Arrival) and event.part in (CLIENT, PIECE, LAST_PIECE))


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
