"""Modules of which a part uses nothing as a rule, though what it imports imports them: loaded when they are used.

structlog and confluent_kafka import asyncio for programs that have an event loop, http.client imports ssl for https.
Together with OpenSSL these take a fifth of a shipper's memory.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class _LateModule(ModuleType):
    """Stands for a module, and passes each of its names on."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def late_modules(*names: str) -> Iterator[None]:
    """Who imports one of these meanwhile gets a stand-in for it; who imports it afterwards gets the module itself.

    One that is loaded already, or of which something is used meanwhile, is the module itself.
    """
    stand_ins = {name: _LateModule(name) for name in names if name not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]
