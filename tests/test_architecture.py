"""Imports point upstream, query → streams → producers, and a mail server's install stays small."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PARTS = ("producers", "streams", "query", "deploy")
MAY_IMPORT = {
    "producers": {"producers"},
    "streams": {"producers", "streams"},
    "query": {"producers", "streams", "query"},
    "deploy": {"producers", "streams", "query", "deploy"},
}
EXTRAS = {"producers": "producer", "streams": "stream", "query": "query", "deploy": "embedded"}
HEAVY = ("faust", "aiokafka", "pyarrow", "clickhouse_connect", "fastapi", "chdb", "msgspec")
NEVER_IN_THE_CORE = {
    "aiokafka",
    "asyncio",
    "clickhouse_connect",
    "confluent_kafka",
    "faust",
    "os",
    "pathlib",
    "random",
    "socket",
    "subprocess",
    "threading",
    "time",
}
FLOORS = (
    {"producers.record", "producers.service", "streams.core_build", "streams.exposition", "streams.expressions"},
    {"producers.ship_metrics", "producers.ship_settings"}
    | {"streams.contracts", "streams.errors", "streams.huge_pages", "streams.settings"},
    {"producers.files", "producers.publisher", "streams.clickhouse", "streams.parsers"},
    {"producers.shipper", "streams.enrichment", "streams.sink"},
    {"streams.joining"},
    {"streams.partition"},
    {"streams.faust_glue"},
    {"producers.commands", "streams.commands"},
)
"""Folders and modules of the shipper and the stream, from the bottom up: each imports only what is below it."""
_STANDARD_LIBRARY = sys.stdlib_module_names | {"compression"}
"""With what Python has since 3.14."""
CORE = (
    "streams/parsers/events.py",
    "streams/sink/bisection.py",
    "streams/joining",
    "streams/contracts/outcome.py",
    "streams/parsers",
    "streams/partition/failures.py",
    "streams/partition/message_store.py",
    "streams/partition/outcome_batches.py",
    "streams/partition/parked_keys.py",
    "streams/partition/partition_join.py",
    "streams/partition/processed_lines.py",
    "streams/partition/processed_ranges.py",
    "streams/partition/record_parser.py",
    "streams/partition/retained_fetches.py",
    "streams/partition/server_lines.py",
    "streams/enrichment/reasons.py",
    "streams/clickhouse/error_codes.py",
    "streams/sink/batch.py",
    "query/filters.py",
    "query/statements.py",
)
"""Modules that touch no clock, socket or file."""


def modules(*places: str) -> Iterator[Path]:
    for place in places:
        path = ROOT / place
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            module = node.module or ""
            if module.count(".") == 1 and module.startswith("postwatch."):  # modules of a part, by name
                yield from (f"{module}.{alias.name}" for alias in node.names)
            else:
                yield module


@pytest.mark.parametrize("part", PARTS)
def test_a_part_imports_only_what_lies_upstream(part: str) -> None:
    for path in modules(part):
        for name in imports(path):
            if name.startswith("postwatch."):
                assert name.split(".")[1] in MAY_IMPORT[part], f"{path.relative_to(ROOT)} imports {name}"


def room(name: str) -> str:
    """The folder, or the module beside the folders, that a dotted name without `postwatch.` belongs to."""
    return ".".join(name.split(".")[:2])


def test_a_folder_imports_only_what_is_below_it() -> None:
    floor_of = {name: number for number, floor in enumerate(FLOORS) for name in floor}
    for path in modules("producers", "streams"):
        inside = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if path.name == "__init__.py" and len(path.relative_to(ROOT).parts) == 2:
            continue
        for name in imports(path):
            if name.startswith("postwatch."):
                other = room(name.removeprefix("postwatch."))
                assert other == room(inside) or floor_of[other] < floor_of[room(inside)], f"{inside} imports {name}"


@pytest.mark.parametrize("part", PARTS)
def test_a_part_imports_only_what_its_extra_installs(part: str) -> None:
    installed = _installed_by(EXTRAS[part])
    distributions = packages_distributions()
    for path in modules(part):
        for name in {name.partition(".")[0] for name in imports(path)} - _STANDARD_LIBRARY - {"postwatch"}:
            brought = {_normal(distribution) for distribution in distributions.get(name, [])}
            assert brought & installed, f"{path.relative_to(ROOT)} imports {name}"


def _installed_by(extra: str) -> set[str]:
    """The distributions that `pip install postwatch[extra]` brings here, theirs included."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    found: set[str] = set()
    wanted = [Requirement(each) for each in extras[extra]]
    while wanted:
        requirement = wanted.pop()
        if requirement.name == "postwatch":
            wanted += [Requirement(each) for name in requirement.extras for each in extras[name]]
        elif _normal(requirement.name) not in found and (
            requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ):
            found.add(_normal(requirement.name))
            wanted += [Requirement(each) for each in requires(requirement.name) or []]
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_settings_are_judged_at_start_only() -> None:
    """Nobody catches a SettingsError: it ends the process. What is wrong with a record or a file is BadInputError."""
    for path in modules(*PARTS):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                assert "SettingsError" not in ast.unparse(node.type), f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_package_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(ROOT) for path in modules(*PARTS)}
    assert sorted(listed) == sorted(".".join(["postwatch", *folder.parts]) for folder in folders)


@pytest.mark.parametrize("path", list(modules(*CORE)), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_touches_no_clock_socket_or_file(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imports(path)} & NEVER_IN_THE_CORE


def test_the_shipper_loads_nothing_of_the_other_parts() -> None:
    names = [
        ".".join(["postwatch", *path.relative_to(ROOT).with_suffix("").parts])
        for path in modules("producers")
        if path.name not in ("__init__.py", "__main__.py")
    ]
    script = (
        f"import importlib, sys\n"
        f"for name in {names}: importlib.import_module(name)\n"
        f"print([name for name in sys.modules if name.partition('.')[0] in {HEAVY}\n"
        f"       or name.startswith(('postwatch.streams', 'postwatch.query', 'postwatch.deploy'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_mail_server_installs_confluent_kafka_and_few_small_packages() -> None:
    before_python_3_14 = {"backports-zstd"} if sys.version_info < (3, 14) else set()
    assert _installed_by("producer") == {"confluent-kafka", "structlog"} | before_python_3_14
