"""The supervisor over parts that live as long as the test wants."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from postwatch.deploy.embedded.part import Part
from postwatch.deploy.embedded.process import Children
from postwatch.deploy.embedded.supervisor import Supervisor, Task, Watched, bound_log
from postwatch.producers.service.errors import UnavailableError

from tests.deploy.test_process import is_running
from tests.waiting import wait_until

SERVE = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
ENDS = "import sys; sys.exit('no such setting')"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SERVE


class Script(Part):
    """A Python script that is ready once it has touched its file."""

    def __init__(self, name: str, script: str, folder: Path, children: Children) -> None:
        super().__init__(name, folder / f"{name}.log", children)
        self.script = script
        self.file = folder / name
        self.says: dict[str, str] = {}

    def command(self) -> Sequence[str]:
        return [sys.executable, "-c", self.script, str(self.file)]

    def is_ready(self) -> bool:
        return self.file.exists()

    def complaints(self) -> dict[str, str]:
        return dict(self.says)


class Household:
    """Parts by name under a supervisor, and what it said."""

    def __init__(self, folder: Path, children: Children) -> None:
        self.said: list[str] = []
        self.watched: dict[str, Watched] = {}
        self.tasks: list[Task] = []
        self._folder = folder
        self._children = children

    def add(self, name: str, script: str = SERVE, *, needs: Sequence[str] = (), serves: bool = False) -> Script:
        part = Script(name, script, self._folder, self._children)
        self.watched[name] = Watched(part, frozenset(needs), f"{name}.sock", is_used_by_others=serves)
        return part

    def supervise(self) -> Supervisor:
        return Supervisor(list(self.watched.values()), self.tasks, self.said.append)


@pytest.fixture
def household(tmp_path: Path) -> Iterator[Household]:
    with Children() as children:
        yield Household(tmp_path, children)


def run_until_all_work(supervisor: Supervisor) -> None:
    def turn() -> bool:
        supervisor.tick()
        return not supervisor.waiting_for()

    wait_until(turn, "all parts work")


def test_a_part_starts_when_what_it_needs_is_done(household: Household) -> None:
    server = household.add("server", serves=True)
    worker = household.add("worker", needs=["made"])
    done: list[bool] = []

    def make() -> list[str]:
        done.append(server.is_ready() and worker.pid == 0)
        return ["made it"]

    household.tasks.append(Task("made", make, frozenset({"server"})))
    supervisor = household.supervise()
    assert supervisor.waiting_for() == ["server", "worker"]
    run_until_all_work(supervisor)
    assert done == [True]
    assert household.said == ["server works at server.sock", "made it", "worker works at worker.sock"]
    supervisor.stop()


def test_a_part_that_is_killed_is_started_again(household: Household) -> None:
    part = household.add("part")
    household.watched["part"].backoff_seconds = 0.02
    supervisor = household.supervise()
    run_until_all_work(supervisor)
    for _ in range(4):  # more often than a part may fail that never worked
        former = part.pid
        part.file.unlink()
        os.kill(former, signal.SIGKILL)

        def is_back(former: int = former) -> bool:
            supervisor.tick()
            return part.pid != former and part.is_ready()

        wait_until(is_back, "the part is back")
    assert sum("was ended by SIGKILL" in line for line in household.said) == 4
    supervisor.stop()


def test_restarts_slow_down_and_a_steady_run_forgives(household: Household) -> None:
    household.add("part", "import pathlib, sys; pathlib.Path(sys.argv[1]).touch(); import time; time.sleep(0.2)")
    watched = household.watched["part"]
    supervisor = household.supervise()

    def backoff_grew() -> bool:
        supervisor.tick()
        return watched.backoff_seconds == 2.0

    wait_until(backoff_grew, "two deaths")
    watched.launched_at = watched.launch_again_at = 0.0

    def is_forgiven() -> bool:
        supervisor.tick()
        if watched.is_launched:
            watched.launched_at = time.monotonic() - 61
        return watched.backoff_seconds == 1.0

    wait_until(is_forgiven, "a death after a long life")
    supervisor.stop()


def test_a_part_that_never_comes_up_is_an_error_with_its_words(household: Household) -> None:
    household.add("part", ENDS)
    supervisor = household.supervise()
    with pytest.raises(UnavailableError, match=r"(?s)part ended with status 1 and does not come up.*no such setting"):
        run_until_all_work(supervisor)
    supervisor.stop()


def test_what_a_part_complains_of_is_told_once(household: Household, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postwatch.deploy.embedded.supervisor._LOOK_AT_LOGS_SECONDS", 0.0)
    part = household.add("part")
    supervisor = household.supervise()
    run_until_all_work(supervisor)
    household.said.clear()
    for complaints in ({"kafka": "away"}, {}, {"files": "/x: no such file yet"}):
        part.says = complaints
        supervisor.tick()
    assert household.said == []  # nothing has stood for two looks
    part.says["kafka"] = "away for 3 s"
    supervisor.tick()
    part.says["kafka"] = "away for 4 s"
    for _ in range(3):
        supervisor.tick()
    part.says = {}
    for _ in range(2):
        supervisor.tick()
    assert household.said == [
        "part complains: /x: no such file yet",
        "part complains: away for 4 s",
        "part has no complaint any more",
    ]
    supervisor.stop()


def test_stop_leaves_nothing_and_ends_servers_last(household: Household, tmp_path: Path) -> None:
    tells_end = (
        "import pathlib, signal, sys, time;"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(open('%s', 'a').write(sys.argv[1] + '\\n') * 0));"
        "pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
    ) % (tmp_path / "ends")
    parts = [household.add("server", tells_end, serves=True), household.add("worker", tells_end)]
    parts.append(household.add("stubborn", STUBBORN))
    supervisor = household.supervise()
    run_until_all_work(supervisor)
    pids = [part.pid for part in parts]
    supervisor.stop(seconds=0.5)
    assert not any(is_running(pid) for pid in pids)
    assert [Path(line).name for line in (tmp_path / "ends").read_text().split()] == ["worker", "server"]


def test_a_log_is_bounded(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    bound_log(log, 10)
    with log.open("a") as writer:
        for text in ("the first lines\n", "the next ones\n", "end\n"):
            writer.write(text)
            writer.flush()
            bound_log(log, 10)
    assert log.read_text() == "end\n"
    assert (tmp_path / "part.log.1").read_text() == "the next ones\n"
