"""Which build of the pure core runs: the one that mypyc compiled, or the sources as they stand.

Invariant: a compiled module runs only where every source that it was made of is unchanged, byte for byte, and this
Python can load it. Else all of the core runs interpreted: one that was half compiled would mix two forms of an event.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

COMPILED, INTERPRETED = "compiled", "interpreted"
SWITCH = "POSTWATCH_JOIN_CORE"
"""`interpreted` leaves the compiled modules alone. Read before the first module of the core is imported."""
FOLDER = "compiled"
"""Beside the sources: the compiled modules with their manifest."""
MANIFEST = "manifest.json"


class CoreBuild(NamedTuple):
    """What runs, and why."""

    kind: str
    reason: str


running = CoreBuild(INTERPRETED, "not chosen")
"""What this process runs, once `streams` is imported."""


def module_in_c(name: str) -> ModuleType | None:
    """The module of the core that is written in C; None: the core runs interpreted."""
    return import_module(name) if running.kind == COMPILED else None


def suffix() -> str:
    """How the name of a compiled module ends for this Python and this machine."""
    return EXTENSION_SUFFIXES[0]


def digest_of(sources: Path, files: Sequence[str]) -> str:
    """One digest of the named files and their contents. Raises OSError."""
    digest = hashlib.sha256()
    for name in sorted(files):
        text = (sources / name).read_bytes()
        digest.update(f"{name} {len(text)}\n".encode() + text)
    return digest.hexdigest()


class _Finder(MetaPathFinder):
    """Finds the compiled modules where the sources would be found else."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = self._files.get(fullname)
        if file is None:
            return None
        return spec_from_file_location(fullname, file, loader=ExtensionFileLoader(fullname, str(file)))


def choose(streams: Path) -> CoreBuild:
    """Make imports of the core find its compiled modules where they are those of the sources in this folder."""
    if os.environ.get(SWITCH) == INTERPRETED:
        return CoreBuild(INTERPRETED, f"{SWITCH} says so")
    folder = streams / FOLDER
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        if manifest["suffix"] != suffix():
            return CoreBuild(INTERPRETED, f"compiled for {manifest['suffix']}, and this Python takes {suffix()}")
        if manifest["sha256"] != digest_of(streams, manifest["sources"]):
            return CoreBuild(INTERPRETED, "compiled from other sources than these")
        files = {name: folder / file for name, file in manifest["modules"].items()}
        library = str(manifest["library"])
    except FileNotFoundError as error:
        missing = Path(error.filename or "").name
        return CoreBuild(INTERPRETED, "not compiled" if missing == MANIFEST else f"{missing} is missing")
    except (OSError, ValueError, LookupError, TypeError) as error:
        return CoreBuild(INTERPRETED, f"{MANIFEST} can't be read: {error}")
    finder = _Finder(files)
    sys.meta_path.insert(0, finder)
    try:
        import_module(library)
    except ImportError as error:  # of a machine with other libraries
        sys.meta_path.remove(finder)
        return CoreBuild(INTERPRETED, f"the compiled modules can't be loaded: {error}")
    return CoreBuild(COMPILED, f"with {manifest['compiler']}")
