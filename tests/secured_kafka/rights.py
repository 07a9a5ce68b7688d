"""The rights that docs/secured-kafka.md writes out, read from the page."""

from __future__ import annotations

import os
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


def asked_of_kafka(folder: Path, commands: str) -> list[str]:
    """What commands of a page ask of Kafka's tools, which write it down here instead. They may read from nobody."""
    asked = folder / "asked"
    asked.touch()
    for name in ("kafka-acls.sh", "kafka-configs.sh"):
        tool = folder / name
        tool.write_text(f'#!/bin/sh\necho "{name} $*" >> {asked}\n')
        tool.chmod(0o755)
    environ = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-uc", commands], env=environ, stdin=subprocess.DEVNULL, check=False)
    return asked.read_text().splitlines()


def grants_of(line: str) -> list[Grant]:
    """What a call of kafka-acls.sh gives or takes away; of another tool nothing."""
    if not line.startswith("kafka-acls.sh"):
        return []
    [user] = re.findall(r"User:(\S+)", line)
    [(kind, name)] = re.findall(r"--(topic|group) (\S+)", line)
    operations = [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word).lower() for word in re.findall(r"--operation (\w+)", line)]
    return [Grant(user, kind, name + "*" * ("prefixed" in line), operation) for operation in operations]


def grants_to_raise(folder: Path, change: str) -> list[Grant]:
    """What the page's commands for raising partitions give (`--add`) or take away (`--remove`)."""
    [commands] = _COMMANDS.findall(PAGE.read_text(encoding="utf-8"))
    asked = dict.fromkeys(asked_of_kafka(folder, commands))
    return [grant for line in asked if f" {change} " in line for grant in grants_of(line)]
