"""Faust's recovery as it is: which offset that is none it asks for, and which changelogs it goes on reading."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from faust.tables.recovery import Recovery
from faust.types import TP

from tests.streams.faust_glue.test_app import make_app
from tests.waiting import PATIENCE

BEFORE, AFTER = TP("changelog", 0), TP("changelog", 1)


class FakeFaust:
    """App, consumer, tables and assignor in one, as far as the recovery needs them."""

    def __init__(self) -> None:
        self.standbys = {BEFORE}
        self.actives: set[TP] = set()
        self.persisted: int | None = None
        self.recovery_buffer_size = 0
        self.read: set[TP] = set()
        """Changelogs that are not paused."""
        self.sought: list[dict[TP, int | None]] = []
        self.completed = 0
        self.recovery: Any = None
        self.is_overtaken = False
        self.conf = SimpleNamespace(
            stream_recovery_delay=0.0, broker_request_timeout=PATIENCE, recovery_consistency_check=True, store=None
        )
        self.consumer = self.assignor = self.flow_control = self._fetcher = self.on_rebalance_complete = self
        self.tracer = self._rebalancing_span = self._producer = None
        self.consumer_generation_id = 1
        self.in_recovery = self.in_transaction = False
        self._changelogs = {"changelog": self}

    def persisted_offset(self, _tp: TP) -> int | None:
        return self.persisted

    def assigned_standbys(self) -> set[TP]:
        return self.standbys

    def assigned_actives(self) -> set[TP]:
        return self.actives

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        self.read.update(tps)

    def pause_partitions(self, tps: Iterable[TP]) -> None:
        self.read.difference_update(tps)

    async def highwaters(self, *tps: TP) -> Mapping[TP, int]:
        return dict.fromkeys(tps, 10)

    async def earliest_offsets(self, *tps: TP) -> Mapping[TP, int]:
        return dict.fromkeys(tps, 3)

    async def seek_wait(self, offsets: Mapping[TP, int | None]) -> None:
        if offsets:
            self.sought.append(dict(offsets))

    def resume(self) -> None:
        """The last thing that the recovery does before it seeks standbys: a rebalance waits for its turn already."""
        if not self.is_overtaken:
            self.is_overtaken = True
            asyncio.get_running_loop().call_soon(self._rebalance)

    def _rebalance(self) -> None:
        self.standbys, self.consumer_generation_id = {AFTER}, 2
        with contextlib.suppress(StopIteration):  # it awaits nothing: whoever awaits it runs it in one step
            self.recovery.on_rebalance({AFTER}, {BEFORE}, {AFTER}, 2).send(None)

    def on_rebalance_end(self) -> None:
        self.completed += 1

    async def send(self) -> None: ...

    async def maybe_start(self) -> None: ...

    def assignment(self) -> set[TP]:
        return set()

    def values(self) -> list[Any]:
        return []

    def __getattr__(self, name: str) -> Any:
        if name in ("resume_flow", "on_actives_ready", "on_standbys_ready"):
            return lambda *_: None
        raise AttributeError(name)


async def recover(faust: FakeFaust) -> None:
    """A rebalance that assigns what the assignor says, and Faust's recovery after it to its end."""
    fake: Any = faust
    faust.recovery = recovery = Recovery(fake, fake)
    assigned = faust.actives | faust.standbys
    await recovery.on_rebalance(assigned, set(), assigned, 1)
    loop = asyncio.ensure_future(Recovery._restart_recovery.fun(recovery))
    async with asyncio.timeout(PATIENCE):
        while not faust.completed:
            await asyncio.sleep(0.01)
    loop.cancel()


def test_a_rebalance_just_before_the_seek_makes_the_offset_none_and_the_next_recovery_seeks_again() -> None:
    """So what `FetchConsumer.seek_wait` puts in place of None is never read from."""

    async def recovered() -> FakeFaust:
        faust = FakeFaust()
        await recover(faust)
        return faust

    assert asyncio.run(recovered()).sought == [{AFTER: None}, {AFTER: 2}]


def test_what_this_worker_writes_to_the_changelog_is_not_read_back(tmp_path: Path) -> None:
    """It would come late and take the place of newer entries. Standbys are read on."""

    async def recovered() -> FakeFaust:
        app, _ = make_app(tmp_path)
        [table] = app.tables.values()
        faust = FakeFaust()
        faust.actives, faust.standbys, faust.is_overtaken = {BEFORE}, {AFTER}, True
        faust.persisted = 9  # the newest: it has nothing to restore
        faust.recovery_buffer_size = table.recovery_buffer_size
        await recover(faust)
        return faust

    assert asyncio.run(recovered()).read == {AFTER}
