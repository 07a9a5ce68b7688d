"""The completion of each shell knows every command and the options of each, in the real shell where it is installed."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from postwatch.deploy.cli import COMMANDS, main
from postwatch.deploy.commands.completion import SHELLS


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_knows_every_command_and_its_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for name in COMMANDS:
        assert name in script
    assert "unusual" in script  # of `bounces`
    assert "follow" in script


def test_bash_completes(capsys: pytest.CaptureFixture[str]) -> None:
    bash = shutil.which("bash")
    assert bash
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    ask = """
COMP_WORDS=(postwatch bounces --un); COMP_CWORD=2
$(complete -p postwatch | sed 's/.*-F \\([^ ]*\\).*/\\1/') postwatch --un bounces
echo "${COMPREPLY[@]}"
COMP_WORDS=(postwatch dead); COMP_CWORD=1
$(complete -p postwatch | sed 's/.*-F \\([^ ]*\\).*/\\1/') postwatch dead postwatch
echo "${COMPREPLY[@]}"
"""
    done = subprocess.run([bash, "--norc", "-c", script + ask], capture_output=True, text=True, timeout=60, check=True)
    assert "--unusual" in done.stdout
    assert "dead-letters" in done.stdout
