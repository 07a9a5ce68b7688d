"""A bare Debian in a folder, with systemd as its first process, on this machine's network."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.waiting import wait_until

_BOOT = Path(__file__).with_name("boot")
_TOOLS = ("debootstrap", "unshare", "nsenter")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def unavailable() -> str:
    """Why no machine can be booted here; empty: it can."""
    if os.getuid() != 0:
        return "needs root"
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        return f"needs {', '.join(missing)}: apt-get install debootstrap util-linux"
    return "" if "cgroup2" in Path("/proc/mounts").read_text() else "needs a cgroup2 file system"


class BootedDebian:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._outside = subprocess.Popen([str(_BOOT), str(folder)])
        self._first = int(wait_until(self._child, "systemd is there", seconds=600))

    def wait(self) -> None:
        wait_until(lambda: self.ask("systemctl is-system-running").strip() == "running", "systemd runs", seconds=600)

    def _child(self) -> str:
        """The process id of systemd; empty: `boot` is not that far."""
        assert self._outside.poll() is None, "the machine does not boot"
        number = self._outside.pid
        for child in Path(f"/proc/{number}/task/{number}/children").read_text().split():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return child
        return ""

    def ask(self, commands: str) -> str:
        """What they say, however they end."""
        return self._run(commands).stdout

    def run(self, commands: str) -> str:
        done = self._run(commands)
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}{self.logs()}"
        return done.stdout

    def _run(self, commands: str) -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", f"--target={self._first}", "--mount", "--pid", "--cgroup", "--ipc", "--uts", "--root"]
        return subprocess.run(
            [*enter, "bash", "-euc", f"cd /root\n{commands}"],
            env={"PATH": _PATH, "HOME": "/root"},
            capture_output=True,
            text=True,
            check=False,
        )

    def log_of(self, unit: str) -> Path:
        """See service.d/log.conf of `boot`: %p-%i."""
        prefix, _, instance = unit.partition("@")
        return self.folder / "var/log" / f"{prefix}-{instance}.log"

    def logs(self) -> str:
        logs = sorted((self.folder / "var/log").glob("postwatch-*.log"))
        return "".join(f"\n--- {log.name}\n{log.read_text()[-2000:]}" for log in logs)

    def end(self) -> None:
        """All of its processes end with the first one."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._first, signal.SIGKILL)
        self._outside.wait()
        groups = Path(f"{_cgroups()}/postwatch-test-{self._outside.pid}")
        for each in sorted((path for path in groups.rglob("*") if path.is_dir()), reverse=True):
            wait_until(partial(_is_removed, each), f"{each} is gone")
        wait_until(lambda: _is_removed(groups), f"{groups} is gone")


def _cgroups() -> str:
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return next(words[1] for words in mounts if words[2] == "cgroup2")


def _is_removed(group: Path) -> bool:
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()


@contextlib.contextmanager
def booted(folder: Path) -> Iterator[BootedDebian]:
    if reason := unavailable():
        pytest.skip(reason)
    machine = BootedDebian(folder)
    try:
        machine.wait()
        yield machine
    finally:
        machine.end()
