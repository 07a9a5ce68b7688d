"""What is released: the sdist builds, the wheel made of it is whole and installs, and the changelog tells of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VERSION = PROJECT["project"]["version"]
PARTS = ("producers", "streams", "query", "deploy")
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
SHIPPED = {".py", ".sql", ".html", ".css", ".js", ".svg", ".po", ".typed"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of a copy, and the wheel of that sdist: without a compiler, for that takes a minute."""
    source = tmp_path_factory.mktemp("source")
    for part in PARTS:
        leave_out = shutil.ignore_patterns("__pycache__", "compiled")
        shutil.copytree(ROOT / part, source / part, ignore=leave_out)
    for name in FILES:
        shutil.copy(ROOT / name, source)
    out = tmp_path_factory.mktemp("dist")
    environ = {**os.environ, "PATH": str(BIN)}
    command = [str(BIN / "uv"), "build", "--quiet", "--python", sys.executable, "--out-dir", str(out), str(source)]
    subprocess.run(command, env=environ, check=True)
    return out


def test_the_sdist_is_all_that_a_wheel_needs_and_the_wheel_has_every_file_of_the_packages(built: Path) -> None:
    [sdist] = built.glob("postwatch-*.tar.gz")
    [wheel] = built.glob("postwatch-*.whl")
    assert (sdist.name, wheel.name.split("-")[1]) == (f"postwatch-{VERSION}.tar.gz", VERSION)
    with tarfile.open(sdist) as archive:
        assert {Path(name).name for name in archive.getnames()} >= set(FILES)
    with zipfile.ZipFile(wheel) as archive:
        names = {name.removeprefix("postwatch/") for name in archive.namelist() if name.startswith("postwatch/")}
    packages = {name.removeprefix("postwatch.").replace(".", "/") for name in PROJECT["tool"]["setuptools"]["packages"]}
    wanted = {
        str(path.relative_to(ROOT))
        for package in packages
        for path in (ROOT / package).iterdir()
        if path.suffix in SHIPPED
    }
    wanted |= {
        str(path.relative_to(ROOT))
        for folder in ("templates", "static", "locales")
        for path in (ROOT / "query/web" / folder).iterdir()
    }
    assert wanted <= names, sorted(wanted - names)


def test_the_wheel_is_installed_and_says_its_version(built: Path, tmp_path: Path) -> None:
    [wheel] = built.glob("postwatch-*.whl")
    home = tmp_path / "venv"
    subprocess.run([str(BIN / "uv"), "venv", "--quiet", "--python", sys.executable, str(home)], check=True)
    install = [str(BIN / "uv"), "pip", "install", "--quiet", "--no-deps", "--python", str(home / "bin/python")]
    subprocess.run([*install, str(wheel)], check=True)
    said = subprocess.run([str(home / "bin/postwatch"), "--version"], capture_output=True, text=True, check=True).stdout
    assert said == f"postwatch {VERSION}\n"


def test_the_changelog_begins_with_this_version() -> None:
    """`unreleased` until the day of the release, which then stands there."""
    heads = re.findall(r"^## \[(.+?)\] – (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    version, when = heads[0]
    assert version == VERSION
    assert when == "unreleased" or re.fullmatch(r"\d{4}-\d\d-\d\d", when)
    assert len({head for head, _ in heads}) == len(heads)
