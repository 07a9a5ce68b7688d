"""A Python that misreads log lines is refused, not used."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from postwatch.deploy.cli import main
from postwatch.producers.service.errors import SettingsError
from postwatch.streams import python_check

FILE = Path(python_check.__file__)
OF_THE_SYSTEM = Path("/usr/bin/python3")


def test_this_python_reads_them_right() -> None:
    python_check.check_python()


def test_whoever_reads_logs_ends_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(python_check, "has_sound_expressions", lambda: False)
    monkeypatch.setenv("POSTWATCH_JOIN_METRICS_ADDRESS", "")
    for command in (["read", str(tmp_path)], ["join"], ["join", "--from", "1h"]):
        assert main(command) in (1, 2)
        assert "use 3.11.5 or newer" in capsys.readouterr().err


@pytest.mark.skipif(not OF_THE_SYSTEM.exists(), reason="no Python of the system: apt-get install python3")
def test_a_python_is_refused_just_where_it_misreads() -> None:
    """Debian 12's 3.11.2 does."""
    assert importlib.util.find_spec("postwatch.streams.python_check")
    version = "import sys; print(*sys.version_info[:3])"
    said = subprocess.run([OF_THE_SYSTEM, "-c", version], capture_output=True, text=True, check=True).stdout
    number = tuple(map(int, said.split()))
    if number < (3, 11):
        pytest.skip("that Python has no possessive repeats")
    repeat = "import re, sys; sys.exit(re.match(r'(?:a(?:b|c|de))*+ad', 'ad') is None)"
    assert "(?:a(?:b|c|de))*+ad" in FILE.read_text(encoding="utf-8")
    is_wrong = subprocess.run([OF_THE_SYSTEM, "-c", repeat], check=False).returncode == 1
    assert is_wrong is (number < (3, 11, 5)), number


def test_the_error_names_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_check, "has_sound_expressions", lambda: False)
    with pytest.raises(SettingsError, match=sys.version.split()[0]):
        python_check.check_python()
