"""What the shippers of many servers send at once, each a few lines and a heartbeat. Pure: time comes as an argument.

Such shippers have little to wait for, so a message comes in two records: its arrival, and a second later its delivery
and end, or that it is deferred.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from postwatch.deploy.simulator import exim
from postwatch.producers.record import Headers, Heartbeat, RawHeaders

from tests.benchmarks.workload import plain_arrival, plain_delivery, server_name

HEARTBEAT_EVERY_MS = 10_000
DELIVERED_AFTER_MS = 1000
DEFERRED_ONE_IN = 20
"""Messages that stay open: the join parks them."""
LINES_A_MESSAGE = 3 - 1 / DEFERRED_ONE_IN
_TEXTS = 500
_STRIDE = 7919
"""Servers take turns in steps of this prime number."""


class Sent(NamedTuple):
    """A record on its way to the raw topic."""

    server: str
    headers: Headers
    value: bytes


class _Text(NamedTuple):
    """What the log says of a message, without stamps and ids."""

    arrival: str
    delivery: str
    deferral: str


class ManyServers:
    """Servers that have the same share of all mail."""

    def __init__(self, servers: int, lines_a_second: float, started_ms: int, seed: int = 1) -> None:
        self._names = [server_name(number) for number in range(servers)]
        self._messages_a_ms = lines_a_second / LINES_A_MESSAGE / 1000
        self._started_ms = started_ms
        self._offsets = [0] * servers
        self._last_line_ms = [0] * servers
        self._texts = _texts(random.Random(seed))
        self._in_delivery: deque[tuple[int, int, str, int]] = deque()
        self._messages_due = self._heartbeats_due = 0.0
        self.messages = self.lines = self.records = self.heartbeats = 0

    def send(self, now_ms: int, span_ms: float) -> Iterator[Sent]:
        """What they send now, where they sent last so many ms ago."""
        self._messages_due += span_ms * self._messages_a_ms
        while self._messages_due >= 1:
            self._messages_due -= 1
            yield self._arrival(now_ms)
        self._heartbeats_due += span_ms * len(self._names) / HEARTBEAT_EVERY_MS
        while self._heartbeats_due >= 1:
            self._heartbeats_due -= 1
            yield self._heartbeat(now_ms)
        yield from self._endings(now_ms, now_ms - DELIVERED_AFTER_MS)

    def rest(self, now_ms: int) -> Iterator[Sent]:
        """The endings of all that has arrived."""
        yield from self._endings(now_ms, now_ms)

    def _endings(self, now_ms: int, until_ms: int) -> Iterator[Sent]:
        while self._in_delivery and self._in_delivery[0][0] <= until_ms:
            _, server, queue_id, number = self._in_delivery.popleft()
            text = self._texts[number % _TEXTS]
            words = [text.deferral] if number % DEFERRED_ONE_IN == 0 else [text.delivery, "Completed"]
            yield self._record(server, now_ms, queue_id, words)

    def _arrival(self, now_ms: int) -> Sent:
        number = self.messages
        self.messages += 1
        server = number * _STRIDE % len(self._names)
        queue_id = exim.queue_id(now_ms, number)
        self._in_delivery.append((now_ms, server, queue_id, number))
        return self._record(server, now_ms, queue_id, [self._texts[number % _TEXTS].arrival])

    def _record(self, server: int, now_ms: int, queue_id: str, words: list[str]) -> Sent:
        head = f"{exim.stamp(now_ms)} {queue_id} "
        value = "".join([f"{head}{text}\n" for text in words]).encode()
        byte_offset = self._offsets[server]
        self._offsets[server] += len(value)
        self._last_line_ms[server] = now_ms
        self.lines += len(words)
        self.records += 1
        name = self._names[server]
        headers = RawHeaders("exim-main", "UTC", f"{name}-mainlog", byte_offset, byte_offset + len(value), now_ms)
        return Sent(name, headers.encode(), value)

    def _heartbeat(self, now_ms: int) -> Sent:
        server = self.heartbeats % len(self._names)
        self.heartbeats += 1
        beat = Heartbeat(now_ms, self._last_line_ms[server], 0, 1, "benchmark", started_ms=self._started_ms)
        return Sent(self._names[server], beat.encode(), b"")


def _texts(chance: random.Random) -> list[_Text]:
    texts = []
    for number in range(_TEXTS):
        recipient = f"reader{number}@far{number % 300}.example"
        arrival = plain_arrival(f"user{number % 97}@shop{number % 40}.example", recipient, chance)
        deferral = (
            f"== {recipient} R=dnslookup T=remote_smtp defer (110): Connection timed out "
            f"H=mx.far{number % 300}.example [198.51.100.7]"
        )
        texts.append(_Text(arrival, plain_delivery(recipient, chance), deferral))
    return texts
