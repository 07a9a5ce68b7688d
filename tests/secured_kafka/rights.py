"""The rights that docs/secured-kafka.md writes out, read from the page."""

from __future__ import annotations

import itertools
import re
import subprocess
from pathlib import Path

from tests.secured_kafka.broker import Grant

PAGE = Path(__file__).parents[2] / "docs" / "secured-kafka.md"
USERS = [f"postwatch-{part}" for part in ("ship", "join", "sink", "push", "doctor", "migrate")]
_ROW = re.compile(r"^\| `([\w-]+)` \| (topic|group|cluster) \| `([\w.*-]+)` \| ([\w, ]+) \|$", re.MULTILINE)
_COMMANDS = re.compile(r"^    acl\(\) .*?^    done$", re.MULTILINE | re.DOTALL)


def documented_grants() -> list[Grant]:
    return [
        Grant(user, kind, name, operation)
        for user, kind, name, operations in _ROW.findall(PAGE.read_text(encoding="utf-8"))
        for operation in operations.split(", ")
    ]


def grants_to_raise(folder: Path, change: str) -> list[Grant]:
    """What the page's commands for raising partitions give (`--add`) or take away (`--remove`), run with a stand-in."""
    [commands] = _COMMANDS.findall(PAGE.read_text(encoding="utf-8"))
    stand_in = folder / "kafka-acls.sh"
    stand_in.write_text('#!/bin/sh\necho "$@"\n')
    stand_in.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", commands],
        env={"PATH": f"{folder}:/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return [
        grant
        for line in done.stdout.splitlines()
        for grant in _grants_of(line.split())
        if change in line.split() and "--force" in line.split()
    ]


def _grants_of(words: list[str]) -> list[Grant]:
    given = dict(itertools.pairwise(words))
    kind = "topic" if "--topic" in given else "group"
    name = given[f"--{kind}"] + "*" * (given.get("--resource-pattern-type") == "prefixed")
    user = given["--allow-principal"].removeprefix("User:")
    operations = [word for before, word in itertools.pairwise(words) if before == "--operation"]
    return [Grant(user, kind, name, operation.lower()) for operation in operations]
