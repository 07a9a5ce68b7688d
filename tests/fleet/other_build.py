"""Another commit of Postwatch beside this one, with a virtual environment of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def build_other(commit: str, folder: Path) -> Path:
    """Unpacks and installs the commit; returns its Python. Raises CalledProcessError where it can't be made."""
    folder.mkdir()
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "--extract", "--directory", str(folder)], input=packed, check=True)
    subprocess.run(["make", "--silent", "install", f"PYTHON={sys.executable}"], cwd=folder, check=True)
    return folder / ".venv" / "bin" / "python"
