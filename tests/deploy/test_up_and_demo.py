"""`postwatch up` and `postwatch demo` as a person runs them, from the start to Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.simulator import exim
from postwatch.producers.service.errors import UnavailableError
from postwatch.streams.clickhouse.client import connect
from postwatch.streams.settings import ClickHouseSettings

from tests.waiting import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]
START_SECONDS = 180.0


@dataclass
class Command:
    """A `postwatch` command in a folder, its output in files."""

    folder: Path
    arguments: list[str]
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "postwatch.deploy", *self.arguments],
                env={**os.environ, "TMPDIR": str(self.folder), **self.environment},
                stdout=out,
                stderr=err,
            )

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def err(self) -> Path:
        return self.folder / "err"

    def wait_for(self, pattern: str) -> str:
        """Wait until the output has this pattern; returns its group."""

        def look() -> re.Match[str] | None:
            assert self.process.poll() is None, self.out.read_text() + self.err.read_text()
            return re.search(pattern, self.out.read_text())

        found = wait_until(look, f"{pattern} in the output", seconds=START_SECONDS)
        assert found
        return found[1]

    def end(self) -> float:
        """Ctrl-C; returns the seconds until it ended."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0, self.err.read_text()
        return time.monotonic() - began

    def running(self) -> list[psutil.Process]:
        """Every process that has this folder in its command line or its environment."""
        return [process for process in psutil.process_iter() if self._belongs(process)]

    def worker(self, name: str) -> psutil.Process | None:
        """The process of a subcommand or a server, once it is there."""
        return next((process for process in self.running() if name in _words(process)), None)

    def _belongs(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE or process.pid in (os.getpid(), self.process.pid):
                return False
            return bool(process.environ().get("TMPDIR") == str(self.folder))
        except psutil.Error:
            return False


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


@pytest.fixture
def commands() -> Iterator[list[Command]]:
    """Commands that are ended whatever happens."""
    started: list[Command] = []
    yield started
    for command in started:
        if command.process.poll() is None:
            command.process.kill()
            command.process.wait()


def recipients(settings: ClickHouseSettings) -> list[str]:
    try:
        rows = connect(settings).query("SELECT recipient FROM deliveries FINAL ORDER BY recipient").result_rows
    except UnavailableError:
        return []
    return [str(row[0]) for row in rows]


def message(number: int) -> str:
    """The log of one message of now: the table keeps none that are older than its days."""
    now_ms = time.time_ns() // 1_000_000
    queue_id, stamp = exim.queue_id(now_ms, number), exim.stamp(now_ms)
    arrival = f"{stamp} {queue_id} <= a@ours.example H=(x) [192.0.2.1] P=esmtpsa A=dovecot_login:a@ours.example S=700"
    delivery = f"{stamp} {queue_id} => to{number}@far.example R=dnslookup T=remote_smtp H=mx.far.example [192.0.2.2]"
    return f'{arrival}\n{delivery} C="250 OK"\n{stamp} {queue_id} Completed\n'


def test_up_survives_its_parts_and_ends_whole(tmp_path: Path, commands: list[Command]) -> None:
    data, log = tmp_path / "data", tmp_path / "mainlog"
    log.write_text(message(1))
    missing = tmp_path / "rejectlog"
    shipped = {
        "POSTWATCH_SHIP_FILES": f"{log}=exim-main,{missing}=exim-reject",
        "POSTWATCH_SHIP_TZ": "UTC",
        "POSTWATCH_SHIP_SERVER": "mail1.example",
    }
    up = Command(tmp_path, ["up", "--data", str(data)], shipped)
    commands.append(up)
    up.start()
    settings = ClickHouseSettings(url=up.wait_for(r"POSTWATCH_CLICKHOUSE_URL=(\S+)"))
    wait_until(lambda: recipients(settings) == ["to1@far.example"], "the first message", seconds=120)

    wait_until(lambda: f"ship complains: {missing}: no such file yet" in up.err.read_text(), "it is named")
    for part in ("ship", "join", "sink", "serve"):
        worker = up.worker(part)
        assert worker, part
        worker.kill()
    with log.open("a") as writer:
        writer.write(message(2))
    wait_until(lambda: len(recipients(settings)) == 2, "the second message", seconds=120)
    wait_until(lambda: up.worker("serve"), "the page is back")
    assert "join was ended by SIGKILL; it is started again" in up.err.read_text()

    assert up.end() < 10
    assert up.running() == []
    engine = EmbeddedClickHouse(data / "clickhouse")
    engine.start()
    try:
        assert recipients(engine.settings) == ["to1@far.example", "to2@far.example"]
    finally:
        engine.kill()


def test_demo_tells_the_truth_once_and_leaves_nothing(tmp_path: Path, commands: list[Command]) -> None:
    demo = Command(tmp_path, ["demo", "--once"])
    commands.append(demo)
    demo.start()
    assert demo.process.wait(300) == 0, demo.err.read_text()
    assert re.search(r"the table is right: [\d,]+ recipients, each with its true status", demo.err.read_text())
    report = demo.out.read_text()
    for word in ("Track Delivery of", "delivered", "bounced", "deferred"):
        assert word in report
    assert demo.running() == []
    assert list(tmp_path.glob("postwatch-demo-*")) == []
