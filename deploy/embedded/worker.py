"""Postwatch's own commands as parts of the embedded stack."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from postwatch.deploy.embedded.part import Answer, Part, get
from postwatch.deploy.embedded.ports import LOOPBACK
from postwatch.deploy.embedded.process import Children

_WILDCARDS = ("0.0.0.0", "::")
_HARMLESS = {"files"}
"""A log file that is not there yet is told, but nothing has to wait for it."""


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
        answer = self._ask_health()
        return answer is not None and (answer.status == 200 or _complaints_of(answer).keys() == _HARMLESS)

    def complaints(self) -> Mapping[str, str]:
        answer = self._ask_health() if self._health else None
        return _complaints_of(answer) if answer else {}

    def _ask_health(self) -> Answer | None:
        assert self._health is not None
        host, port = self._health
        return get(LOOPBACK if host in _WILDCARDS else host, port, "/health")


def _complaints_of(answer: Answer) -> Mapping[str, str]:
    """See producers/service/health.py."""
    try:
        found = json.loads(answer.body)["complaints"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {str(name): str(reason) for name, reason in found.items()} if isinstance(found, dict) else {}
