"""Adds the compiled core to a wheel; everything else stands in pyproject.toml."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

_ROOT = Path(__file__).parent
_COMPILER = _ROOT / "deploy/core_build/compile.py"


class BuildWithCore(build_py):
    """A wheel with the compiled core where it can be compiled. It fits every Python: elsewhere the core is interpreted.

    A checkout that is installed editable is compiled by `make compile` alone.
    """

    def run(self) -> None:
        super().run()
        if not self.editable_mode and os.environ.get("POSTWATCH_JOIN_CORE") != "interpreted":
            spec = importlib.util.spec_from_file_location("compile_core", _COMPILER)
            assert spec is not None
            assert spec.loader is not None
            compiler = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = compiler
            spec.loader.exec_module(compiler)
            compiler.main(["--into", str(Path(self.build_lib) / "postwatch/streams")])


setup(cmdclass={"build_py": BuildWithCore})
