"""One stack at a time over a folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from postwatch.deploy.embedded.data_folder import claimed
from postwatch.producers.service.errors import BadInputError

# Takes the folder, starts a child that takes a second to end, and is killed.
KILLED = '''
import os, signal, sys
from pathlib import Path
from postwatch.deploy.embedded.data_folder import claimed
from postwatch.deploy.embedded.process import Children
script = """
import pathlib, signal, time
def end(*_):
    time.sleep(1)
    pathlib.Path("ended").touch()
    raise SystemExit
signal.signal(signal.SIGTERM, end)
pathlib.Path("up").touch()
time.sleep(600)
"""
with claimed(Path("data")) as lock:
    Children(held=[lock]).start([sys.executable, "-c", script], Path("log"))
    while not Path("up").exists():
        pass
    os.kill(os.getpid(), signal.SIGKILL)
'''


def test_a_folder_in_use_is_refused_with_the_holder_and_the_remedy(tmp_path: Path) -> None:
    with (
        claimed(tmp_path / "data"),
        pytest.raises(BadInputError, match=rf"in use by process {os.getpid()};.*--data"),
        claimed(tmp_path / "data"),
    ):
        pass
    with claimed(tmp_path / "data"):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInputError, match=r"file/data can't be written.*--data"), claimed(tmp_path / "file" / "data"):
        pass


def test_a_successor_waits_until_the_last_process_of_a_killed_stack_is_gone(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=False, timeout=30)
    began = time.monotonic()
    with claimed(tmp_path / "data"):
        assert (tmp_path / "ended").exists()
        assert time.monotonic() - began > 0.3
