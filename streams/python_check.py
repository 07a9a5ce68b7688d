"""Whether this Python reads the parsers' regular expressions as they are meant: some misread logs and are silent.

Python 3.11.0 to 3.11.4 give no text back after a possessive repeat that failed half-way, so an optional field takes the
blank before the next one. Debian 12 has such a Python.
"""

from __future__ import annotations

import re
import sys

from postwatch.producers.service.errors import SettingsError


def has_sound_expressions() -> bool:
    return re.match(r"(?:a(?:b|c|de))*+ad", "ad") is not None


def check_python() -> None:
    """Call before logs are read. Raises SettingsError."""
    if not has_sound_expressions():
        raise SettingsError(
            f"Python {sys.version.split()[0]} misreads regular expressions, and so log lines: use 3.11.5 or newer"
        )
