"""Runs a command as a unit of deploy/systemd would: without new rights, with its system calls and its memory alone.

`python -m tests.unit_sandbox UNIT COMMAND…`. What the unit's SystemCallFilter and MemoryDenyWriteExecute say is applied
by the kernel, as systemd does it; what it says of folders, devices and users is not.
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path

UNITS = Path(__file__).parents[1] / "deploy" / "systemd"
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NO_NEW_PRIVILEGES, _DENY_WRITE_EXECUTE = 38, 65
"""Numbers of prctl(2)."""


def settings_of(unit: Path) -> list[tuple[str, str]]:
    """Name and value of each setting, in the order of the file."""
    lines = unit.read_text(encoding="utf-8").splitlines()
    return [(line.partition("=")[0], line.partition("=")[2]) for line in lines if "=" in line and line[0] not in "#["]


def unavailable() -> str:
    """Why a sandbox can't be made here; empty: it can."""
    if not Path("/usr/bin/systemd-analyze").exists():
        return "systemd-analyze is not installed: apt-get install systemd"
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return "libseccomp is not installed: apt-get install libseccomp2"
    script = f"import ctypes; raise SystemExit(ctypes.CDLL(None).prctl({_DENY_WRITE_EXECUTE}, 1, 0, 0, 0) != 0)"
    if subprocess.run([sys.executable, "-c", script], check=False).returncode:
        return "this kernel can't deny memory that is written and executed (Linux 6.3 can)"
    return ""


def allowed_calls(unit: Path) -> set[str]:
    """The system calls that are left by the unit's filters, the first of which allows."""
    calls: set[str] = set()
    for name, value in settings_of(unit):
        if name == "SystemCallFilter":
            named = {call for word in value.lstrip("~").split() for call in _calls_of(word)}
            calls = calls - named if value.startswith("~") else calls | named
    return calls


def _calls_of(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    command = ["systemd-analyze", "syscall-filter", "--no-pager", word]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    inside = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    return {call for each in inside for call in _calls_of(each)}


def enter(unit: Path) -> None:
    """For this process and what it becomes. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    settings = dict(settings_of(unit))
    calls = allowed_calls(unit)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no new privileges")
    if settings["MemoryDenyWriteExecute"] == "yes" and libc.prctl(_DENY_WRITE_EXECUTE, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "MemoryDenyWriteExecute")
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(_ERRNO | errno.EPERM)))
    for call in sorted(calls):
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:  # the others are not of this architecture
            seccomp.seccomp_rule_add_array(context, ctypes.c_uint32(_ALLOW), number, 0, None)
    if status := seccomp.seccomp_load(context):
        raise OSError(-status, "SystemCallFilter")


if __name__ == "__main__":
    enter(UNITS / sys.argv[1])
    os.execv(sys.argv[2], sys.argv[2:])
