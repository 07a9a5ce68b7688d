"""`make soak MINUTES=… RATE=…`: steady traffic with faults, and what every part holds in memory meanwhile.

Every 50th message never completes, and logs are rotated every minute. The first join, sink and shipper are never hurt
themselves, the broker and ClickHouse in the first third only: a leak of theirs is hidden by no restart, and warming up
again is taken for none. At the end each message that was written must be in the table, and the memory of every part
bounded, as `growth.py` has it.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from postwatch.deploy.simulator import exim
from postwatch.streams.clickhouse import connect

from tests.benchmarks.workload import plain_arrival, plain_delivery
from tests.chaos.growth import bound_mb, growth_mb, judge
from tests.chaos.soak_picture import draw
from tests.chaos.stack import Stack

SERVERS = ("mx1.soak.example", "mx2.soak.example", "mx3.soak.example")
SAMPLE_SECONDS = 5.0
_FAULT_SECONDS = 60.0
_ROTATION_SECONDS = 60.0
_BLOCKS_A_SECOND = 10
_IN_DELIVERY = 200
_STUCK_EVERY = 50
_STANDSTILL_SECONDS = 180.0
_OF_MANY = ("join", "sink", "ship")
_ALONE = ("broker", "clickhouse")

_MESSAGES = {"open": "postwatch_open_messages", "parked": "postwatch_table_messages"}
"""What is drawn beside memory → the metric of the joins."""

Samples = dict[str, list[tuple[float, float]]]
"""Part → (seconds since the start, MB resident), or kind of message → (seconds, messages of all joins)."""


@dataclass(frozen=True)
class Soaked:
    """What was measured and what was wrong."""

    samples: Samples
    messages: Samples
    restarts: Counter[str]
    """Of each part in the last two thirds."""
    wrong: list[str]


class SoakWriter:
    """Writes the logs of all servers at a steady rate, from a thread of its own until `stop`."""

    def __init__(self, folder: Path, lines_a_second: int) -> None:
        self.paths = {server: folder / server / "mainlog" for server in SERVERS}
        for path in self.paths.values():
            path.parent.mkdir(parents=True)
            path.touch()
        self.lines = 0
        self.messages = 0
        self._block_lines = lines_a_second // _BLOCKS_A_SECOND // len(SERVERS)
        self._chance = random.Random(7)
        self._in_delivery: dict[str, deque[tuple[str, str]]] = {server: deque() for server in SERVERS}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._write, name="soak-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _write(self) -> None:
        started = time.monotonic()
        rotate_at = started + _ROTATION_SECONDS
        for number in itertools.count(1):
            for server, path in self.paths.items():
                block = self._block(server)
                with path.open("ab") as log:
                    log.write(block)
            if time.monotonic() >= rotate_at:
                rotate_at += _ROTATION_SECONDS
                for path in self.paths.values():
                    _rotate(path)
            if self._stopping.wait(max(0.0, started + number / _BLOCKS_A_SECOND - time.monotonic())):
                return

    def _block(self, server: str) -> bytes:
        at_ms = time.time_ns() // 1_000_000
        stamp = exim.stamp(at_ms)
        lines: list[str] = []
        waiting = self._in_delivery[server]
        while len(lines) < self._block_lines:
            self.messages += 1
            queue_id = exim.queue_id(at_ms, self.messages % 900_000)
            sender = f"user{self.messages % 997}@shop{self.messages % 40}.example"
            recipient = f"reader{self._chance.randrange(100_000)}@far{self.messages % 300}.example"
            lines.append(f"{stamp} {queue_id} {plain_arrival(sender, recipient, self._chance)}")
            if self.messages % _STUCK_EVERY:
                waiting.append((queue_id, recipient))
            if len(waiting) > _IN_DELIVERY:
                queue_id, recipient = waiting.popleft()
                lines.append(f"{stamp} {queue_id} {plain_delivery(recipient, self._chance)}")
                lines.append(f"{stamp} {queue_id} Completed")
        self.lines += len(lines)
        return "\n".join([*lines, ""]).encode()


def _rotate(path: Path) -> None:
    """As logrotate does that keeps four."""
    for number in range(3, 0, -1):
        older = path.with_name(f"mainlog.{number}")
        if older.exists():
            os.replace(older, path.with_name(f"mainlog.{number + 1}"))
    os.replace(path, path.with_name("mainlog.1"))
    path.touch()


def soak(folder: Path, minutes: float, lines_a_second: int, say: Callable[[str], None]) -> Soaked:
    """Live through it."""
    writer = SoakWriter(folder / "servers", lines_a_second)
    domains = folder / "domains"
    domains.write_text("".join(f"shop{number}.example: shop{number}\n" for number in range(40)))
    samples: Samples = defaultdict(list)
    messages: Samples = defaultdict(list)
    restarts: Counter[str] = Counter()
    chance = random.Random(11)
    with Stack(folder, writer.paths, domains, in_haste=False) as stack:
        writer.start()
        started = time.monotonic()
        sample_at, fault_at = started, started + _FAULT_SECONDS
        while time.monotonic() - started < minutes * 60:
            stack.tick()
            now = time.monotonic()
            if now >= sample_at:
                sample_at += SAMPLE_SECONDS
                _sample(stack, now - started, samples)
                _count(stack, now - started, messages)
            if now >= fault_at:
                fault_at += _FAULT_SECONDS
                is_early = now - started < minutes * 60 / 3
                name, how = _hurt(stack, chance, _OF_MANY + _ALONE if is_early else _OF_MANY)
                if not is_early:
                    restarts[name] += 1
                say(f"{now - started:6.0f} s  {writer.lines:>12,} lines  {how} {name}")
            time.sleep(0.2)
        writer.stop()
        say(f"written: {writer.lines:,} lines, {writer.messages:,} messages, in {time.monotonic() - started:.0f} s")
        wrong = _await_all(stack, writer.messages, say)
    return Soaked(samples, messages, restarts, wrong + judge(samples, restarts))


def _hurt(stack: Stack, chance: random.Random, kinds: Sequence[str]) -> tuple[str, str]:
    kind = chance.choice(kinds)
    name = kind if kind in stack.members else chance.choice(stack.names(kind)[1:])
    how = "SIGTERM" if kind not in stack.members and chance.random() < 0.5 else "kill -9"
    if how == "SIGTERM":
        stack.members[name].signal(signal.SIGTERM)
    else:
        stack.members[name].kill()
    return name, how


def _sample(stack: Stack, at: float, samples: Samples) -> None:
    for name, member in stack.members.items():
        if member.is_running:
            try:
                process = psutil.Process(member.part.pid)
                resident = sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))
            except psutil.Error:
                continue
            samples[name].append((at, resident / 1e6))


def _count(stack: Stack, at: float, messages: Samples) -> None:
    metrics = [stack.members[name].metrics() for name in stack.names("join")]
    if all(metrics):  # else one is down, and the sum would say that its messages are gone
        for kind, metric in _MESSAGES.items():
            messages[kind].append((at, sum(one.get(metric, 0.0) for one in metrics)))


def _await_all(stack: Stack, messages: int, say: Callable[[str], None]) -> list[str]:
    """Until every message has its row, or nothing has come for a while; what is missing then.

    Whether all are there is dear to ask, and is not asked while the number of rows, which costs nothing, says no.
    """
    started = moved = time.monotonic()
    client = connect(stack.clickhouse, timeout_seconds=_STANDSTILL_SECONDS)
    found = stored = 0
    while time.monotonic() - moved < _STANDSTILL_SECONDS:
        stack.tick()
        try:
            [[counted]] = client.query("SELECT count() FROM deliveries").result_rows
            if counted != stored:
                stored, moved = counted, time.monotonic()
            elif stored >= messages:
                [[found, rows]] = client.query(
                    "SELECT uniqExact(server, queue_id), count() FROM deliveries FINAL WHERE account != ''"
                ).result_rows
                if found == messages:
                    took = time.monotonic() - started
                    say(f"every message is in the table {took:.0f} s after the last line: {rows:,} rows")
                    return [] if rows == messages else [f"{rows} rows of {messages} messages"]
        except Exception as error:  # the engine may be starting
            say(f"asked again: {type(error).__name__}")
        time.sleep(2.0)
    return [f"{messages - found} of {messages} messages are not in the table; it has {stored} rows"]


def _table(soaked: Soaked) -> str:
    lines = ["| part | MB at most | bound | growth in ten minutes, MB |", "|---|---|---|---|"]
    for part, series in soaked.samples.items():
        growth = growth_mb(series)
        told = "too short to tell" if growth is None else f"{growth:+.1f}"
        if restarts := soaked.restarts[part]:
            told = f"started again {restarts} times"
        lines.append(f"| {part} | {max(mb for _, mb in series):.0f} | {bound_mb(part)} | {told} |")
    lines += ["", "| messages in the joins | median | at most | at the end |", "|---|---|---|---|"]
    for kind, counted in soaked.messages.items():
        numbers = [number for _, number in counted]
        lines.append(f"| {kind} | {statistics.median(numbers):,.0f} | {max(numbers):,.0f} | {numbers[-1]:,.0f} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=int, default=20_000, help="lines a second, all servers")
    parser.add_argument(
        "--picture", type=Path, help="where to draw the memory of every part, as SVG; beside it the messages"
    )
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="postwatch-soak-"))
    soaked = soak(folder, arguments.minutes, arguments.rate, lambda line: print(line, flush=True))
    print(f"\n{_table(soaked)}\n")
    if picture := arguments.picture:
        picture.write_text(draw(soaked.samples, "MB resident"))
        picture.with_stem(f"{picture.stem}-messages").write_text(draw(soaked.messages, "messages in the joins"))
    for what in soaked.wrong:
        print(f"WRONG: {what}")
    if soaked.wrong:
        print(f"The parts' logs are in {folder}")
        return 1
    shutil.rmtree(folder)
    print("RIGHT: every message is in the table once, and the memory of every part is bounded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
