"""What can break, one function a kind: it chooses its victim and returns how the fault begins and how it ends.

A fault is drawn from a seeded chance and changes nothing until it begins. Its victims are named, so that faults at the
same time do not undo one another.
"""

from __future__ import annotations

import itertools
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from confluent_kafka import Producer
from postwatch.producers.record import RawHeaders
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.contracts.arrow_stream import encode_stream
from postwatch.streams.contracts.outcome import Attempt, Outcome
from postwatch.streams.contracts.outcome_records import SCHEMA, to_batch

from tests.chaos.proxy import Behaviour
from tests.chaos.stack import SESSION_SECONDS, Stack
from tests.chaos.traffic import HOUR_MS, Traffic

BROKER = "broker"
"""What is hurt, or must not be, where one of the brokers is a victim."""
FULL_BYTES = 16
"""What a file may hold on the full disk."""


@dataclass
class Scene:
    """What faults act on, and the dead letters that they will have caused."""

    stack: Stack
    traffic: Traffic
    chance: random.Random
    letters: list[bytes] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))


@dataclass(frozen=True)
class Fault:
    """One thing that breaks for some seconds."""

    kind: str
    victims: frozenset[str]
    seconds: float
    begin: Callable[[], object]
    end: Callable[[], object] = lambda: None


MakeFault = Callable[[str, Scene], Fault]


def _killed(member_kind: str) -> MakeFault:
    """kill -9; it stays away for up to 3 s."""

    def make(kind: str, scene: Scene) -> Fault:
        return _ended(kind, scene, member_kind, lambda name: scene.stack.members[name].kill())

    return make


def _terminated(member_kind: str) -> MakeFault:
    """SIGTERM; it stays away for up to 3 s."""

    def make(kind: str, scene: Scene) -> Fault:
        return _ended(kind, scene, member_kind, lambda name: scene.stack.members[name].part.terminate())

    return make


def _ended(kind: str, scene: Scene, member_kind: str, end_process: Callable[[str], None]) -> Fault:
    name = scene.chance.choice(scene.stack.names(member_kind))
    member = scene.stack.members[name]

    def begin() -> None:
        member.is_wanted = False
        end_process(name)

    def end() -> None:
        member.is_wanted = True

    # Of a cluster one broker at a time: with two away nothing may be acknowledged.
    victims = frozenset({name, BROKER} if member_kind == BROKER else {name})
    return Fault(kind, victims, scene.chance.uniform(0, 3), begin, end)


def _zombie(member_kind: str) -> MakeFault:
    """SIGSTOP for longer than the group's session, then SIGCONT: it wakes up with partitions that others have now."""

    def make(kind: str, scene: Scene) -> Fault:
        name = scene.chance.choice(scene.stack.names(member_kind))
        member = scene.stack.members[name]
        return Fault(
            kind,
            frozenset({name}),
            SESSION_SECONDS + scene.chance.uniform(1, 4),
            lambda: member.signal(signal.SIGSTOP),
            lambda: member.signal(signal.SIGCONT),
        )

    return make


def _network(behaviour: Behaviour) -> MakeFault:
    """What the proxy between the sinks and ClickHouse does for a while."""

    def make(kind: str, scene: Scene) -> Fault:
        proxy = scene.stack.proxy

        def behave(wanted: Behaviour) -> None:
            proxy.behaviour = wanted

        return Fault(
            kind,
            frozenset({"network"}),
            scene.chance.uniform(3, 8),
            lambda: behave(behaviour),
            lambda: behave(Behaviour.PASS),
        )

    return make


def _inserts_refused(kind: str, scene: Scene) -> Fault:
    """ClickHouse answers, and takes no rows: the table has as many parts as it may have."""
    stack = scene.stack

    def change(words: str) -> None:
        connect(stack.clickhouse).command(f"ALTER TABLE deliveries {words}")

    return Fault(
        kind,
        frozenset({"clickhouse"}),
        scene.chance.uniform(3, 8),
        lambda: change("MODIFY SETTING parts_to_delay_insert = 1, parts_to_throw_insert = 1"),
        lambda: change("RESET SETTING parts_to_delay_insert, parts_to_throw_insert"),
    )


def _worker_added(kind: str, scene: Scene) -> Fault:
    """A third join worker comes, with an empty folder, and goes."""
    name = f"join-added-{next(scene.numbers)}"
    stack = scene.stack
    return Fault(
        kind,
        frozenset({name}),
        scene.chance.uniform(8, 12),
        lambda: stack.add_join(name),
        lambda: stack.forget(name),
    )


def _worker_removed(kind: str, scene: Scene) -> Fault:
    """A join worker leaves in good order and comes back."""
    name = scene.chance.choice(scene.stack.names("join"))
    member = scene.stack.members[name]

    def begin() -> None:
        member.is_wanted = False
        member.part.terminate()

    def end() -> None:
        member.is_wanted = True

    return Fault(kind, frozenset({name, "join workers"}), scene.chance.uniform(6, 10), begin, end)


def _tables_deleted(kind: str, scene: Scene) -> Fault:
    """A join worker dies and its disk is lost."""
    name = scene.chance.choice(scene.stack.names("join"))
    member = scene.stack.members[name]

    def begin() -> None:
        member.is_wanted = False
        member.kill()
        scene.stack.delete_tables(name)

    def end() -> None:
        member.is_wanted = True

    return Fault(kind, frozenset({name}), scene.chance.uniform(0, 2), begin, end)


def _duplicate_shipper(kind: str, scene: Scene) -> Fault:
    """A second shipper of the same file, with a checkpoint of its own: it sends all of the log once more."""
    server = scene.chance.choice(scene.traffic.servers)
    name = f"ship-again-{next(scene.numbers)}"
    stack = scene.stack
    return Fault(
        kind,
        frozenset({name}),
        scene.chance.uniform(4, 8),
        lambda: stack.add_shipper(name, server),
        lambda: stack.forget(name),
    )


def _rotation(how: str) -> MakeFault:
    """A rotation while all works."""

    def make(kind: str, scene: Scene) -> Fault:
        server = scene.chance.choice(scene.traffic.servers)
        log = scene.traffic.logs[server]
        number = next(scene.numbers)
        rotate = {
            "rename": log.rename,
            "copytruncate": log.copytruncate,
            "within line": lambda: log.copytruncate_within_line(number),
        }[how]
        return Fault(kind, frozenset({f"log of {server}"}), 0.0, rotate)

    return make


def _rotated_unseen(how: str, times: int) -> MakeFault:
    """Rotations while the shipper is down, with lines between them."""

    def make(kind: str, scene: Scene) -> Fault:
        server = scene.chance.choice(scene.traffic.servers)
        member = scene.stack.members[f"ship-{server}"]
        log = scene.traffic.logs[server]
        rotate = log.rename if how == "rename" else log.copytruncate

        def begin() -> None:
            member.is_wanted = False
            member.kill()
            if times > 1:
                rotate()

        def end() -> None:
            rotate()
            member.is_wanted = True

        victims = frozenset({f"ship-{server}", f"log of {server}"})
        return Fault(kind, victims, scene.chance.uniform(1, 3), begin, end)

    return make


def _rotated_in_outage(how: str) -> MakeFault:
    """The broker is away while a log is rotated under a shipper that can't send."""

    def make(kind: str, scene: Scene) -> Fault:
        server = scene.chance.choice(scene.traffic.servers)
        log = scene.traffic.logs[server]
        name = scene.chance.choice(scene.stack.names(BROKER))
        broker = scene.stack.members[name]

        def begin() -> None:
            broker.is_wanted = False
            broker.kill()

        def end() -> None:
            (log.rename if how == "rename" else log.copytruncate)()
            broker.is_wanted = True

        return Fault(kind, frozenset({name, BROKER, f"log of {server}"}), scene.chance.uniform(2, 4), begin, end)

    return make


def _unparsable_line(kind: str, scene: Scene) -> Fault:
    server = scene.chance.choice(scene.traffic.servers)
    number = next(scene.numbers)

    def begin() -> None:
        scene.letters.append(scene.traffic.logs[server].write_unparsable(number))

    return Fault(kind, frozenset(), 0.0, begin)


def _poison_record(kind: str, scene: Scene) -> Fault:
    """A record of a format that nobody knows."""
    number = next(scene.numbers)
    line = b"poison %d \x00\xfe\xff" % number
    headers = RawHeaders("exim-mian", "UTC", f"poison {number}", 0, len(line) + 1, 1).encode()

    topic = scene.stack.kafka.raw_topic
    return _produced(kind, scene, line, topic, line + b"\n", key=b"poisoner", headers=[*headers])


def _produced(kind: str, scene: Scene, letter: bytes, topic: str, value: bytes, **more: Any) -> Fault:
    """A record that nobody can use, which will be a dead letter."""

    def begin() -> None:
        producer = Producer({"bootstrap.servers": scene.stack.kafka.brokers, "acks": "all", "log_level": 2})
        producer.produce(topic, value=value, **more)
        if not producer.flush(5):
            scene.letters.append(letter)

    return Fault(kind, frozenset({BROKER}), 0.0, begin)


def _poison_outcome(kind: str, scene: Scene) -> Fault:
    """A record in the topic of outcomes that holds no rows."""
    value = b"no rows %d" % next(scene.numbers)
    return _produced(kind, scene, value, scene.stack.kafka.outcomes_topic, value)


def _refused_outcome(kind: str, scene: Scene) -> Fault:
    """A row that ClickHouse refuses, among those of others: as only a broken producer makes it."""
    number = next(scene.numbers)
    value = encode_stream(with_unequal_attempts(f"poisoner {number}").take([0]))

    return _produced(kind, scene, value, scene.stack.kafka.outcomes_topic, value)


def with_unequal_attempts(server: str) -> pa.Table:
    """One row with two answers to one attempt."""
    now_ms = time.time_ns() // 1_000_000
    attempts = (Attempt(now_ms, "delivered", 250, "250 OK", "", ""),)
    row = Outcome(server=server, queued_at=now_ms, updated_at=now_ms, attempts=attempts)
    place = SCHEMA.get_field_index("attempts.response")
    whole = pa.Table.from_batches([to_batch([row])])
    return whole.set_column(place, SCHEMA.field(place), pa.array([["250 OK", "550 no"]]))


def _clock_off(kind: str, scene: Scene) -> Fault:
    """The clock of one server jumps by an hour, and back."""
    server = scene.chance.choice(scene.traffic.servers)
    log = scene.traffic.logs[server]
    off_ms = scene.chance.choice((-HOUR_MS, HOUR_MS))

    def turn(wanted_ms: int) -> None:
        log.clock_off_ms = wanted_ms

    return Fault(
        kind, frozenset({f"clock of {server}"}), scene.chance.uniform(2, 5), lambda: turn(off_ms), lambda: turn(0)
    )


def _disk_full(member_kind: str) -> MakeFault:
    """No file of the process grows any more: checkpoint, RocksDB."""

    def make(kind: str, scene: Scene) -> Fault:
        name = scene.chance.choice(scene.stack.names(member_kind))
        member = scene.stack.members[name]
        return Fault(
            kind,
            frozenset({name}),
            scene.chance.uniform(3, 6),
            lambda: member.limit_files(FULL_BYTES),
            lambda: member.limit_files(-1),
        )

    return make


BROKER_KILLED = "broker killed"
KINDS: dict[str, MakeFault] = {
    "shipper killed": _killed("ship"),
    "shipper terminated": _terminated("ship"),
    "shipper stalled": _zombie("ship"),
    "join killed": _killed("join"),
    "join terminated": _terminated("join"),
    "join stalled beyond its session": _zombie("join"),
    "sink killed": _killed("sink"),
    "sink terminated": _terminated("sink"),
    "sink stalled beyond its session": _zombie("sink"),
    BROKER_KILLED: _killed(BROKER),
    "broker restarted": _terminated(BROKER),
    "ClickHouse killed": _killed("clickhouse"),
    "ClickHouse restarted": _terminated("clickhouse"),
    "ClickHouse refuses connections": _network(Behaviour.REFUSE),
    "ClickHouse slow": _network(Behaviour.SLOW),
    "insert cut in the middle": _network(Behaviour.CUT),
    "answer to an insert lost": _network(Behaviour.DROP_ANSWER),
    "insert arrives when the sink has given up": _network(Behaviour.LATE),
    "ClickHouse refuses inserts": _inserts_refused,
    "join worker added and removed": _worker_added,
    "join worker removed and added": _worker_removed,
    "RocksDB folder deleted": _tables_deleted,
    "second shipper of one file": _duplicate_shipper,
    "log renamed": _rotation("rename"),
    "log copied and truncated": _rotation("copytruncate"),
    "log copied and truncated within a line": _rotation("within line"),
    "log renamed while the shipper is down": _rotated_unseen("rename", 1),
    "log renamed twice while the shipper is down": _rotated_unseen("rename", 2),
    "log copied and truncated while the shipper is down": _rotated_unseen("copytruncate", 1),
    "log copied and truncated twice while the shipper is down": _rotated_unseen("copytruncate", 2),
    "log renamed while the broker is away": _rotated_in_outage("rename"),
    "log copied and truncated while the broker is away": _rotated_in_outage("copytruncate"),
    "unparsable line": _unparsable_line,
    "poison record": _poison_record,
    "poison outcome": _poison_outcome,
    "outcome that ClickHouse refuses": _refused_outcome,
    "clock an hour off": _clock_off,
    "disk full under a checkpoint": _disk_full("ship"),
    "disk full under RocksDB": _disk_full("join"),
}


class Bag:
    """Kinds in a random order, each once before any comes again."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._left: list[str] = []

    def draw(self, scene: Scene, most: int) -> list[Fault]:
        """Up to so many faults at once, with victims of their own each; in a cluster one broker is always hurt."""
        drawn: list[Fault] = []
        taken: set[str] = set()
        for _ in range(most):
            if not self._left:
                self._left = list(KINDS)
                self._chance.shuffle(self._left)
            kind = self._left.pop()
            fault = KINDS[kind](kind, scene)
            if fault.victims & taken:
                self._left.insert(0, kind)
                continue
            taken |= fault.victims
            drawn.append(fault)
        if len(scene.stack.names(BROKER)) > 1 and BROKER not in taken:
            drawn.append(KINDS[BROKER_KILLED](BROKER_KILLED, scene))
        return drawn
