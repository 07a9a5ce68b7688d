"""The units of deploy/systemd: systemd understands them, they are tight, and they name what Postwatch understands."""

from __future__ import annotations

import argparse
import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from postwatch.deploy.cli import COMMANDS
from postwatch.deploy.settings_page import SECTION_CLASSES
from postwatch.producers.service.settings import PREFIX, load
from postwatch.streams.sink.writer import INSERT_TIMEOUT_SECONDS

from tests.unit_sandbox import UNITS, allowed_calls, settings_of, unavailable

NAMES = sorted(path.name for path in UNITS.iterdir())
LASTING = [name for name in NAMES if "migrate" not in name]
POSTWATCH = Path(sys.executable).with_name("postwatch")
MOST_EXPOSED = 14
"""Of 100, as `systemd-analyze security` counts."""
_SECONDS = {"s": 1, "min": 60}


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


def values(name: str, setting: str) -> list[str]:
    return [value for key, value in settings_of(UNITS / name) if key == setting]


def seconds(name: str, setting: str) -> int:
    [value] = values(name, setting)
    number, unit = re.fullmatch(r"(\d+)(s|min)", value).groups()  # type: ignore[union-attr]
    return int(number) * _SECONDS[unit]


def test_there_is_one_for_each_part() -> None:
    assert NAMES == [
        "postwatch-join@.service",
        "postwatch-migrate.service",
        "postwatch-push.service",
        "postwatch-serve.service",
        "postwatch-ship.service",
        "postwatch-sink.service",
    ]


def test_systemd_understands_them(tmp_path: Path) -> None:
    def verify(*changes: tuple[str, str]) -> subprocess.CompletedProcess[str]:
        for name in NAMES:
            text = re.sub(r"/opt/[\w-]+/bin/postwatch", str(POSTWATCH), (UNITS / name).read_text(encoding="utf-8"))
            for old, new in changes:
                text = text.replace(old, new)
            (tmp_path / name).write_text(text)
        return analyze("verify", "--man=no", *(str(tmp_path / name) for name in NAMES))

    assert (done := verify()).returncode == 0, done.stderr
    assert done.stderr == ""
    broken = verify(("ProtectClock", "ProtectClocks"))
    assert broken.returncode or "ProtectClocks" in broken.stderr


@pytest.mark.parametrize("name", NAMES)
def test_they_are_tight(name: str) -> None:
    command = ["security", "--offline=yes", "--no-pager", f"--threshold={MOST_EXPOSED}"]
    done = analyze(*command, str(UNITS / name))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_they_run_a_known_command(name: str) -> None:
    [command] = values(name, "ExecStart")
    path, part, *options = command.split()
    assert path == ("/opt/postwatch-ship" if part == "ship" else "/opt/postwatch") + "/bin/postwatch"
    environment = dict(value.partition("=")[::2] for value in values(name, "Environment"))
    options = [environment[option[1:]] if option.startswith("$") else option for option in options]
    parser = argparse.ArgumentParser()
    importlib.import_module(f"postwatch.{COMMANDS[part].module}").configure(parser)
    parser.parse_args(options)


@pytest.mark.parametrize("name", NAMES)
def test_their_settings_exist_and_fit(name: str) -> None:
    environment = {}
    for value in values(name, "Environment"):
        variable, _, text = value.partition("=")
        if variable.startswith(PREFIX):
            environment[variable] = text.replace("%i", "1")
    sections = {section.SECTION: section for section in SECTION_CLASSES}
    for section in {variable.removeprefix(PREFIX).partition("_")[0].lower() for variable in environment}:
        load(sections[section], environment)


@pytest.mark.parametrize("name", LASTING)
def test_what_lasts_is_watched_and_started_again_for_ever(name: str) -> None:
    assert values(name, "Type") == ["notify"]
    assert values(name, "Restart") == ["always"]
    assert values(name, "StartLimitIntervalSec") == ["0"]
    assert seconds(name, "WatchdogSec") >= 60


def test_an_insert_that_takes_its_time_is_no_hanging_sink() -> None:
    assert seconds("postwatch-sink.service", "WatchdogSec") > INSERT_TIMEOUT_SECONDS * 1.5


def test_each_part_writes_to_a_folder_of_its_own_but_webhooks_stand_in_the_state_of_the_pages() -> None:
    folders = {name: values(name, "StateDirectory") for name in NAMES if values(name, "StateDirectory")}
    assert folders == {
        "postwatch-join@.service": ["postwatch/join-%i"],
        "postwatch-push.service": ["postwatch/serve"],
        "postwatch-serve.service": ["postwatch/serve"],
        "postwatch-ship.service": ["postwatch/ship"],
    }
    states = [values(f"postwatch-{part}.service", "Environment") for part in ("push", "serve")]
    assert states[0] == states[1]


def test_here_the_parts_are_run_with_the_filters_of_their_units() -> None:
    """Else tests/end_to_end/test_kafka_away.py runs them without."""
    if reason := unavailable():
        pytest.skip(reason)
    for name in NAMES:
        calls = allowed_calls(UNITS / name)
        assert {"read", "openat", "execve", "futex"} <= calls
        assert not {"mount", "setuid", "ptrace", "bpf", "reboot", "init_module"} & calls
    script = "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)"
    for more, code in ((script, 1), ("import os; os.chroot('/')", 1), ("pass", 0)):
        words = [sys.executable, "-m", "tests.unit_sandbox", NAMES[0], sys.executable, "-c", more]
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=UNITS.parents[1])
        assert done.returncode == code, done.stderr
        assert code == 0 or "PermissionError" in done.stderr
