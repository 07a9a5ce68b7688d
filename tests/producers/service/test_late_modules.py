"""A stand-in passes on to the module when something of it is used, and is gone once the imports are done."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from postwatch.producers.service.late_modules import late_modules

NAMES = ("postwatch_late_loop", "postwatch_late_client")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A client that imports a loop, of which it uses something when it is called."""
    (tmp_path / "postwatch_late_loop.py").write_text("class Loop: pass\n")
    (tmp_path / "postwatch_late_client.py").write_text(
        "import postwatch_late_loop\ndef make_loop(): return postwatch_late_loop.Loop()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in NAMES:
        sys.modules.pop(name, None)


def loop() -> ModuleType:
    return importlib.import_module("postwatch_late_loop")


def test_it_is_loaded_when_it_is_used() -> None:
    with late_modules("postwatch_late_loop"):
        client = importlib.import_module("postwatch_late_client")
    assert "postwatch_late_loop" not in sys.modules
    assert isinstance(client.make_loop(), loop().Loop)
    with pytest.raises(AttributeError):
        _ = client.postwatch_late_loop.nothing


def test_what_is_used_meanwhile_is_the_module_itself() -> None:
    with late_modules("postwatch_late_loop"):
        client = importlib.import_module("postwatch_late_client")
        made = client.make_loop()
    assert isinstance(made, loop().Loop)


def test_what_is_loaded_already_is_left_alone() -> None:
    before = loop()
    with late_modules("postwatch_late_loop"):
        assert loop() is before
    assert loop() is before
