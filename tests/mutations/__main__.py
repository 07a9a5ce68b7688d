"""`make mutations`: copies the project, breaks it in one place, runs the tests that are named for it, and the next.

A mutation is caught when each of its tests fails, or never ends; one that survives makes the exit status 1. Where a
test did not end in time, the line says so: on a machine that is too busy that proves nothing. Words behind the command
choose the mutations whose guarantee or file holds one of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.mutations.listed import MUTATIONS
from tests.mutations.mutation import ROOT, Mutation

PARTS = ("producers", "streams", "query", "deploy")
TEST_SECONDS = 60
MUTATION_SECONDS = 240
_LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".hypothesis", "__pycache__", ".*_cache", "*.egg-info", "compiled")


def copy_project(folder: Path) -> dict[str, str]:
    """A copy to be broken, and the environment in which `postwatch` means that copy."""
    shutil.copytree(ROOT, folder, ignore=_LEFT_OUT, dirs_exist_ok=True)
    packages = folder / ".packages" / "postwatch"
    packages.mkdir(parents=True)
    for part in PARTS:
        (packages / part).symlink_to(folder / part)
    # Compiled files are told from old ones by a time in seconds, which is too coarse here.
    environment = {**os.environ, "PYTHONPATH": str(packages.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["POSTWATCH_JOIN_CORE"] = "interpreted"
    environment["COLUMNS"] = "500"  # pytest cuts its words to the width of the terminal
    command = [sys.executable, "-c", "import postwatch.producers as found; print(found.__file__)"]
    found = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
    assert found.strip() == str(packages / "producers" / "__init__.py"), f"not the copy would be tested: {found}"
    return environment


class Trial(NamedTuple):
    """What the tests of a mutation said."""

    survived: list[str]
    """The tests that do not notice it."""
    ended: bool = True
    """Whether each test ended in time."""


def try_out(mutation: Mutation, folder: Path, environment: dict[str, str]) -> Trial:
    """Raises RuntimeError where pytest could not run the tests."""
    original = (folder / mutation.file).read_bytes()
    mutation.apply(folder)
    try:
        command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-rf", "-p", "no:cacheprovider"]
        command += ["--show-capture=no", f"--timeout={TEST_SECONDS}", *mutation.tests]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=MUTATION_SECONDS
        )
    except subprocess.TimeoutExpired:
        return Trial([], ended=False)
    finally:
        (folder / mutation.file).write_bytes(original)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    survived = [test for test in mutation.tests if not any(_is_of(line.split(" ")[1], test) for line in failed)]
    return Trial(survived, ended=not any("Failed: Timeout (>" in line for line in failed))


def _is_of(node: str, test: str) -> bool:
    return node == test or node.startswith((f"{test}[", f"{test}::"))


def main(words: list[str]) -> int:
    chosen = [
        mutation
        for mutation in MUTATIONS
        if not words or any(word in mutation.guarantee or word in mutation.file for word in words)
    ]
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="postwatch-mutations-") as name:
        folder = Path(name).resolve()
        environment = copy_project(folder)
        for number, mutation in enumerate(chosen, 1):
            began = time.monotonic()
            trial = try_out(mutation, folder, environment)
            survivors += bool(trial.survived)
            told = f"SURVIVED {' '.join(trial.survived)}" if trial.survived else "caught"
            told += "" if trial.ended else ", not in time"
            seconds = time.monotonic() - began
            print(f"{number:3}/{len(chosen)} {seconds:5.1f} s  {mutation.file:32} {mutation.guarantee}: {told}")
            sys.stdout.flush()
    print(f"{len(chosen)} mutations, {survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
