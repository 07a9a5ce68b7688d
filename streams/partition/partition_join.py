"""The join of one partition: fetches of raw records in, outcomes out, and when each fetch may be acknowledged.

Invariant: a fetch is acknowledged, in order, only when it is done (`retained_fetches.py`) and the processed ranges that
cover its lines are written. So whatever dies, what is not acknowledged is read again, and what is acknowledged can be
told from it. A fault of Postwatch costs a line or a message: it becomes dead letters, and the stream goes on.

No socket, clock or Faust here: they are the ports of `ports.py` and the argument `now`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from postwatch.producers.record import Heartbeat
from postwatch.streams.contracts.dead_letters import JOINER_ERROR, LINE, DeadLetter, LineOrigin
from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.enrichment.reasons import BUILT_IN, ReasonBook
from postwatch.streams.errors import StoreError
from postwatch.streams.joining.answers import PASSED_MS
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.joining.message import Message
from postwatch.streams.parsers.queue_ids import ANSWER_PREFIX
from postwatch.streams.partition.counts import JoinCounts
from postwatch.streams.partition.failures import JOINER
from postwatch.streams.partition.heard_servers import HeardServers
from postwatch.streams.partition.message_store import MessageStore
from postwatch.streams.partition.other_shippers import OtherShippers
from postwatch.streams.partition.ports import Confirm, Outlet, ParkedTable, RawRecord
from postwatch.streams.partition.processed_lines import ProcessedLines
from postwatch.streams.partition.record_parser import RecordParser
from postwatch.streams.partition.retained_fetches import MAX_RETAINED_FETCHES, RetainedFetch, RetainedFetches
from postwatch.streams.partition.server_lines import ServersLines

TURN_BYTES = 128 * 1024
"""Rows are made and encoded after so many bytes of lines, while these are still in the processor's cache."""
RANGES_KEY = b"\0marks"
"""Written with every acknowledgement, so that each partition of the table has a live key to recover from."""
_SWEEP_EVERY_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class JoinRules:
    """What the settings say about the join."""

    accounts: AccountBook
    timezone: str
    keep_lines: bool
    pending_after_ms: int
    park_after_ms: int
    give_up_after_ms: int
    reasons: ReasonBook = BUILT_IN
    wrapping_programs: tuple[str, ...] = ()
    other_shippers: OtherShippers = field(default_factory=OtherShippers)


class PartitionJoin:
    """All that one worker keeps in memory for one partition; forgotten as a whole when the partition is revoked."""

    def __init__(
        self, partition: int, rules: JoinRules, counts: JoinCounts, outlet: Outlet, table: ParkedTable, committed: int
    ) -> None:
        self.partition = partition
        self.next_offset = committed
        self.counts = counts
        self._rules = rules
        self._outlet = outlet
        self._table = table
        self._store = MessageStore(table, counts, rules.give_up_after_ms)
        self._processed = ProcessedLines(table.get(RANGES_KEY))
        self._joiner = Joiner(
            rules.accounts, self._store.find, rules.keep_lines, rules.reasons, self._processed.was_closed
        )
        self._servers = ServersLines()
        self._parser = RecordParser(
            rules.timezone, counts, self._processed, self._servers, rules.wrapping_programs, rules.other_shippers
        )
        self._heard = HeardServers()
        self._retained = RetainedFetches()
        self._pending_due: deque[tuple[int, Message]] = deque()
        self._ranges_in_flight = False
        self._next_sweep_at = 0
        self._newest_at: dict[str, int] = {}
        """By server: the time of the last line that told something, ms since the epoch."""

    @property
    def retained_fetches(self) -> int:
        return len(self._retained)

    @property
    def open_messages(self) -> int:
        return self._retained.open_messages

    @property
    def parked_messages(self) -> int:
        """Entries of the table."""
        return self._store.parked_messages

    @property
    def is_full(self) -> bool:
        """Whether reading has to wait until Kafka has taken more of the results."""
        return len(self._retained) > 2 * MAX_RETAINED_FETCHES or self._store.is_full

    @property
    def unconfirmed_since(self) -> int | None:
        """When the oldest fetch came whose results Kafka has not confirmed; None: nothing is in flight."""
        return self._retained.unconfirmed_since

    def take(self, records: Sequence[RawRecord], now: int, acknowledge: Confirm) -> None:
        """Join the records of one fetch. The caller has made sure that it begins at or before `next_offset`."""
        fresh = [record for record in records if record.offset >= self.next_offset]
        self.counts.repeated_records += len(records) - len(fresh)
        if not fresh:
            return
        if not self._next_sweep_at:
            self._open_table(now)  # before the first line: one may be of a message that another worker parked
        fetch = RetainedFetch(fresh[0].offset, fresh[-1].offset, now, acknowledge)
        self._retained.append(fetch)
        self._send(self._join_turns(fresh, fetch, now), fetch)
        self.next_offset = fetch.last_offset + 1
        self._send_failures(fetch)
        if len(self._retained) > MAX_RETAINED_FETCHES or self._retained.has_too_many_messages:
            self._park_oldest(now)

    def _join_turns(self, records: Sequence[RawRecord], fetch: RetainedFetch, now: int) -> Iterator[list[Outcome]]:
        """The rows of each turn. It keeps nothing of a turn, so that the next one finds memory that is in the cache."""
        unmade_bytes = 0
        for record in records:
            self._take_record(record, fetch)
            unmade_bytes += len(record.value or b"")
            if unmade_bytes >= TURN_BYTES or record is records[-1]:
                unmade_bytes = 0
                yield self._end_turn(fetch, now)

    def _end_turn(self, fetch: RetainedFetch, now: int) -> list[Outcome]:
        rows, changed = self._joiner.take_dirty()
        self.counts.rows += len(rows)
        for before, message in self._joiner.links:
            self._retain_with(before, message, fetch, now)
        for message in changed:
            self._retain(message, fetch, now)
        return rows

    def tend(self, now: int, committed: int) -> None:
        """Everything that time brings: pending rows, parking, acknowledgements, tidying. Call about once a second."""
        self._send_pending(now)
        self._park_oldest(now)
        self._acknowledge(now, committed)
        self._store.delete_closed(committed)
        if not self._next_sweep_at:
            self._open_table(now)
        elif now >= self._next_sweep_at:
            self._store.begin_sweep()
            self._next_sweep_at = now + _SWEEP_EVERY_MS
        self._store.sweep(now)

    def _open_table(self, now: int) -> None:
        """Tidy the table, and tell the joiner what is parked there."""
        self._store.open(now, self._joiner.note_parked)
        self._next_sweep_at = now + _SWEEP_EVERY_MS

    def _take_record(self, record: RawRecord, fetch: RetainedFetch) -> None:
        parsed = self._parser.parse(record, fetch.arrived_at)
        if parsed.heartbeat is not None:
            self._send_heartbeat(parsed.server, parsed.heartbeat, record, fetch)
        elif not record.headers and record.key and parsed.server not in self.counts.heard_ms:
            beat = self._heard.heartbeat(record.key, record.timestamp or fetch.arrived_at)
            if beat is not None:
                self._send_heartbeat(parsed.server, beat, record, fetch)
        if parsed.piece is not None:
            fetch.pieces.append(parsed.piece)
        if parsed.events:
            self._joiner.add(parsed.server, parsed.events, record.offset)
            if (at := parsed.events[-1].at) > self._newest_at.get(parsed.server, 0):
                self._newest_at[parsed.server] = at
        for letter in parsed.letters:
            self._send_letter(letter, fetch)

    def _send(self, turns: Iterable[list[Outcome]], fetch: RetainedFetch) -> None:
        sent = self._outlet.send_outcomes(self.partition, turns, fetch.confirm)
        fetch.unconfirmed += sent  # only now: a turn sends dead letters and heartbeats, which count too

    def _send_pending_rows(self, message: Message, fetch: RetainedFetch) -> None:
        rows = self._joiner.pending_rows(message)
        if rows:
            self.counts.rows += len(rows)
            self._send([rows], fetch)

    def _send_heartbeat(self, server: str, beat: Heartbeat, record: RawRecord, fetch: RetainedFetch) -> None:
        fetch.unconfirmed += 1
        joined = self._servers.joined(server, record.timestamp or beat.sent_ms or fetch.arrived_at)
        self._outlet.send_heartbeat(server, beat, joined, fetch.confirm)

    def _send_letter(self, letter: DeadLetter, fetch: RetainedFetch) -> None:
        if isinstance(letter.origin, LineOrigin):
            self._servers.count_letter(letter.origin.server, letter.reason)
        fetch.unconfirmed += 1
        self._outlet.send_dead_letter(letter, fetch.confirm)

    def _send_failures(self, fetch: RetainedFetch) -> None:
        """The lines of messages on which the join failed, or of entries that can't be read, are dead letters."""
        for failure in self._joiner.take_failures():
            kind, reason = LINE, failure.reason
            if failure.error is not None:
                kind, reason = JOINER_ERROR, self.counts.failures.report(JOINER, failure.server, failure.error)
            origin = LineOrigin(failure.server, "", -1)
            for line in failure.lines:
                self._send_letter(DeadLetter(line.encode(), kind, origin, reason), fetch)

    def _retain(self, message: Message, fetch: RetainedFetch, now: int) -> None:
        if not message.is_closed():
            if self._retained.fetch_of(message) is None:
                self._retained.retain(message, fetch)
                self._pending_due.append((now + self._rules.pending_after_ms, message))
            self._retained.measure(message)
            return
        retained_by = self._retained.release(message)
        if retained_by is not None and retained_by is not fetch:
            retained_by.crossing.setdefault(fetch, []).append((message.server, message.queue_id))
        closed_by = self._store.forget_loaded(message)
        if closed_by is not None:
            # Read again after a crash, an early line finds the entry closed by a later one, which comes again too.
            (retained_by or fetch).closed.append((message, max(closed_by, fetch.last_offset)))

    def _retain_with(self, before: Message, message: Message, fetch: RetainedFetch, now: int) -> None:
        """What `message` has from the one before it is lost in a crash unless that one's lines are read again too."""
        earlier = self._retained.fetch_of(before)
        if earlier is None or earlier is fetch:
            return
        retained_by = self._retained.fetch_of(message)
        if retained_by is None:
            self._pending_due.append((now + self._rules.pending_after_ms, message))
        elif retained_by.first_offset <= earlier.first_offset:
            return
        self._retained.retain(message, earlier)

    def _send_pending(self, now: int) -> None:
        while self._pending_due:
            due_at, message = self._pending_due[0]
            fetch = self._retained.fetch_of(message)
            if fetch is not None and due_at > now:
                return
            self._pending_due.popleft()
            if fetch is not None:
                self._send_pending_rows(message, fetch)
                if message.is_closed():  # the join failed on it
                    self._close_failed(message, fetch)

    def _park_oldest(self, now: int) -> None:
        """Park what the oldest fetches wait for: those past their age, and as many as it takes to keep the bounds."""
        surplus = len(self._retained) - MAX_RETAINED_FETCHES
        for number, fetch in enumerate(self._retained):
            is_young = fetch.arrived_at > now - self._rules.park_after_ms
            if is_young and number >= surplus and not self._retained.has_too_many_messages:
                break
            for message in list(fetch.messages):
                self._park(message, fetch)
        self._send_pending(now)

    def _park(self, message: Message, fetch: RetainedFetch) -> None:
        """Write the message to the table and forget it; later events load it back from there."""
        if message.queue_id.startswith(ANSWER_PREFIX) and self._is_passed(message):
            message.is_settled = True
            fetch.crossing.setdefault(self._retained.newest(), []).append((message.server, message.queue_id))
            self._close_failed(message, fetch)
            return
        self._send_pending_rows(message, fetch)
        if not message.is_closed():
            fetch.unconfirmed += 1
            try:
                self._store.park(message, fetch.confirm)
            except (StoreError, MemoryError):
                raise
            except Exception as error:
                fetch.unconfirmed -= 1
                self._joiner.fail(message, error)
        if message.is_closed():
            self._close_failed(message, fetch)
            return
        self._retained.release(message)
        self._joiner.forget(message)

    def _is_passed(self, answers: Message) -> bool:
        """Whether the log of its server is too far on for the entry to be of use: every refusal makes one."""
        return self._newest_at.get(answers.server, 0) > answers.completed_at + PASSED_MS

    def _close_failed(self, message: Message, fetch: RetainedFetch) -> None:
        """The message closes while nothing of it came in: the join failed on it, or it has become useless."""
        self._retained.release(message)
        self._joiner.forget(message)
        closed_by = self._store.forget_loaded(message)
        if closed_by is not None:
            fetch.closed.append((message, max(closed_by, fetch.last_offset)))
        self._send_failures(fetch)

    def _acknowledge(self, now: int, committed: int) -> None:
        """Write the ranges of every fetch that is done, oldest first, then acknowledge those; one round at a time."""
        done = self._retained.done()
        if self._ranges_in_flight or not done:
            return
        self._ranges_in_flight = True
        waiting = 1 + sum(len(fetch.closed) for fetch in done)

        def confirm() -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                self._ranges_in_flight = False
                for fetch in done:
                    self._retained.remove_oldest()
                    fetch.acknowledge()

        for fetch in done:
            for message, offset in fetch.closed:
                self._store.close(message, offset, confirm)
        self._table.put(RANGES_KEY, self._processed.acknowledge(done, now, committed), confirm)
