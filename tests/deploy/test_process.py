"""Children end with their parent, however it ends, and take their own children with them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from postwatch.deploy.embedded.process import Children

from tests.waiting import PATIENCE, wait_until

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
# A child with a child of its own; both ignore SIGTERM, and say their numbers.
STUBBORN_FAMILY = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = os.fork()
if grandchild:
    print(os.getpid(), grandchild, flush=True)
time.sleep(600)
"""
PARENT = """
import sys, time
from pathlib import Path
from postwatch.deploy.embedded.process import Children
child = Children().start([sys.executable, "-c", "import time; time.sleep(600)"], Path(sys.argv[1]))
print(child.pid, flush=True)
time.sleep(600)
"""


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def children() -> Iterator[Children]:
    with Children() as found:
        yield found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_children_end_with_a_killed_parent(tmp_path: Path, number: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "log")], stdout=subprocess.PIPE)
    with parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.send_signal(number)
    wait_until(lambda: not is_running(child), "the child is gone")


def test_stop_takes_the_whole_group(children: Children, tmp_path: Path) -> None:
    child = children.start([sys.executable, "-c", STUBBORN_FAMILY], tmp_path / "log")
    family = wait_until(lambda: (tmp_path / "log").read_text().split(), "the family is complete")
    child.stop(timeout_seconds=0.2)
    assert child.exit_status() == -signal.SIGKILL
    wait_until(lambda: not any(is_running(int(pid)) for pid in family), "the family is gone")


def test_a_child_that_ends_takes_those_it_left_behind(children: Children, tmp_path: Path) -> None:
    leaves = STUBBORN_FAMILY.replace("time.sleep(600)", "time.sleep(0 if grandchild else 600)")
    child = children.start([sys.executable, "-c", leaves], tmp_path / "log")
    assert child.wait(PATIENCE)
    orphan = int((tmp_path / "log").read_text().split()[1])
    wait_until(lambda: not is_running(orphan), "the orphan is gone")


def test_close_ends_all(tmp_path: Path) -> None:
    with Children() as children:
        pids = [children.start(SLEEP, tmp_path / "log").pid for _ in range(3)]
    assert not any(is_running(pid) for pid in pids)


def test_output_is_appended_and_the_environment_added(children: Children, tmp_path: Path) -> None:
    log = tmp_path / "folder" / "log"
    for word in ("one", "two"):
        command = [sys.executable, "-c", "import os, sys; sys.stderr.write(os.environ['WORD'] + '\\n')"]
        assert children.start(command, log, {"WORD": word}).wait(PATIENCE)
    assert log.read_text() == "one\ntwo\n"
