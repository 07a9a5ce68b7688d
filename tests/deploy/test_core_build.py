"""The compiled core: the golden rows, the parked messages of both builds, and when it is left alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from postwatch.deploy.core_build.compile import CompileError, compile_core, core_modules
from postwatch.deploy.core_build.native_classes import to_native
from postwatch.streams.core_build import FOLDER, INTERPRETED, MANIFEST, choose, digest_of, suffix

from tests.mutations.__main__ import copy_project
from tests.mutations.mutation import ROOT

MADE = ROOT / "build/core"
"""What `.ci/run` compiled beside the linters, or this test before; not what the checkout itself runs."""
SUITES = (
    "tests/streams/joining/test_golden.py::test_rows_are_the_golden_ones",
    "tests/streams/joining/test_stored_message.py",
    "tests/streams/partition/test_acknowledgement.py",
    "tests/streams/partition/test_partition_join.py::test_crashes_change_no_row",
    "tests/streams/partition/test_outcome_batches.py",
    "tests/streams/partition/test_parked_keys.py",
    "tests/streams/partition/test_processed_ranges.py",
    "tests/streams/contracts/test_row_buffers.py",
    "tests/streams/contracts/test_packed_rows.py",
    "tests/streams/test_huge_pages.py",
    "tests/streams/parsers/test_sent_events.py",
    "tests/streams/parsers/test_scan.py",
    "tests/streams/parsers/exim/test_fast_path.py::test_both_ways_give_the_same",
    "tests/streams/parsers/exim/test_fast_path.py::test_both_ways_give_the_same_refusal",
    "tests/streams/commands/test_read_bounds.py::test_two_processes_tell_what_one_tells",
    "tests/upgrade/test_upgrade.py",
)
TELL = "from postwatch.streams.core_build import running; print(*running, sep='|')"


def is_current(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / FOLDER / MANIFEST).read_bytes())
        return bool(manifest["sha256"] == digest_of(ROOT / "streams", manifest["sources"]))
    except (OSError, ValueError, KeyError):
        return False


@pytest.mark.timeout(900)  # where nothing was compiled before
def test_the_compiled_core_makes_the_golden_rows(tmp_path: Path) -> None:
    """And reads what each version parked, byte for byte; and is left alone once a source has changed."""
    if not is_current(MADE):
        try:
            compile_core(ROOT, MADE, level="0")
        except CompileError as error:
            if "no C compiler" in str(error):
                pytest.skip(str(error))
            raise
    environment = copy_project(tmp_path)
    environment["POSTWATCH_JOIN_CORE"] = "compiled"
    del environment["PYTHONDONTWRITEBYTECODE"]  # each process would compile all that it imports
    shutil.copytree(MADE / FOLDER, tmp_path / "streams" / FOLDER)

    def run(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    assert run("-c", TELL).startswith("compiled|with mypyc ")
    run("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *SUITES)
    with (tmp_path / "streams/joining/rows.py").open("a") as source:
        source.write("# later\n")
    assert run("-c", TELL) == "interpreted|compiled from other sources than these\n"


@pytest.fixture
def streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSTWATCH_JOIN_CORE", "compiled")
    (tmp_path / FOLDER).mkdir()
    (tmp_path / "lines.py").write_text("x = 1\n")
    write_manifest(tmp_path)
    return tmp_path


def write_manifest(streams: Path, **other: object) -> None:
    manifest = {
        "suffix": suffix(),
        "compiler": "mypyc",
        "sources": ["lines.py"],
        "sha256": digest_of(streams, ["lines.py"]),
        "modules": {"no_such_library": "no_such_library.so"},
        "library": "no_such_library",
    }
    (streams / FOLDER / MANIFEST).write_text(json.dumps(manifest | other))


def test_without_compiled_modules_the_core_is_interpreted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POSTWATCH_JOIN_CORE")
    assert choose(tmp_path) == (INTERPRETED, "not compiled")


def test_a_library_that_cannot_be_loaded_is_told(streams: Path) -> None:
    before = list(sys.meta_path)
    kind, reason = choose(streams)
    assert (kind, reason[:34]) == (INTERPRETED, "the compiled modules can't be load")
    assert sys.meta_path == before


def test_a_module_that_is_older_than_its_source_is_not_used(streams: Path) -> None:
    (streams / "lines.py").write_text("x = 2\n")
    assert choose(streams) == (INTERPRETED, "compiled from other sources than these")


def test_a_source_that_is_gone_is_named(streams: Path) -> None:
    (streams / "lines.py").unlink()
    assert choose(streams) == (INTERPRETED, "lines.py is missing")


def test_another_python_runs_interpreted(streams: Path) -> None:
    write_manifest(streams, suffix=".cpython-399-other.so")
    assert choose(streams).reason == f"compiled for .cpython-399-other.so, and this Python takes {suffix()}"


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_a_broken_manifest_is_told(streams: Path, text: str) -> None:
    (streams / FOLDER / MANIFEST).write_text(text)
    kind, reason = choose(streams)
    assert kind == INTERPRETED
    assert reason.startswith("manifest.json can't be read: ")


def test_the_switch_leaves_compiled_modules_alone(streams: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTWATCH_JOIN_CORE", "interpreted")
    assert choose(streams) == (INTERPRETED, "POSTWATCH_JOIN_CORE says so")


@pytest.mark.parametrize("name", core_modules(ROOT / "streams"))
def test_what_is_compiled_keeps_the_number_of_each_line(name: str) -> None:
    source = (ROOT / "streams" / name).read_text()
    made = to_native(source)
    assert made.count("\n") == source.count("\n")
    compile(made, name, "exec")


def test_a_class_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match="class Near"):
        to_native("import msgspec\nclass Near(msgspec.Struct):\n    x: int = 0\n")
