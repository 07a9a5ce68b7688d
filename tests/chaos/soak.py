"""`make soak MINUTES=… RATE=…`: steady traffic with faults, and what every part holds in memory meanwhile.

Every 50th message never completes, and logs are rotated every minute. The first join, sink and shipper are never hurt
themselves, the broker and ClickHouse in the first quarter only. There each kind of part is hurt before any is again, so
that the first join has had all partitions before it is measured. After a third, and at the end, the servers fall silent
until every message that was written is in the table and ClickHouse has merged what it wants to: at both rests the
memory of every part is taken, and `growth.py` judges it.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from postwatch.streams.clickhouse.client import connect

from tests.chaos.growth import Rest, bound_mb, growth_mb, judge
from tests.chaos.soak_picture import draw
from tests.chaos.soak_writer import SoakWriter
from tests.chaos.stack import Stack

SERVERS = ("mx1.soak.example", "mx2.soak.example", "mx3.soak.example")
_SAMPLE_SECONDS = 5.0
_FAULT_SECONDS = 60.0
_STANDSTILL_SECONDS = 180.0
_MERGES_SECONDS = 600.0
_SETTLING_SECONDS = 65.0
"""A join parks after 60 what is still open."""
_REST_SECONDS = 35.0
_OF_MANY = ("join", "sink", "ship")
_ALONE = ("broker", "clickhouse")

_MESSAGES = {"open": "postwatch_open_messages", "parked": "postwatch_table_messages"}
"""What is drawn beside memory → the metric of the joins."""
_MESSAGES_AND_ROWS = """
    SELECT count(), sum(rows) FROM
        (SELECT count() AS rows FROM deliveries FINAL WHERE account != '' GROUP BY server, queue_id)
    SETTINGS max_bytes_before_external_group_by = 67108864
"""
"""On disk, for what the question takes counts as the engine's memory."""
_TO_BE_DONE = """
    SELECT (SELECT count() FROM system.merges WHERE table = 'deliveries')
        + (SELECT count() FROM system.parts WHERE table = 'deliveries' AND NOT active)
"""
"""The other tables take in heartbeats meanwhile."""

Samples = dict[str, list[tuple[float, float]]]
"""Part → (seconds since the start, MB resident), or kind of message → (seconds, messages of all joins)."""


class Soak:
    """Stretches of traffic and rests, in the order in which they are asked for, and what was measured meanwhile."""

    def __init__(self, stack: Stack, writer: SoakWriter, say: Callable[[str], None]) -> None:
        self.samples: Samples = defaultdict(list)
        self.messages: Samples = defaultdict(list)
        self.rests: list[Rest] = []
        self.wrong: list[str] = []
        self._private_mb: dict[str, list[float]] = defaultdict(list)
        self._stack = stack
        self._writer = writer
        self._say = say
        self._chance = random.Random(11)
        self._started = self._sample_at = time.monotonic()
        self._traffic_seconds = 0.0

    def live(self, minutes: float, kinds: Sequence[str]) -> None:
        """Traffic, and every minute a fault to a part of one of those kinds, of each before any comes again."""
        turn: list[str] = []
        self._writer.start()
        started = time.monotonic()
        fault_at = started + _FAULT_SECONDS
        while (now := time.monotonic()) < started + minutes * 60:
            if now >= fault_at:
                fault_at += _FAULT_SECONDS
                turn = turn or self._chance.sample(kinds, len(kinds))
                name, how = _hurt(self._stack, self._chance, turn.pop())
                self._say(f"{now - self._started:6.0f} s  {self._writer.lines:>12,} lines  {how} {name}")
            self._wait(0.2)
        self._writer.stop()
        self._traffic_seconds += time.monotonic() - started

    def rest(self) -> None:
        """Until nothing is to be done; then what every part holds is noted."""
        lines, messages = self._writer.lines, self._writer.messages
        self._say(f"rest: {lines:,} lines, {messages:,} messages, in {self._traffic_seconds:.0f} s of traffic")
        client = connect(self._stack.clickhouse, timeout_seconds=_STANDSTILL_SECONDS)
        self.wrong += self._await_rows(client, messages)
        self._await_merges(client)
        self._wait(_SETTLING_SECONDS)
        self._private_mb.clear()
        self._wait(_REST_SECONDS)
        private_mb = {name: statistics.median(mbs) for name, mbs in self._private_mb.items()}
        launches = {name: member.restarts for name, member in self._stack.members.items()}
        self.rests.append(Rest(self._traffic_seconds, private_mb, launches))

    def _wait(self, seconds: float) -> None:
        """Keeps the parts alive and measures them."""
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            self._stack.tick()
            if now >= self._sample_at:
                self._sample_at += _SAMPLE_SECONDS
                self._sample(now - self._started)
            time.sleep(0.2)

    def _sample(self, at: float) -> None:
        for name in self._stack.members:
            if (memory := _memory(self._stack, name)) is not None:
                resident_mb, private_mb = memory
                self.samples[name].append((at, resident_mb))
                self._private_mb[name].append(private_mb)
        metrics = [self._stack.members[name].metrics() for name in self._stack.names("join")]
        if all(metrics):  # else one is down, and the sum would say that its messages are gone
            for kind, metric in _MESSAGES.items():
                self.messages[kind].append((at, sum(one.get(metric, 0.0) for one in metrics)))

    def _await_rows(self, client: Client, messages: int) -> list[str]:
        """Until every message has its row, or nothing has come for a while; what is missing then.

        Whether all are there is dear to ask, and is not asked while the number of rows, which costs nothing, says no.
        """
        started = moved = time.monotonic()
        found = stored = 0
        while time.monotonic() - moved < _STANDSTILL_SECONDS:
            try:
                [[counted]] = client.query("SELECT count() FROM deliveries").result_rows
                if counted != stored:
                    stored, moved = counted, time.monotonic()
                elif stored >= messages:
                    [[found, rows]] = client.query(_MESSAGES_AND_ROWS).result_rows
                    if found == messages:
                        took = time.monotonic() - started
                        self._say(f"every message is in the table {took:.0f} s after the last line: {rows:,} rows")
                        return [] if rows == messages else [f"{rows} rows of {messages} messages"]
            except (ClickHouseError, OSError) as error:  # the engine may be starting
                self._say(f"asked again: {type(error).__name__}")
            self._wait(2.0)
        return [f"{messages - found} of {messages} messages are not in the table; it has {stored} rows"]

    def _await_merges(self, client: Client) -> None:
        started = time.monotonic()
        while (took := time.monotonic() - started) < _MERGES_SECONDS:
            [[to_be_done]] = client.query(_TO_BE_DONE).result_rows
            if not to_be_done:
                self._say(f"all is merged {took:.0f} s later")
                return
            self._wait(2.0)
        self.wrong.append(f"ClickHouse still merges after {took:.0f} s without a new row")


def _hurt(stack: Stack, chance: random.Random, kind: str) -> tuple[str, str]:
    name = kind if kind in stack.members else chance.choice(stack.names(kind)[1:])
    how = "SIGTERM" if kind not in stack.members and chance.random() < 0.5 else "kill -9"
    if how == "SIGTERM":
        stack.members[name].signal(signal.SIGTERM)
    else:
        stack.members[name].kill()
    return name, how


def _memory(stack: Stack, name: str) -> tuple[float, float] | None:
    """MB resident, and MB of those that are private: neither code nor a mapped file. None: it does not run."""
    member = stack.members[name]
    if not member.is_running:
        return None
    try:
        process = psutil.Process(member.part.pid)
        held = [one.memory_info() for one in (process, *process.children(recursive=True))]
    except psutil.Error:
        return None
    return sum(one.rss for one in held) / 1e6, sum(one.rss - one.shared for one in held) / 1e6


def _table(soak: Soak) -> str:
    lines = [
        "| part | MB at most | bound | private MB at rest | growth in ten minutes, MB |",
        "|---|---|---|---|---|",
    ]
    for part, series in soak.samples.items():
        growth = growth_mb(part, soak.rests)
        told = "not told" if growth is None else f"{growth:+.1f}"
        at_rest = ", ".join(f"{rest.private_mb[part]:.0f}" for rest in soak.rests if part in rest.private_mb)
        lines.append(f"| {part} | {max(mb for _, mb in series):.0f} | {bound_mb(part)} | {at_rest} | {told} |")
    lines += ["", "| messages in the joins | median | at most | at the end |", "|---|---|---|---|"]
    for kind, counted in soak.messages.items():
        numbers = [number for _, number in counted]
        lines.append(f"| {kind} | {statistics.median(numbers):,.0f} | {max(numbers):,.0f} | {numbers[-1]:,.0f} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="of traffic; the rests come on top")
    parser.add_argument("--rate", type=int, default=20_000, help="lines a second, all servers")
    parser.add_argument(
        "--picture", type=Path, help="where to draw the memory of every part, as SVG; beside it the messages"
    )
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="postwatch-soak-"))
    writer = SoakWriter(folder / "servers", SERVERS, arguments.rate)
    domains = folder / "domains"
    domains.write_text("".join(f"shop{number}.example: shop{number}\n" for number in range(40)))
    with Stack(folder, writer.paths, domains, in_haste=False) as stack:
        soak = Soak(stack, writer, lambda line: print(line, flush=True))
        soak.live(arguments.minutes / 4, _OF_MANY + _ALONE)
        soak.live(arguments.minutes / 12, _OF_MANY)  # what was hurt alone warms up again
        soak.rest()
        soak.live(arguments.minutes * 2 / 3, _OF_MANY)
        soak.rest()
    wrong = [*soak.wrong, *stack.crashes(), *judge(soak.samples, soak.rests)]
    print(f"\n{_table(soak)}\n")
    if picture := arguments.picture:
        picture.write_text(draw(soak.samples, "MB resident"))
        picture.with_stem(f"{picture.stem}-messages").write_text(draw(soak.messages, "messages in the joins"))
    for what in wrong:
        print(f"WRONG: {what}")
    if wrong:
        print(f"The parts' logs are in {folder}")
        return 1
    shutil.rmtree(folder)
    print("RIGHT: every message is in the table once, and the memory of every part is bounded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
