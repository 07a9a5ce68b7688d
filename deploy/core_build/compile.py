"""Sources of the pure core → compiled modules with a manifest, beside the sources. Needs mypy and a C compiler.

Invariant: the sources are not touched, and a build that fails leaves nothing behind that would be loaded.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

GROUP = "postwatch_core"
_CORE = ("parsers", "joining", "enrichment", "partition")
_LEFT_OUT = frozenset(
    (
        "enrichment/hosted_domains.py",
        "enrichment/reasons_file.py",
        "enrichment/reply_words.py",
        "joining/stored_message.py",
        "parsers/kumomta.py",
        "parsers/log_records.py",
        "parsers/native_fields.py",
        "partition/failures.py",
        "partition/other_shippers.py",
        "partition/outlet.py",
        "partition/partitioners.py",
        "partition/ports.py",
        "partition/processed_ranges.py",
        "partition/replay.py",
        "partition/table_move.py",
    )
)
"""They touch files or Kafka, hold tables or ports alone, run seldom, or have structs that msgspec decodes."""
_IN_C = {
    "postwatch_core_rows": "contracts/row_buffers.c",
    "postwatch_core_lines": "contracts/row_lines.c",
    "postwatch_core_pages": "huge_pages.c",
    "postwatch_core_scan": "parsers/scan.c",
}
"""Modules of their own."""
_ALSO_COMPILED_IN = ("contracts", "errors.py")
"""Not compiled, but the compiled modules are made for them as they are."""
_CONSTANTS = ("contracts/outcome.py", "contracts/version.py")
"""Their texts and numbers become part of the compiled modules."""
_SETUP = """
import sys
from setuptools import Extension, setup
from mypyc.build import mypycify
options = ["--config-file", "mypy.ini"]
setup(name={group!r}, packages=[], script_args=["build_ext", "--inplace", "--parallel", "2"],
      ext_modules=[*mypycify([*options, *{modules!r}], opt_level={level!r}, debug_level="0", group_name={group!r},
                             multi_file=True),
                   *(Extension(name, [source]) for name, source in {in_c!r}.items())])
"""
_MYPY = """[mypy]
namespace_packages = True
explicit_package_bases = True
ignore_missing_imports = True
allow_redefinition = False
"""


class CompileError(Exception):
    """The core can't be compiled here; it runs interpreted."""


def compile_core(root: Path, target: Path, level: str = "2") -> None:
    """Compile the checkout in `root`, and put the modules into `target`, a folder `streams`. Raises CompileError.

    `level`: how much the C compiler tries, 0 to 3.
    """
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        raise CompileError("no C compiler was found (Debian: apt-get install gcc)")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        raise CompileError("Python.h was not found (Debian: apt-get install python3-dev)")
    if importlib.util.find_spec("mypyc") is None:
        raise CompileError("mypy is not installed")
    build, classes = _load(root, "streams/core_build.py"), _load(root, "deploy/core_build/native_classes.py")
    streams = root / "streams"
    core = core_modules(streams)
    folder = target / build.FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="postwatch-core-") as temporary:
        work = Path(temporary)
        for part in ("producers", "streams"):
            shutil.copytree(root / part, work / "postwatch" / part, ignore=shutil.ignore_patterns(build.FOLDER, "*.so"))
        for name in (*core, *_CONSTANTS):
            file = work / "postwatch/streams" / name
            file.write_text(classes.to_native(file.read_text()))
        (work / "mypy.ini").write_text(_MYPY)
        modules = [f"postwatch/streams/{name}" for name in core]
        in_c = {name: f"postwatch/streams/{source}" for name, source in _IN_C.items()}
        (work / "setup.py").write_text(_SETUP.format(group=GROUP, modules=modules, level=level, in_c=in_c))
        _run(work)
        found = {file.name.partition(".")[0]: file for file in work.glob("*.so")}
        folder.mkdir(parents=True)
        files: dict[str, str] = {}
        for stem, file in found.items():
            shutil.copy2(file, folder / file.name)
            files[stem] = file.name
        for name in core:
            module = "postwatch.streams." + name.removesuffix(".py").replace("/", ".")
            made = work / "postwatch/streams" / (name.removesuffix(".py") + build.suffix())
            files[module] = f"{module}{build.suffix()}"
            shutil.copy2(made, folder / files[module])
    sources = [*core, *_others(streams)]
    manifest = {
        "suffix": build.suffix(),
        "compiler": f"mypyc {_version('mypy')}",
        "sha256": build.digest_of(streams, sources),
        "sources": sources,
        "modules": files,
        "library": f"{GROUP}__mypyc",
    }
    (folder / build.MANIFEST).write_text(json.dumps(manifest, indent=1))


def core_modules(streams: Path) -> list[str]:
    """The modules that are compiled, as paths within `streams`."""
    found = (str(file.relative_to(streams)) for part in _CORE for file in (streams / part).rglob("*.py"))
    return sorted(name for name in found if not name.endswith("__init__.py") and name not in _LEFT_OUT)


def _others(streams: Path) -> list[str]:
    files = [file for name in _ALSO_COMPILED_IN for file in sorted((streams / name).rglob("*.py"))]
    return [*(str(file.relative_to(streams)) for file in files), *_IN_C.values(), "errors.py", *sorted(_LEFT_OUT)]


def _run(work: Path) -> None:
    command = [sys.executable, "setup.py"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "MYPYPATH": ""}
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError("\n".join((done.stdout + done.stderr).strip().splitlines()[-12:]))


def _load(root: Path, name: str) -> ModuleType:
    """A module of the checkout by its file: where the wheel is built nothing of it is installed."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, root / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def main(arguments: Sequence[str] | None = None) -> int:
    """`python deploy/core_build/compile.py`: compile this checkout; 1 where that fails, and all runs interpreted."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    root = Path(__file__).resolve().parents[2]
    parser.add_argument(
        "--into", type=Path, default=root / "streams", help="the folder `streams` that gets the modules"
    )
    parser.add_argument("--level", default="2", choices=("0", "1", "2", "3"), help="how much the C compiler tries")
    options = parser.parse_args(arguments)
    try:
        compile_core(root, options.into, options.level)
    except CompileError as error:
        print(f"The core stays interpreted, for it can't be compiled here:\n{error}", file=sys.stderr)
        return 1
    print(f"compiled into {options.into}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
