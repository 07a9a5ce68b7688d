"""The user's cache folder: what is downloaded once, and which ports the user's stacks have claimed."""

from __future__ import annotations

import os
from pathlib import Path

from postwatch.producers.service.errors import BadInputError


def cache_folder(name: str) -> Path:
    """A folder in it, made if it is missing. Raises BadInputError where it can't be."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "postwatch" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(
            f"the cache folder {folder} can't be made ({error.strerror}); set XDG_CACHE_HOME to one that can"
        ) from error
    return folder
