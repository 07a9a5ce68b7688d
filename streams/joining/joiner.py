"""The join: events of messages in, delivery rows out. Pure; time comes in as an argument.

A message is the set of its events, and a row is a function of that set. So the order of lines, duplicates and the cut
into records change no row. An MTA may reuse a queue id. A message that passes a content filter on its server has two
or more queue ids: `message.Lineage` ties them together, whichever line comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from postwatch.streams.contracts.outcome import DELIVERED, Outcome
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.enrichment.reasons import BUILT_IN, ReasonBook
from postwatch.streams.errors import StoreError
from postwatch.streams.joining.answers import take_answer
from postwatch.streams.joining.arrivals import Arrivals
from postwatch.streams.joining.entries import take_piece
from postwatch.streams.joining.failures import LOST_PIECE, Failure, close_failed, unread
from postwatch.streams.joining.groups import name_recipients
from postwatch.streams.joining.handovers import Handovers
from postwatch.streams.joining.merge import add_attempt, add_lifecycle_event
from postwatch.streams.joining.message import Message
from postwatch.streams.joining.open_messages import Find, OpenMessages, find_nothing
from postwatch.streams.joining.refusals import take_refused, tell_changed
from postwatch.streams.joining.rows import RowMaker
from postwatch.streams.joining.tries import take_step
from postwatch.streams.parsers.events import (
    CLIENT,
    FILTERED,
    FORWARD,
    GROUPED,
    LAST_PIECE,
    PIECE,
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
from postwatch.streams.parsers.queue_ids import ANSWER_PREFIX, DOVECOT_PREFIX, PASSAGE_PREFIX, RETURN_PREFIX
from postwatch.streams.parsers.smtp import is_own

EARLIER_BY_MS = 2 * 3_600_000
"""A line that is older than its message by more than this belongs to an earlier message with the same queue id."""
_WITHOUT_ROWS = (PASSAGE_PREFIX, RETURN_PREFIX, ANSWER_PREFIX)

WasClosed = Callable[[str, str], bool]
"""Server and queue id → whether the record that is added was read before, and that message is closed for good."""


def _closed_none(server: str, queue_id: str) -> bool:
    return False


class Joiner:
    """The open messages of one partition, and the messages whose rows have to be made again."""

    def __init__(
        self,
        accounts: AccountBook,
        find_parked: Find = find_nothing,
        keep_lines: bool = True,
        reasons: ReasonBook = BUILT_IN,
        was_closed: WasClosed = _closed_none,
    ) -> None:
        self._rows = RowMaker(accounts, reasons, keep_lines)
        self._was_closed = was_closed
        self._offset = -1
        """Of the record that is being added."""
        self._messages = OpenMessages(find_parked)
        self._handovers = Handovers(self._messages)
        self._returns = self._handovers.returns
        self._arrivals = Arrivals(self._messages, self._handovers)
        self._failures: list[Failure] = []
        self.links: list[tuple[Message, Message]] = []
        """Pairs of the last `take_dirty`: a message, and the message that has its lineage from it."""

    def open_messages(self) -> Iterator[Message]:
        return iter(self._messages)

    def count_open(self) -> int:
        """How many messages are open, without a look at each."""
        return self._messages.count()

    def forget(self, message: Message) -> None:
        """Remove a message that was parked or closed from memory."""
        self._messages.forget(message)

    def note_parked(self, message: Message) -> None:
        """A message was parked before this joiner began: a filter with a public address may give it back."""
        if not message.completed_at and not message.is_settled:
            self._returns.name_again(message)

    def add(self, server: str, events: Iterable[Event], offset: int = -1) -> None:
        """Add events of one server; a duplicate changes nothing. One loop: it runs for every line.

        `offset`: the place of their record in the stream; negative: not known.

        An event on which the join fails costs its message, see `take_failures`, and no other one.
        """
        opened = self._messages
        messages = opened.servers.setdefault(server, {})
        closed_ids, dirty_messages, returns = opened.closed_ids, opened.dirty, self._returns
        self._offset = offset
        for event in events:
            try:
                message = messages.get(event.queue_id)
                if message is None:
                    if type(event) is not Arrival:
                        if type(event) is Refusal:
                            self._add_refusal(server, event)
                            continue
                        if (
                            type(event) is Attempt
                            and event.status == DELIVERED
                            and event.queue_id.startswith(DOVECOT_PREFIX)
                            and opened.find_parked(server, event.queue_id) is None
                        ):
                            continue  # of interest only where the script discards as well, and it says that first
                    if closed_ids and opened.is_repeated(server, event):
                        message = opened.revive(server, event)
                        if message is None:
                            continue
                    else:
                        message = opened.admit(server, event)
                if (
                    message.parts is not None
                    and event.at < message.queued_at - EARLIER_BY_MS
                    and _is_earlier(message, event)
                ):
                    opened.touch(message)
                    continue
                if message.dirty is None:
                    message.dirty = []
                    dirty_messages.append(message)
                if type(event) is Arrival:  # `isinstance` takes four times as long
                    if not event.part:
                        self._arrivals.add_whole(message, event)
                    elif event.part in (PIECE, LAST_PIECE):
                        self._take_piece(message, event)
                    else:
                        self._arrivals.add_part(message, event)
                elif type(event) is Attempt:
                    add_attempt(message, event)
                    if event.handover or event.passage_id:
                        self._hand_over(message, event)
                    elif event.status == DELIVERED and (
                        returns.has_entries
                        or message.was_parked
                        or (message.parts and (event.transport == "pipe" or is_own(event.remote_ip)))
                    ):
                        returns.give(message, event)
                    if message.return_id or message.requeued_as:
                        if message.return_id:
                            returns.tie(message, event)
                        if message.requeued_as:
                            self._handovers.lineages.hand_open(message)
                    if "" in message.attempts:
                        message.dirty += ("", message.only_recipient())
                    if message.lineage is not None:
                        if message.lineage.forwarded:
                            self._handovers.lineages.tell_parent(message)
                        else:
                            message.dirty += message.unqualified()
                elif type(event) is LifecycleEvent:
                    add_lifecycle_event(message, event)
                elif isinstance(event, Refusal):
                    self._add_refusal(server, event)
                elif isinstance(event, Step):
                    self._take_step(message, event)
            except (StoreError, MemoryError):
                raise
            except Exception as error:
                self._fail_on(server, event, error)

    def _hand_over(self, message: Message, event: Attempt) -> None:
        if event.handover == FORWARD and not event.passage_id:
            self._arrivals.forward(message, event)
        else:
            self._handovers.take(message, event)

    def _add_refusal(self, server: str, event: Refusal) -> None:
        ended = take_refused(self._messages, self._handovers.verdicts, server, event)
        if ended is not None:
            self._arrivals.add_part(*ended)

    def _take_step(self, message: Message, step: Step) -> None:
        """What a process says step by step, as events of the messages that it is about."""
        offset = self._offset
        if step.kind in (FILTERED, TOLD):
            told = take_answer(message, step, offset)
            tell_changed(self._messages, self._handovers.verdicts, message.server, told)
        elif step.kind == GROUPED:
            self.add(message.server, name_recipients(message, step), offset)
        else:
            self.add(message.server, take_step(message, step, offset), offset)

    def _take_piece(self, process: Message, event: Arrival) -> None:
        """A piece of an entry. The message of a whole entry is retained with its pieces, to be read again with them."""
        server = process.server
        pieces, lost = take_piece(process, event, self._offset)
        if lost:
            self._failures.append(unread(process, lost, LOST_PIECE))
        parsed = put_together(pieces) if pieces else None
        if parsed is None or isinstance(parsed, Ignored):
            return
        if isinstance(parsed, Unreadable):
            self._failures.append(unread(process, pieces, parsed.reason))
            return
        events = [
            one
            for one in (parsed if isinstance(parsed, list) else [parsed])
            if not self._was_closed(server, one.queue_id)
        ]
        self.add(server, events, self._offset)
        messages = self._messages.servers[server]
        self._messages.links += [(process, messages[one.queue_id]) for one in events if one.queue_id in messages]

    def take_dirty(self) -> tuple[list[Outcome], list[Message]]:
        """The rows of all messages that changed since the last call, and these messages. Closed ones are forgotten."""
        opened = self._messages
        rows: list[Outcome] = []
        for server, refusal in opened.refusals:
            try:
                rows += self._rows.refusal_rows(server, refusal)
            except Exception as error:
                self._failures.append(Failure(server, refusal.queue_id, (refusal.line,), error))
        opened.refusals.clear()
        dirty, opened.dirty = opened.dirty, []
        self.links, opened.links = opened.links, []
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
                opened.close(message)
        opened.handed_on.clear()
        self._returns.name_waiting()
        self._returns.keep_bounded()
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
        """Close a message on which the join failed; its lines become dead letters."""
        self._failures.append(close_failed(message, error, event))

    def _fail_on(self, server: str, event: Event, error: Exception) -> None:
        message = self._messages.servers[server].get(event.queue_id)
        if message is None:
            self._failures.append(Failure(server, event.queue_id, (event.line,), error))
            return
        self._messages.touch(message)
        self.fail(message, error, event)

    def _add_due_rows(self, message: Message, rows: list[Outcome]) -> None:
        dirty = message.dirty or ()
        handed_on = self._messages.handed_on
        for recipient in dict.fromkeys(dirty) if len(dirty) > 1 else dirty:
            if not handed_on or (message, recipient) not in handed_on:
                self._rows.add_rows(message, recipient, rows)
        if message.completed_at and message.terminal_event is None and (message.parts is None or message.is_whole()):
            for recipient in message.pending_recipients():
                self._rows.add_rows(message, recipient, rows)
        elif message.is_tried_again and not message.completed_at:
            for recipient in message.duplicate_aliases():
                self._rows.add_rows(message, recipient, rows)


def _is_earlier(message: Message, event: Event) -> bool:
    """Whether an event that is much older than its message belongs to an earlier one; a client's line begins one."""
    return not message.id_time and not (isinstance(event, Arrival) and event.part in (CLIENT, PIECE, LAST_PIECE))
