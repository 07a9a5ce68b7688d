"""Postwatch's own commands as parts of the embedded stack."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from postwatch.deploy.embedded.part import Part, get
from postwatch.deploy.embedded.ports import LOOPBACK
from postwatch.deploy.embedded.process import Children

_WILDCARDS = ("0.0.0.0", "::")


class Worker(Part):
    """`postwatch COMMAND` with its settings in the environment; ready when its health address, if any, says so."""

    def __init__(
        self,
        command: str,
        environment: Mapping[str, str],
        log_path: Path,
        *,
        name: str = "",
        health: tuple[str, int] | None = None,
        children: Children | None = None,
    ) -> None:
        super().__init__(name or command, log_path, children)
        self._command = command
        self._environment = environment
        self._health = health

    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "postwatch.deploy", self._command]

    def environment(self) -> Mapping[str, str]:
        return self._environment

    def is_ready(self) -> bool:
        if self._health is None:
            return True
        host, port = self._health
        answer = get(LOOPBACK if host in _WILDCARDS else host, port, "/health")
        return answer is not None and answer.status == 200
