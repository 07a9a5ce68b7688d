"""The shipper as a mail server has it: an environment of its own, without what the other parts and the tests need.

What else is installed costs memory: structlog, for one, loads rich wherever that is there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

from postwatch.deploy.embedded.worker import Worker

_ROOT = Path(__file__).parents[2]


def install_shipper(folder: Path) -> Path:
    """The Python of a new environment with the extra `producer` alone, in the versions of the lock."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [
            *(Path(sys.executable).with_name("uv"), "pip", "install", "--quiet", "--python", python),
            *("--constraint", _ROOT / "requirements.lock", f"{_ROOT}[producer]"),
        ],
        env={**os.environ, "POSTWATCH_JOIN_CORE": "interpreted"},  # it has no join
        check=True,
    )
    return python


class Shipper(Worker):
    """`postwatch ship`."""

    def __init__(self, environment: Mapping[str, str], log_path: Path, python: Path | None) -> None:
        """`python`: of that environment; None: as the tests have it."""
        super().__init__("ship", environment, log_path)
        self._python = python

    def command(self) -> Sequence[str]:
        python, *words = super().command()
        return [str(self._python or python), *words]
