"""The simulated servers at work, in a thread of their own, until they are told to stop."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from postwatch.deploy.simulator.files import Schedule, ServerLogs, play
from postwatch.deploy.simulator.simulation import Simulation
from postwatch.deploy.simulator.troubles import ALL_GREYLISTED, Trouble
from postwatch.deploy.simulator.truth import TruthRow
from postwatch.producers.service.lifecycle import now_ms

_DAY_SECONDS = 86_400.0
_ROTATE_SECONDS = 600.0
_SEED = 1
_STEADY_AN_HOUR, _STEADY_DAYS = 12.0, 8
_BROKEN_MS = 30 * 60_000


class SimulatedFleet:
    """Servers that write logs below a folder: the mail of some days at once, then some more every second."""

    def __init__(
        self,
        folder: Path,
        servers: int,
        postfix: int,
        history_messages: int,
        messages_per_second: float,
        *,
        is_broken: bool = False,
    ) -> None:
        """Makes the empty logs; the last `postfix` servers run Postfix. Raises BadInputError: they can't be written.

        `is_broken`: there is a week before, with which reports compare, and since half an hour one provider greylists
        everybody.
        """
        trouble = None
        if is_broken:
            trouble = Trouble(ALL_GREYLISTED, now_ms() - _BROKEN_MS, provider="Microsoft")
        self._simulation = Simulation(_SEED, servers, postfix, trouble)
        self._schedule = Schedule(
            history_messages,
            48,
            messages_per_second,
            _DAY_SECONDS,
            _SEED,
            steady_an_hour=_STEADY_AN_HOUR,
            steady_days=_STEADY_DAYS if is_broken else 0,
        )
        self._logs = ServerLogs(folder, self._simulation)
        self._stopping = threading.Event()
        self._thread = ThreadPoolExecutor(1, "fleet")
        self._work: Future[None] | None = None
        self._known: list[TruthRow] = []
        self.folder = folder

    @property
    def servers(self) -> list[str]:
        return [server.name for server in self._simulation.provider.servers]

    @property
    def showcase(self) -> str:
        """An account with mail of every kind."""
        return self._simulation.provider.showcase

    @property
    def owner(self) -> str:
        """Who owns the domain of that account."""
        return self._simulation.provider.servers[0].domains[0].owner.user

    @property
    def reseller(self) -> str:
        """Who sold to that owner."""
        return self._simulation.provider.reseller

    def log_of(self, server: str) -> Path:
        return self._logs.path(server)

    def start(self) -> None:
        self._work = self._thread.submit(self._play)

    def known(self) -> list[TruthRow]:
        """What was true about a second ago; it goes on changing. Raises what ended the thread, if anything did."""
        if self._work and self._work.done():
            self._work.result()
        return self._known

    def stop(self) -> list[TruthRow]:
        """End at a whole line → what is true of all that was written."""
        self._stopping.set()
        if self._work:
            self._work.result()
        self._thread.shutdown()
        self._logs.close()
        return self._logs.truth.rows()

    def _play(self) -> None:
        for _ in play(self._simulation, self._schedule, self._logs, self._stopping, _ROTATE_SECONDS):
            self._known = self._logs.truth.rows()
