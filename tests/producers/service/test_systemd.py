"""What systemd is told, over a real datagram socket: when, how often, and by whom."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from postwatch.producers.service.errors import UnavailableError
from postwatch.producers.service.health import Health
from postwatch.producers.service.lifecycle import await_server
from postwatch.producers.service.outages import OutageLog
from postwatch.producers.service.renewal import BEGUN_ANEW
from postwatch.producers.service.systemd import MORE_TIME_SECONDS, Systemd

from tests.notify_socket import NotifySocket, listening
from tests.waiting import wait_until

MORE_TIME = f"EXTEND_TIMEOUT_USEC={MORE_TIME_SECONDS * 1_000_000}"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def notify(tmp_path: Path) -> Iterator[NotifySocket]:
    with listening(tmp_path / "notify") as told:
        yield told


def test_a_start_asks_for_more_time_then_says_that_it_works_then_beats_then_stops(notify: NotifySocket) -> None:
    health, clock = Health(), Clock()
    systemd = Systemd(health, notify.environment(20), clock)
    health.complain("kafka", "no broker\nanswers")
    systemd.alive()
    systemd.ready()
    systemd.ready()
    health.settle("kafka")
    systemd.alive()
    for _ in range(3):
        clock.now += 10.0
        systemd.alive()
        systemd.alive()
    systemd.stopping()
    systemd.stopping()
    clock.now += 60
    systemd.alive()
    wait_until(lambda: len(notify.messages) == 6, "all of it came")
    assert notify.messages == [
        f"{MORE_TIME}\nSTATUS=kafka: no broker answers",
        "READY=1\nSTATUS=kafka: no broker answers",
        *["WATCHDOG=1\nSTATUS=working"] * 3,
        "STOPPING=1\nSTATUS=stopping",
    ]


def test_the_first_beat_after_ready_comes_before_the_watchdog_could_end_the_part(notify: NotifySocket) -> None:
    """It may be as late as half of the watchdog's time after the last request for more time."""
    clock = Clock()
    systemd = Systemd(Health(), notify.environment(4), clock)
    systemd.alive()
    systemd.ready()
    clock.now += 2.0
    systemd.alive()
    wait_until(lambda: notify.count("WATCHDOG=1") == 1, "the beat came")


def test_the_watchdog_of_a_part_that_begins_anew_hears_it_before_it_is_ready(notify: NotifySocket) -> None:
    for process, beats in ((os.getpid(), ["WATCHDOG=1", MORE_TIME]), (os.getpid() + 1, [MORE_TIME])):
        notify.messages.clear()
        Systemd(Health(), {**notify.environment(60), BEGUN_ANEW: str(process)}, Clock()).alive()
        wait_until(lambda: notify.messages, "the beat came")
        assert notify.messages == ["\n".join([*beats, "STATUS=starting"])]


def test_a_watchdog_of_another_process_and_no_systemd_at_all_are_left_alone(notify: NotifySocket) -> None:
    clock = Clock()
    for environ in ({}, {"NOTIFY_SOCKET": "vsock:2:1"}, {"NOTIFY_SOCKET": ""}):
        systemd = Systemd(Health(), environ, clock)
        systemd.alive()
        systemd.ready()
        systemd.stopping()
    environ = {**notify.environment(0.5), "WATCHDOG_PID": str(os.getpid() + 1)}
    systemd = Systemd(Health(), environ, clock)
    systemd.ready()
    systemd.alive()
    clock.now += 1
    systemd.alive()
    wait_until(lambda: len(notify.messages) == 2, "both came")
    assert [message.splitlines()[0] for message in notify.messages] == ["READY=1", "WATCHDOG=1"]


def test_a_socket_of_an_abstract_name_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        name = f"postwatch-test-{os.getpid()}"
        receiver.bind("\0" + name)
        receiver.settimeout(5)
        Systemd(Health(), {"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert receiver.recv(100) == b"READY=1\nSTATUS=working"


def test_a_systemd_that_does_not_read_holds_nothing_up(tmp_path: Path) -> None:
    clock = Clock()
    path = tmp_path / "notify"
    systemd = Systemd(Health(), {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "1000000"}, clock)
    systemd.ready()  # nobody is there at all
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        began = time.monotonic()
        for _ in range(2_000):
            clock.now += 1
            systemd.alive()
        assert time.monotonic() - began < 10


def test_a_part_that_waits_for_its_server_asks_for_more_time_at_each_try(notify: NotifySocket) -> None:
    health, clock, stopping = Health(), Clock(), threading.Event()
    systemd = Systemd(health, notify.environment(60), clock)
    tries: list[float] = []

    def check() -> None:
        tries.append(clock.now)
        clock.now += 30
        if len(tries) < 2:
            raise UnavailableError("no broker answers")

    outage = OutageLog("kafka", health)
    assert await_server(outage, check, stopping, systemd.alive)
    wait_until(lambda: notify.count(MORE_TIME) == 2, "each try asked", seconds=5)
    assert notify.said("STATUS") == ["starting", "kafka: no broker answers"]


def test_an_event_loop_that_hangs_is_silent_and_one_that_turns_is_not(notify: NotifySocket) -> None:
    async def run() -> tuple[int, int]:
        systemd = Systemd(Health(), notify.environment(0.2))
        systemd.watch_loop(asyncio.get_running_loop())
        systemd.ready()
        await asyncio.sleep(1.0)
        turned = notify.count("WATCHDOG=1")
        time.sleep(1.0)
        return turned, notify.count("WATCHDOG=1")

    turned, after_hanging = asyncio.run(run())
    assert turned >= 3
    assert after_hanging - turned <= 1
