"""One bad night: traffic, rounds of faults, and how long the stack takes to catch up with each round."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from postwatch.streams.clickhouse.client import connect

from tests.chaos.brokers import are_in_sync
from tests.chaos.faults import Bag, Fault, Scene
from tests.chaos.stack import Stack
from tests.chaos.traffic import Traffic
from tests.chaos.verdict import Judgement, drain, judge

SERVERS = 3
MOST_AT_ONCE = 6
CATCH_UP_SECONDS = 300.0
"""For what never comes: how long it took is in the report, and a machine that is shared takes many times as long."""
_START_SECONDS = 300.0
_TICK_SECONDS = 0.1
_CALM_SECONDS = 1.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long: until so many faults or so many seconds, whichever comes first."""

    seed: int
    faults: int
    seconds: float
    brokers: int = 1


@dataclass
class Night:
    """What happened."""

    plan: Plan
    judgement: Judgement = field(default_factory=Judgement)
    catch_up: dict[str, list[float]] = field(default_factory=dict)
    """Kind → seconds from the end of its round until all servers' mail was in the table again."""
    seconds: float = 0.0
    restarts: int = 0
    hurt_connections: int = 0
    lines: int = 0

    @property
    def faults(self) -> int:
        return sum(map(len, self.catch_up.values()))


class Director:
    """Runs the night in one thread."""

    def __init__(self, scene: Scene, night: Night, tell: Tell) -> None:
        self._scene = scene
        self._night = night
        self._tell = tell
        self._bag = Bag(scene.chance)

    def run(self) -> None:
        if self.catch_up(_START_SECONDS) is None:
            self._night.judgement.wrong.append("the stack does not come up")
            return
        began = time.monotonic()
        plan = self._night.plan
        while self._night.faults < plan.faults and time.monotonic() < began + plan.seconds:
            most = min(self._scene.chance.randint(2, MOST_AT_ONCE), plan.faults - self._night.faults)
            self._round(self._bag.draw(self._scene, most))
        self._night.seconds = time.monotonic() - began

    def _round(self, faults: list[Fault]) -> None:
        for fault in faults:
            self._tell(
                f"{self._night.faults + faults.index(fault) + 1:4} {fault.kind} {', '.join(sorted(fault.victims))}"
            )
            fault.begin()
        now = time.monotonic()
        due = sorted(((now + fault.seconds, fault) for fault in faults), key=lambda one: one[0])
        for at, fault in due:
            self._spend(at - time.monotonic())
            fault.end()
        took = self.catch_up(CATCH_UP_SECONDS)
        for fault in faults:
            self._night.catch_up.setdefault(fault.kind, []).append(CATCH_UP_SECONDS if took is None else took)
        if took is None:
            kinds = ", ".join(fault.kind for fault in faults)
            self._night.judgement.wrong.append(f"not caught up within {CATCH_UP_SECONDS:.0f} s of: {kinds}")
        self._tell(f"     caught up in {took:.1f} s" if took is not None else "     NOT CAUGHT UP")
        self._spend(_CALM_SECONDS)
        if not self._are_whole():
            self._night.judgement.wrong.append(f"copies of records are missing {CATCH_UP_SECONDS:.0f} s after a round")

    def _are_whole(self) -> bool:
        """Wait until a broker that was away has all copies again: only then another may be hurt."""
        deadline = time.monotonic() + CATCH_UP_SECONDS
        while not are_in_sync(self._scene.stack.kafka.brokers):
            if time.monotonic() > deadline:
                return False
            self._spend(0.25)
        return True

    def catch_up(self, patience_seconds: float) -> float | None:
        """Seconds until what every server has delivered after now is in the table; None: not in time."""
        began = time.monotonic()
        before = self._scene.traffic.newest_delivered()
        probes: dict[str, str] = {}
        servers = set(self._scene.traffic.servers)
        while time.monotonic() < began + patience_seconds:
            self._spend(0.25)
            for server, queue_id in self._scene.traffic.newest_delivered().items():
                if server not in probes and queue_id != before.get(server):
                    probes[server] = queue_id
            if probes.keys() == servers and self._has(probes):
                return time.monotonic() - began
        return None

    def _has(self, probes: dict[str, str]) -> bool:
        query = (
            "SELECT count(DISTINCT server, queue_id) FROM deliveries "
            "WHERE status = 'delivered' AND (server, queue_id) IN {probes:Array(Tuple(String, String))}"
        )
        try:
            client = connect(self._scene.stack.clickhouse)
            found = client.query(query, parameters={"probes": list(probes.items())}).result_rows
        except Exception:  # whatever a client says of a server that is just coming up
            return False
        return int(found[0][0]) == len(probes)

    def _spend(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            self._scene.stack.tick()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _TICK_SECONDS))


def live_through(plan: Plan, folder: Path, tell: Tell) -> Night:
    """The whole of it, from nothing to the verdict."""
    night = Night(plan)
    traffic = Traffic(folder / "mail", plan.seed, SERVERS)
    logs = {server: log.path for server, log in traffic.logs.items()}
    with Stack(folder, logs, traffic.domains_file, brokers=plan.brokers) as stack:
        scene = Scene(stack, traffic, random.Random(plan.seed))
        traffic.start()
        try:
            Director(scene, night, tell).run()
        finally:
            traffic.stop()
        tell(f"{night.faults} faults in {night.seconds:.0f} s; every part comes to its end")
        late = drain(stack)
        broken = night.judgement.wrong
        night.judgement = judge(scene)
        night.judgement.wrong = [*broken, *late, *stack.crashes(), *night.judgement.wrong]
        night.restarts, night.hurt_connections = stack.restarts(), stack.proxy.hurt
        night.lines = traffic.lines
        if night.judgement.wrong:
            tell(stack.tails())
    return night
