"""The join of one partition: fetches of raw records in, outcomes out, and when each fetch may be acknowledged.

Invariant: a fetch is acknowledged, in order, only when every outcome and dead letter of it is confirmed by Kafka, every
message that it opened or changed is parked in the table or has closed with its outcomes confirmed, and the marks that
cover its lines are written.
So whatever dies, what is not acknowledged is read again, and what is acknowledged can be told from it.

No socket, clock or Faust here: they are the ports of `join_ports.py` and the argument `now`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from postwatch.producers.record import Heartbeat, RawHeaders, decode_headers
from postwatch.producers.service.errors import BadInputError, SettingsError
from postwatch.streams.contracts.dead_letters import DeadLetter, LineOrigin
from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.enrichment.reasons import BUILT_IN, ReasonBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.joining.lines import decode_lines, join_lines
from postwatch.streams.joining.merge import merge
from postwatch.streams.joining.message import Message, count_characters
from postwatch.streams.joining.stored_message import OPEN, decode_stored, encode_stored, stored_key
from postwatch.streams.parsers.registry import LineParser, make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone
from postwatch.streams.partition.counts import JoinCounts
from postwatch.streams.partition.ports import Confirm, Outlet, ParkedTable, RawRecord
from postwatch.streams.partition.processed_ranges import decode_ranges, encode_ranges

MAX_RETAINED_FETCHES = 1000
"""When so many fetches wait for an acknowledgement, the oldest are parked whatever their age."""
CORRELATION_WINDOW_MS = 3_600_000
"""So long a completed message is kept for a line of the message that it may have come from."""
MOST_OPEN_MESSAGES = 50_000
"""Of a partition in memory; beyond, the oldest are parked whatever their age, and reading waits for the changelog."""
MOST_OPEN_CHARACTERS = 32 * 1024 * 1024
"""Of their lines, which strangers write; beyond, the same."""
MOST_PARKING = 20_000
"""Table entries under way to the changelog; beyond, reading waits."""
MOST_PARKING_BYTES = 16 * 1024 * 1024
"""Of those entries; the same."""
TURN_BYTES = 128 * 1024
"""Rows are made after so many bytes of lines, while the messages are still in the processor's cache."""
RANGES_KEY = b"\0marks"
"""Written with every acknowledgement, so that each partition of the table has a live key to recover from."""
_MOST_PARSERS = 64
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


@dataclass(eq=False, slots=True)
class RetainedFetch:
    """The records of one fetch that are not acknowledged yet."""

    first_offset: int
    last_offset: int
    arrived_at: int
    acknowledge: Confirm
    unconfirmed: int = 0
    messages: dict[Message, None] = field(default_factory=dict)
    """Open messages that this fetch opened or changed and no earlier one holds."""
    pieces: list[tuple[str, str, int, int]] = field(default_factory=list)
    """Server, file and byte range of the lines."""
    crossing: dict[RetainedFetch, list[tuple[str, str]]] = field(default_factory=dict)
    """Messages that it held, by the later fetch that closed them: their outcomes are confirmed with that one.

    Server and queue id alone: most messages close in a moment, and their fetch may wait a minute for one that does not.
    """
    closed: list[tuple[Message, int]] = field(default_factory=list)
    """Messages with an entry in the table that it held or closed, and the offset of the fetch that closed them."""

    def is_done(self) -> bool:
        return not self.unconfirmed and not self.messages and not any(later.unconfirmed for later in self.crossing)

    def confirm(self) -> None:
        self.unconfirmed -= 1


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
        self._joiner = Joiner(rules.accounts, self._find_parked, rules.keep_lines, rules.reasons)
        self._parsers: dict[tuple[str, str], LineParser] = {}
        self._retained: deque[RetainedFetch] = deque()
        self._retained_by: dict[Message, RetainedFetch] = {}
        self._characters: dict[Message, int] = {}
        """Of open messages, as they were when they changed last; and their sum."""
        self._all_characters = 0
        self._pending_due: deque[tuple[int, Message]] = deque()
        self._stored: dict[Message, int] = {}
        """Messages in memory that have an entry in the table, and what closed that: OPEN, or the offset of a fetch."""
        self._to_delete: list[tuple[int, bytes]] = []
        self._acked = decode_ranges(table.get(RANGES_KEY))
        self._processed = decode_ranges(encode_ranges(self._acked))
        self._crossed = {server: set(messages) for server, messages in self._acked.crossing.items()}
        """Closed and confirmed in an earlier life, by a fetch that is read again now."""
        self._crossed_until = max(
            (offset for messages in self._acked.crossing.values() for offset in messages.values()), default=-1
        )
        self._ranges_in_flight = False
        self._next_sweep_at = 0
        self.parked_messages = 0
        """Entries of the table, as of the last sweep and what changed since."""
        self._parking = 0
        self._parking_bytes = 0

    @property
    def retained_fetches(self) -> int:
        return len(self._retained)

    @property
    def open_messages(self) -> int:
        return len(self._retained_by)

    @property
    def is_full(self) -> bool:
        """Whether reading has to wait until Kafka has taken more of the results."""
        return (
            len(self._retained) > 2 * MAX_RETAINED_FETCHES
            or self._parking > MOST_PARKING
            or self._parking_bytes > MOST_PARKING_BYTES
        )

    @property
    def _has_too_many(self) -> bool:
        return len(self._retained_by) > MOST_OPEN_MESSAGES or self._all_characters > MOST_OPEN_CHARACTERS

    @property
    def unconfirmed_since(self) -> int | None:
        """When the oldest fetch came whose results Kafka has not confirmed; None: nothing is under way."""
        for fetch in self._retained:
            if fetch.unconfirmed:
                return fetch.arrived_at
        return None

    def take(self, records: Sequence[RawRecord], now: int, acknowledge: Confirm) -> None:
        """Join the records of one fetch. The caller has made sure that it begins at or before `next_offset`."""
        fresh = [record for record in records if record.offset >= self.next_offset]
        self.counts.repeated_records += len(records) - len(fresh)
        if not fresh:
            return
        fetch = RetainedFetch(fresh[0].offset, fresh[-1].offset, now, acknowledge)
        rows: list[Outcome] = []
        changed: dict[Message, None] = {}
        links: list[tuple[Message, Message]] = []
        unmade_bytes = 0
        for record in fresh:
            self._take_record(record, fetch)
            unmade_bytes += len(record.value or b"")
            if unmade_bytes >= TURN_BYTES or record is fresh[-1]:
                unmade_bytes = 0
                made, touched = self._joiner.take_dirty()
                rows += made
                changed.update(dict.fromkeys(touched))
                links += self._joiner.links
        self.next_offset = fetch.last_offset + 1
        self._retained.append(fetch)
        self._send(rows, fetch)
        for before, message in links:
            self._retain_with(before, message, fetch, now)
        for message in changed:
            self._retain(message, fetch, now)
        if len(self._retained) > MAX_RETAINED_FETCHES or self._has_too_many:
            self._park_oldest(now)

    def tend(self, now: int, committed: int) -> None:
        """Everything that time brings: pending rows, parking, acknowledgements, tidying. Call about once a second."""
        self._send_pending(now)
        self._park_oldest(now)
        self._acknowledge(now, committed)
        self._delete_closed(committed)
        if now >= self._next_sweep_at:
            self._next_sweep_at = now + _SWEEP_EVERY_MS
            self._sweep(now)

    def _take_record(self, record: RawRecord, fetch: RetainedFetch) -> None:
        self.counts.records += 1
        server = (record.key or b"").decode("utf-8", "backslashreplace")
        headers = decode_headers(record.headers)
        if isinstance(headers, Heartbeat):
            self.counts.heard(server, headers.sent_ms)
            fetch.unconfirmed += 1
            self._outlet.send_heartbeat(server, headers, fetch.confirm)
            return
        value = record.value
        if not value:
            return
        if headers.file and 0 <= headers.byte_offset < headers.end_offset:
            value = self._unprocessed(server, headers, value)
            fetch.pieces.append((server, headers.file, headers.byte_offset, headers.end_offset))
            if not value:
                return
        self._take_lines(server, headers, value, fetch, record.offset)

    def _unprocessed(self, server: str, headers: RawHeaders, value: bytes) -> bytes:
        """The part of the value whose lines were not taken in before."""
        file = self._processed.file(server, headers.file)
        start, end = headers.byte_offset, headers.end_offset
        if file.covers(start, end):
            self.counts.repeated_lines += value.count(b"\n")
            value = b""
        elif len(value) == end - start:  # else a line was cut, and offsets can't be counted in the value
            repeated = file.processed_until(start) - start
            if repeated:
                self.counts.repeated_lines += value.count(b"\n", 0, repeated)
                value = value[repeated:]
        self._processed.add(server, headers.file, start, end, headers.sent_ms)
        return value

    def _take_lines(
        self, server: str, headers: RawHeaders, value: bytes, fetch: RetainedFetch, record_offset: int
    ) -> None:
        try:
            parser = self._parser(headers)
            counts = self.counts.tally.of(server, headers.format)
        except (BadInputError, SettingsError) as error:
            counts = self.counts.tally.of(server, "(unknown)")
            for line in value.splitlines():
                self._dead_letter(line, "record", str(error), LineOrigin(server, headers.file, -1), fetch)
                counts.lines += 1
                counts.unreadable["record"] += 1
            return
        parser.stamps.shipped(headers.sent_ms or fetch.arrived_at)
        done = self._crossed.get(server) if record_offset <= self._crossed_until else None
        unreadable = join_lines(self._joiner, parser, server, decode_lines(value), counts, done)
        if unreadable:
            raw = value.split(b"\n")
            for index, reason in unreadable:
                offset = headers.byte_offset + sum(len(line) + 1 for line in raw[:index])
                origin = LineOrigin(server, headers.file, offset if headers.byte_offset >= 0 else -1)
                self._dead_letter(raw[index], "line", reason, origin, fetch)

    def _parser(self, headers: RawHeaders) -> LineParser:
        key = headers.format, headers.tz or self._rules.timezone
        parser = self._parsers.get(key)
        if parser is None:
            if len(self._parsers) >= _MOST_PARSERS:
                self._parsers.clear()
            parser = make_parser(key[0], StampReader(find_zone(key[1], "the record's header tz")))
            self._parsers[key] = parser
        return parser

    def _dead_letter(self, line: bytes, reason: str, detail: str, origin: LineOrigin, fetch: RetainedFetch) -> None:
        fetch.unconfirmed += 1
        self._outlet.send_dead_letter(DeadLetter(line, reason, origin, detail), fetch.confirm)

    def _send(self, rows: list[Outcome], fetch: RetainedFetch) -> None:
        if rows:
            self.counts.rows += len(rows)
            fetch.unconfirmed += self._outlet.send_outcomes(self.partition, rows, fetch.confirm)

    def _retain(self, message: Message, fetch: RetainedFetch, now: int) -> None:
        retained_by = self._retained_by.get(message)
        if not message.is_closed():
            if retained_by is None:
                self._retained_by[message] = fetch
                fetch.messages[message] = None
                self._pending_due.append((now + self._rules.pending_after_ms, message))
            characters = count_characters(message)
            self._all_characters += characters - self._characters.get(message, 0)
            self._characters[message] = characters
            return
        if retained_by is not None:
            self._release(message, retained_by)
            retained_by.crossing.setdefault(fetch, []).append((message.server, message.queue_id))
        closed_by = self._stored.pop(message, None)
        if closed_by is not None:
            # Read again after a crash, an early line finds the entry closed by a later one, which comes again too.
            (retained_by or fetch).closed.append((message, max(closed_by, fetch.last_offset)))

    def _release(self, message: Message, retained_by: RetainedFetch) -> None:
        del self._retained_by[message]
        del retained_by.messages[message]
        self._all_characters -= self._characters.pop(message, 0)

    def _retain_with(self, before: Message, message: Message, fetch: RetainedFetch, now: int) -> None:
        """What `message` has from the one before it is lost in a crash unless that one's lines are read again too."""
        earlier = self._retained_by.get(before)
        if earlier is None or earlier is fetch:
            return
        retained_by = self._retained_by.get(message)
        if retained_by is None:
            self._pending_due.append((now + self._rules.pending_after_ms, message))
        elif retained_by.first_offset <= earlier.first_offset:
            return
        else:
            del retained_by.messages[message]
        self._retained_by[message] = earlier
        earlier.messages[message] = None

    def _find_parked(self, server: str, queue_id: str) -> Message | None:
        value = self._table.get(stored_key(server, queue_id))
        if value is None:
            return None
        parked = decode_stored(value)
        self._stored[parked.message] = parked.closed_by_offset
        self.counts.loaded += 1
        return parked.message

    def _send_pending(self, now: int) -> None:
        while self._pending_due and (
            self._pending_due[0][0] <= now or self._pending_due[0][1] not in self._retained_by
        ):
            _, message = self._pending_due.popleft()
            retained_by = self._retained_by.get(message)
            if retained_by is not None:
                self._send(self._joiner.pending_rows(message), retained_by)

    def _park_oldest(self, now: int) -> None:
        """Park what the oldest fetches hold: those past their age, and as many as it takes to keep the bounds."""
        surplus = len(self._retained) - MAX_RETAINED_FETCHES
        for number, fetch in enumerate(self._retained):
            is_young = fetch.arrived_at > now - self._rules.park_after_ms
            if is_young and number >= surplus and not self._has_too_many:
                break
            for message in list(fetch.messages):
                self._park(message, fetch)
        self._send_pending(now)

    def _park(self, message: Message, fetch: RetainedFetch) -> None:
        """Write the message to the table and forget it; later events load it back from there."""
        self._release(message, fetch)
        self._send(self._joiner.pending_rows(message), fetch)
        key = stored_key(message.server, message.queue_id)
        if self._stored.pop(message, None) is None:
            earlier = self._entry(key)
            if earlier is None:
                self.parked_messages += 1
            elif earlier.queued_at == message.queued_at:
                merge(message, earlier)
        entry = encode_stored(message)
        fetch.unconfirmed += 1
        self._parking += 1
        self._parking_bytes += len(entry)

        def confirm() -> None:
            self._parking -= 1
            self._parking_bytes -= len(entry)
            fetch.confirm()

        self._table.put(key, entry, confirm)
        self._joiner.forget(message)
        self.counts.parked += 1

    def _acknowledge(self, now: int, committed: int) -> None:
        """Write the marks of every fetch that is done, oldest first, then acknowledge those; one round at a time."""
        done = list(takewhile(RetainedFetch.is_done, self._retained))
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
                    self._retained.popleft()
                    fetch.acknowledge()

        for fetch in done:
            for message, offset in fetch.closed:
                key = stored_key(message.server, message.queue_id)
                self._to_delete.append((offset, key))
                stored = self._entry(key)
                if stored is None or stored.queued_at == message.queued_at:
                    self._table.put(key, encode_stored(message, offset), confirm)
                else:
                    confirm()  # the queue id is in use again, and the entry is the new message's
        self._mark(done, now, committed)
        self._table.put(RANGES_KEY, encode_ranges(self._acked), confirm)

    def _entry(self, key: bytes) -> Message | None:
        value = self._table.get(key)
        return decode_stored(value).message if value is not None else None

    def _mark(self, done: list[RetainedFetch], now: int, committed: int) -> None:
        acked = self._acked
        last = done[-1].last_offset
        for fetch in done:
            for server, file, start, end in fetch.pieces:
                acked.add(server, file, start, end, now)
            for closer, messages in fetch.crossing.items():
                if closer.last_offset > last:
                    for server, queue_id in messages:
                        acked.cross(server, queue_id, closer.last_offset)
        acked.forget_crossed(committed)
        acked.forget_quiet(now)

    def _delete_closed(self, committed: int) -> None:
        """A closed message stays in the table until the commit has passed the fetch that closed it."""
        passed = [key for offset, key in self._to_delete if offset < committed]
        if not passed:
            return
        self._to_delete = [entry for entry in self._to_delete if entry[0] >= committed]
        for key in passed:
            value = self._table.get(key)
            if value is not None and OPEN < decode_stored(value).closed_by_offset < committed:
                self._table.delete(key)
                self.parked_messages -= 1

    def _sweep(self, now: int) -> None:
        """Find closed entries that a crash left behind, and drop messages older than the MTA's longest retry."""
        kept = 0
        for key in self._table.all_keys():
            value = self._table.get(key) if not key.startswith(b"\0") else None
            if value is None:
                continue
            parked = decode_stored(value)
            kept += 1
            if parked.closed_by_offset != OPEN:
                self._to_delete.append((parked.closed_by_offset, key))
            elif 0 < parked.message.completed_at < now - CORRELATION_WINDOW_MS:
                self._table.delete(key)
                kept -= 1
            elif parked.message.queued_at < now - self._rules.give_up_after_ms:
                self._table.delete(key)
                kept -= 1
                self.counts.given_up += 1
        self.parked_messages = kept
