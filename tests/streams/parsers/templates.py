"""The hostile lines of each log format: `NAME_templates.py` here holds those of the format NAME."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import cast

from tests.streams.parsers.hostile import Template


def templates_of(format_name: str) -> Sequence[Template]:
    """Fails with the module's name where a format has none."""
    module = importlib.import_module(f"tests.streams.parsers.{format_name.replace('-', '_')}_templates")
    return cast("Sequence[Template]", module.TEMPLATES)
