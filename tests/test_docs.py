"""What the documents name exists: paths, modules, tests, links, settings, metrics, commands, alerts, packages."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from postwatch.deploy.cli import COMMANDS

ROOT = Path(__file__).parents[1]
TOP = ("producers", "streams", "query", "deploy", "tests", "docs", ".ci")
ENDINGS = ("py", "sql", "md", "toml", "yml", "lock", "svg", "png")
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "deploy/SETTINGS.md", "tests/*/README.md")
    for path in ROOT.glob(pattern)
    if path.name != "CLAUDE.md"
)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PATH = re.compile(rf"(?:{'|'.join(map(re.escape, TOP))})/[\w./*-]*")
_FILE = re.compile(rf"[\w./*-]+\.(?:{'|'.join(ENDINGS)})")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _words(path: Path) -> Iterator[str]:
    """Each piece of code in a document's prose and tables."""
    yield from _CODE.findall(_FENCED.sub("", _text(path)))


@cache
def _files() -> frozenset[str]:
    """Every file of the project, new ones included."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=False)
    found = done.stdout.splitlines() or [
        str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if ".venv" not in path.parts
    ]
    return frozenset(name for name in found if (ROOT / name).is_file())


@cache
def _source() -> str:
    """The text of all code."""
    parts = TOP[:4]
    return "\n".join(_text(path) for part in parts for path in sorted((ROOT / part).rglob("*.py")))


@cache
def _tests() -> dict[str, set[str]]:
    """Test file → the names of its tests."""
    return {
        str(path.relative_to(ROOT)): set(re.findall(r"^ *(?:async )?(?:def )?(test_\w+)\b", _text(path), re.MULTILINE))
        for path in (ROOT / "tests").rglob("test_*.py")
    }


def _exists(name: str) -> bool:
    """Whether a path from the root is there; NAME and NNNN stand for anything."""
    pattern = re.sub("NAME|NNNN", "*", name).rstrip("/")
    return bool((ROOT / name).exists() or any(ROOT.glob(pattern)))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_exists(document: Path) -> None:
    missing = []
    for word in _words(document):
        name = word.partition("::")[0]
        if _PATH.fullmatch(name):
            if not _exists(name):
                missing.append(word)
        elif _FILE.fullmatch(name) and "/" not in name and not any(Path(file).name == name for file in _files()):
            missing.append(word)
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_exists(document: Path) -> None:
    missing = []
    everywhere = set().union(*_tests().values())
    for word in _words(document):
        file, separator, name = word.partition("::")
        if separator and name.startswith("test_"):
            known = _tests().get(file, set()) if file else everywhere
            if name not in known:
                missing.append(word)
        elif re.fullmatch(r"test_\w+", word) and word not in everywhere:
            missing.append(word)
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    broken = []
    for target in _LINK.findall(_FENCED.sub("", _text(document))):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        if not path.exists() or (anchor and anchor not in _anchors(path)):
            broken.append(target)
    assert broken == []


def _anchors(path: Path) -> set[str]:
    """The anchors that a page's headings get."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", _text(path)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_setting_and_metric_exists(document: Path) -> None:
    settings = set(re.findall(r"`(POSTWATCH_[A-Z_]+)`", _text(ROOT / "deploy/SETTINGS.md"))) | {"POSTWATCH_CONFIG"}
    unknown = set(re.findall(r"\bPOSTWATCH_[A-Z_]*[A-Z]\b", _text(document))) - settings
    metrics = set(re.findall(r"\bpostwatch_[a-z_]*[a-z]\b", _text(document)))
    unknown |= {name for name in metrics if f'"{name.removesuffix("_total")}' not in _source()}
    assert unknown == set()


def test_every_command_is_described() -> None:
    text = "".join(map(_text, DOCUMENTS))
    assert {name for name in COMMANDS if not re.search(rf"`postwatch {name}\b", text)} == set()


def test_every_command_that_is_named_exists() -> None:
    named = {name for path in DOCUMENTS for name in re.findall(r"`postwatch ([a-z][a-z-]*)\b", _text(path))}
    assert named - set(COMMANDS) == set()


def test_every_alert_has_an_entry_in_the_runbook() -> None:
    rules = yaml.safe_load(_text(ROOT / "deploy/prometheus/alerts.yml"))["groups"]
    links = {rule["alert"]: rule["annotations"]["runbook"] for group in rules for rule in group["rules"]}
    entries = re.findall(
        r"^## (Postwatch\w+)\n(.*?)(?=^##|\Z)", _text(ROOT / "docs/runbooks.md"), re.MULTILINE | re.DOTALL
    )
    assert {name: f"docs/runbooks.md#{name.lower()}" for name, _ in entries} == links
    for name, entry in entries:
        assert all(f"**{word}:**" in entry for word in ("Means", "Look", "Do")), name


def test_every_pinned_package_has_its_reason() -> None:
    project = tomllib.loads(_text(ROOT / "pyproject.toml"))["project"]
    pinned = {Requirement(each).name for extra in project["optional-dependencies"].values() for each in extra} - {
        "postwatch"
    }
    table = re.findall(r"^\| ([\w, -]+) \|", _text(ROOT / "docs/dependencies.md"), re.MULTILINE)
    listed = {name for row in table for name in row.split(", ")} - {"package", "---"}
    assert listed == pinned


def test_every_page_is_reached_from_the_architecture() -> None:
    reached = set(re.findall(r"\(docs/([\w-]+\.md)", _text(ROOT / "ARCHITECTURE.md")))
    for page in list(reached):
        reached |= set(re.findall(r"\]\(([\w-]+\.md)", _text(ROOT / "docs" / page)))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= reached
