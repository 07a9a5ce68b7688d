"""All parts as production starts them, each a process that is started again when it ends, until it is not wanted.

One thread calls `tick`; nothing else touches the processes. Everything listens on the loopback and ends with this
process.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.embedded.part import Part
from postwatch.deploy.embedded.ports import LOOPBACK, choose_port
from postwatch.deploy.embedded.process import Children
from postwatch.deploy.embedded.supervisor import end_parts
from postwatch.deploy.embedded.worker import Worker
from postwatch.deploy.migrate import migrate
from postwatch.deploy.topics import create_topics
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.errors import EXIT_FAILED

from tests.chaos.brokers import make_brokers, start_brokers
from tests.chaos.proxy import Proxy

PARTITIONS = 6
JOINS = 2
SINKS = 2
SESSION_SECONDS = 6.0
"""Of the join's and the sink's consumer groups; who is silent for longer is thrown out."""
_RESTART_SECONDS = 0.5
_STATUSES = frozenset({0, 143, EXIT_FAILED})
"""Exit statuses of what was asked to end (143: a JVM), and of what could not go on."""


class Build(Worker):
    """A part of the build to which a Python belongs: of this one, unless it is told otherwise."""

    python = Path(sys.executable)

    def command(self) -> Sequence[str]:
        return [str(self.python), *super().command()[1:]]


@dataclass
class Member:
    """A part and whether it should run."""

    part: Part
    metrics_port: int = 0
    is_wanted: bool = True
    is_launched: bool = False
    launch_at: float = 0.0
    restarts: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    """Exit statuses of processes that ended by themselves or by a signal that let them, unless their disk was full."""
    has_full_disk: bool = False

    @property
    def is_running(self) -> bool:
        return self.is_launched and self.part.exit_status() is None

    def tick(self, now: float) -> None:
        status = self.part.exit_status()
        if self.is_launched and status is not None:
            self.is_launched = False
            if not self.has_full_disk:  # which takes its last words, too
                self.statuses[status] += 1
            self.launch_at = now + _RESTART_SECONDS
        if self.is_wanted and not self.is_launched and now >= self.launch_at:
            self.part.launch()
            self.is_launched = True
            self.has_full_disk = False
            self.restarts += 1

    def signal(self, number: signal.Signals) -> None:
        if self.is_running:
            os.killpg(self.part.pid, number)

    def kill(self) -> None:
        """kill -9; it is started again at a later tick, if it is wanted."""
        self.part.kill()
        self.is_launched = False
        self.launch_at = time.monotonic() + _RESTART_SECONDS

    def limit_files(self, size_bytes: int) -> None:
        """As a full disk: no file may grow beyond this. A restart of the process forgets it."""
        if self.is_running:
            self.has_full_disk = True
            _, hard = resource.prlimit(self.part.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(self.part.pid, resource.RLIMIT_FSIZE, (size_bytes, hard))

    def metrics(self) -> dict[str, float]:
        """Sums over all labels by name; empty while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.metrics_port}/metrics", timeout=2) as answer:
                text = answer.read().decode()
        except (OSError, ValueError):
            return {}
        sums: dict[str, float] = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                name = name.partition("{")[0]
                sums[name] = sums.get(name, 0.0) + float(value)
        return sums


class Stack:
    """Use it in a `with` block: it is up inside, and nothing of it is left behind."""

    def __init__(
        self,
        folder: Path,
        logs: Mapping[str, Path],
        domains_file: Path,
        in_haste: bool = True,
        brokers: int = 1,
        python: Path | None = None,
    ) -> None:
        """`logs` are those of the servers, a shipper for each. `python`: of another build; then pages are served."""
        self.folder = folder
        self._children = Children()
        self._brokers = make_brokers(brokers, folder, self._log, self._children)
        self.engine = EmbeddedClickHouse(
            folder / "clickhouse", log_path=self._log("clickhouse"), children=self._children
        )
        self.proxy = Proxy(self.engine.port)
        self.kafka = KafkaSettings(brokers=",".join(one.brokers for one in self._brokers.values()))
        self.clickhouse = self.engine.settings
        self._environment = {
            "POSTWATCH_KAFKA_BROKERS": self.kafka.brokers,
            "POSTWATCH_CLICKHOUSE_URL": f"http://{LOOPBACK}:{self.proxy.port}",
            "POSTWATCH_JOIN_DOMAINS_FILE": str(domains_file),
            "POSTWATCH_SHIP_TZ": "UTC",
            "POSTWATCH_SHIP_HEARTBEAT_SECONDS": "1",
        }
        if in_haste:  # parking must happen often, also around a crash
            self._environment |= {
                "POSTWATCH_JOIN_PENDING_AFTER_SECONDS": "1",
                "POSTWATCH_JOIN_PARK_AFTER_SECONDS": "3",
            }
        self._logs = dict(logs)
        self.members: dict[str, Member] = {name: Member(broker) for name, broker in self._brokers.items()}
        self.members["clickhouse"] = Member(self.engine)
        for number in range(1, JOINS + 1):
            self.add_join(f"join-{number}")
        for number in range(1, SINKS + 1):
            self._add("sink", f"sink-{number}")
        for server in logs:
            self.add_shipper(f"ship-{server}", server)
        self._python = python
        self.pages = ""
        if python:
            self._add_pages()
            for member in self.members.values():
                if isinstance(member.part, Build):
                    member.part.python = python

    def __enter__(self) -> Stack:
        try:
            self.engine.start()
            start_brokers(self._brokers)
            for name in ("clickhouse", *self._brokers):
                self.members[name].is_launched = True
                self.members[name].restarts = 1
            if self._python:
                self.prepare(self._python)
            else:
                create_topics(self.kafka, PARTITIONS)
                migrate(connect(self.clickhouse, database=""), self.clickhouse)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all parts, the servers among them."""
        for member in self.members.values():
            member.is_wanted = False
            member.signal(signal.SIGCONT)
        end_parts([member.part for member in self.members.values()], 3.0)
        self.proxy.close()
        self._children.close()

    def prepare(self, python: Path) -> None:
        """`postwatch migrate --topics` of a build."""
        command = [str(python), "-m", "postwatch.deploy", "migrate", "--topics", f"--partitions={PARTITIONS}"]
        subprocess.run(command, env={**os.environ, **self._environment}, check=True)

    def run_with(self, name: str, python: Path) -> None:
        """End a part in good order, and let that of another build take its place, with the same folder and settings."""
        member = self.members[name]
        assert isinstance(member.part, Build)
        member.is_wanted = False
        member.part.terminate()
        while member.is_running:
            self.tick()
            time.sleep(0.05)
        member.part.python = python
        member.is_wanted = True

    def tick(self) -> None:
        """Start what is wanted and does not run. Call it several times a second."""
        now = time.monotonic()
        for member in self.members.values():
            member.tick(now)

    def names(self, kind: str) -> list[str]:
        """Members of a kind that are wanted: broker, clickhouse, join, sink or ship."""
        return [
            name
            for name, one in self.members.items()
            if one.is_wanted and (name == kind or name.startswith(f"{kind}-"))
        ]

    def add_join(self, name: str) -> None:
        self._add("join", name, POSTWATCH_JOIN_DATA_DIR=str(self.join_folder(name)))

    def add_shipper(self, name: str, server: str) -> None:
        """`name` also names the folder of its checkpoint."""
        self._add(
            "ship",
            name,
            POSTWATCH_SHIP_FILES=str(self._logs[server]),
            POSTWATCH_SHIP_SERVER=server,
            POSTWATCH_SHIP_CHECKPOINT_FILE=str(self.folder / name / "checkpoint.json"),
        )

    def join_folder(self, name: str) -> Path:
        return self.folder / name

    def forget(self, name: str) -> None:
        """End a member that was added, for good."""
        member = self.members.pop(name)
        member.signal(signal.SIGCONT)
        end_parts([member.part], 5.0)

    def delete_tables(self, name: str) -> None:
        """The folder of a join that does not run."""
        shutil.rmtree(self.join_folder(name), ignore_errors=True)

    def is_ready(self, name: str) -> bool:
        return self.members[name].is_running and self.members[name].part.is_ready()

    def restarts(self) -> int:
        """How often a process was started since the first time."""
        return sum(member.restarts for member in self.members.values()) - len(self.members)

    def crashes(self) -> list[str]:
        """Parts that ended as nobody meant them to. They were started again, so the table does not tell."""
        return [
            f"{name} crashed {times} times, with exit status {status}"
            for name, member in self.members.items()
            for status, times in member.statuses.items()
            if status not in _STATUSES
        ]

    def tails(self) -> str:
        """The ends of all logs, for people."""
        return "\n".join(f"--- {name}\n{one.part.log_tail(6)}" for name, one in self.members.items())

    def _add(self, command: str, name: str, **own: str) -> None:
        port = choose_port()
        self._add_build(command, name, port, {**own, f"POSTWATCH_{command.upper()}_METRICS_ADDRESS": _address(port)})

    def _add_pages(self) -> None:
        port = choose_port()
        state = self.folder / "serve"
        state.mkdir()
        own = {"POSTWATCH_QUERY_LISTEN": _address(port), "POSTWATCH_ACCESS_STATE": str(state / "access.sqlite")}
        self._add_build("serve", "serve", port, own)
        self.pages = f"http://{_address(port)}"

    def _add_build(self, command: str, name: str, port: int, own: Mapping[str, str]) -> None:
        environment = {**self._environment, **own}
        health = (LOOPBACK, port)
        part = Build(command, environment, self._log(name), name=name, health=health, children=self._children)
        self.members[name] = Member(part, port)

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"


def _address(port: int) -> str:
    return f"{LOOPBACK}:{port}"
