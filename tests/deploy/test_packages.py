"""The Debian package of the shipper, built and installed by dpkg itself into a root folder of the test's own.

Both packages in a whole Debian: tests/fleet. Here the scripts run outside of the folder, with DPKG_ROOT.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from postwatch.deploy.settings_page import SECTION_CLASSES
from postwatch.producers.service.settings import load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "packages"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
SHIP = "postwatch-ship"


@dataclass
class RootFolder:
    """A machine without anything but dpkg's own files."""

    path: Path

    def __post_init__(self) -> None:
        for folder in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "etc"):
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        for name in ("var/lib/dpkg/status", "var/lib/dpkg/available", "etc/shadow", "etc/gshadow"):
            (self.path / name).touch()
        (self.path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (self.path / "etc/group").write_text("root:x:0:\n")

    def dpkg(self, *words: str, ok: bool = True) -> str:
        force = ["--force-script-chrootless", "--force-depends", "--no-triggers"]
        done = subprocess.run(
            ["dpkg", f"--root={self.path}", *force, *words], capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) is ok, done.stdout + done.stderr
        return done.stdout + done.stderr


def unavailable() -> str:
    if os.getuid() != 0:
        return "installing a package needs root"
    for tool in ("dpkg", "useradd", "/usr/bin/python3"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed: apt-get install dpkg passwd python3"
    least = "import sys; raise SystemExit(sys.version_info < (3, 11))"
    if subprocess.run(["/usr/bin/python3", "-c", least], check=False).returncode:
        return "/usr/bin/python3 is older than 3.11"
    return ""


def repacked(package: Path, folder: Path, old: str, new: str) -> Path:
    """The same package with another field in its control file."""
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(folder)], check=True)
    control = folder / "DEBIAN" / "control"
    text = control.read_text()
    assert text.count(old) == 1
    control.write_text(text.replace(old, new))
    made = folder.with_suffix(".deb")
    command = ["dpkg-deb", "-Znone", "--root-owner-group", "--build", str(folder), str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if reason := unavailable():
        pytest.skip(reason)
    out = tmp_path_factory.mktemp("packages")
    environ = {**os.environ, "BIN": str(Path(sys.executable).parent)}
    subprocess.run([str(FOLDER / "build"), str(out), SHIP], env=environ, check=True)
    [made] = out.iterdir()
    return made


def test_it_is_installed_runs_is_upgraded_and_purged_and_what_people_wrote_stays(package: Path, tmp_path: Path) -> None:
    root = RootFolder(tmp_path / "root")
    assert "systemctl enable --now postwatch-ship" in root.dpkg("--install", str(package))
    settings = root.path / "etc/postwatch/ship.env"
    group = re.search(rf"^{SHIP}:[^:]*:(\d+):", (root.path / "etc/group").read_text(), re.MULTILINE)
    assert group
    assert re.search(rf"^{SHIP}:.*:/usr/sbin/nologin$", (root.path / "etc/passwd").read_text(), re.MULTILINE)
    assert (settings.stat().st_mode & 0o777, settings.stat().st_gid) == (0o640, int(group[1]))
    assert "POSTWATCH_SHIP_FILES=" in settings.read_text()
    command = [str(root.path / "opt" / SHIP / "bin/postwatch"), "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"postwatch {VERSION}\n"
    assert (root.path / "usr/lib/systemd/system/postwatch-ship.service").exists()

    settings.write_text("POSTWATCH_SHIP_FILES=/var/log/mail.log\n")
    checkpoint = root.path / "var/lib/postwatch/ship/checkpoint.json"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("{}")
    newer = repacked(package, tmp_path / "newer", f"Version: {VERSION}", "Version: 99.0.0")
    assert "systemctl enable" not in root.dpkg("--install", str(newer))
    assert settings.read_text() == "POSTWATCH_SHIP_FILES=/var/log/mail.log\n"
    assert "are left" in root.dpkg("--purge", SHIP)
    assert not (root.path / "opt" / SHIP).exists()
    assert settings.read_text() == "POSTWATCH_SHIP_FILES=/var/log/mail.log\n"
    assert checkpoint.exists()


def test_a_wrong_architecture_and_a_wrong_python_are_named(package: Path, tmp_path: Path) -> None:
    here = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    other = "arm64" if here == "amd64" else "amd64"
    wrong = repacked(package, tmp_path / "wrong", f"Architecture: {here}", f"Architecture: {other}")
    said = RootFolder(tmp_path / "root").dpkg("--install", str(wrong), ok=False)
    assert f"package architecture ({other}) does not match system ({here})" in said
    fields = subprocess.run(
        ["dpkg-deb", "--field", str(package), "Depends"], capture_output=True, text=True, check=True
    )
    assert re.search(r"python3 \(>= 3\.\d+\), python3 \(<< 3\.\d+\)", fields.stdout)


def test_a_mail_server_gets_nothing_of_the_workers(package: Path) -> None:
    done = subprocess.run(["dpkg-deb", "--contents", str(package)], capture_output=True, text=True, check=True)
    names = done.stdout
    assert "/site-packages/confluent_kafka/" in names
    for heavy in ("faust", "pyarrow", "rocksdict", "fastapi", "clickhouse_connect"):
        assert f"/site-packages/{heavy}/" not in names
    assert package.stat().st_size < 12_000_000


def without_compilers(folder: Path) -> str:
    """A PATH with all tools of this machine but those that compile C."""
    folder.mkdir()
    for tool in Path("/usr/bin").iterdir():
        if not re.search(r"(^|-)(cc|c\d\d|gcc|clang)(-[\d.]+)?$", tool.name):
            (folder / tool.name).symlink_to(tool)
    return str(folder)


@pytest.mark.skipif(not os.environ.get("POSTWATCH_FLEET"), reason="takes minutes: `make fleet-test`")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("build", ["compiled", "interpreted"])
def test_the_package_of_the_workers_says_which_core_it_holds(build: str, tmp_path: Path) -> None:
    if reason := unavailable():
        pytest.skip(reason)
    environ = {name: value for name, value in os.environ.items() if name != "POSTWATCH_JOIN_CORE"}
    environ["BIN"] = str(Path(sys.executable).parent)
    if build == "interpreted":
        environ["PATH"] = without_compilers(tmp_path / "tools")
    elif not (shutil.which("gcc") and list(Path("/usr/include").glob("python3*/Python.h"))):
        pytest.skip("no C compiler or no Python.h: apt-get install gcc python3-dev")
    out = tmp_path / "packages"
    command = [str(FOLDER / "build"), str(out), "postwatch"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"postwatch: the core is {build}\n"
    assert ("no C compiler was found (Debian: apt-get install gcc)" in done.stderr) == (build == "interpreted")
    [made] = out.iterdir()
    fields = subprocess.run(["dpkg-deb", "--field", str(made)], capture_output=True, text=True, check=True).stdout
    assert f"Postwatch-Core: {build}\n" in fields
    assert f"Parsers and joiner of this package are {build}." in fields
    assert "Architecture: all" not in fields


@pytest.mark.parametrize("name", [SHIP, "postwatch"])
def test_each_file_that_a_package_takes_is_there(name: str) -> None:
    described = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    sources = [each["src"] for each in described["contents"] if each.get("type") != "symlink"]
    for source in [*sources, *described["scripts"].values()]:
        assert source.startswith("${STAGE}/") or (ROOT / source).is_file(), source
    units = {path.name for path in (ROOT / "deploy" / "systemd").iterdir() if ("ship" in path.name) == (name == SHIP)}
    assert units == {Path(source).name for source in sources if source.startswith("deploy/systemd/")}


def test_the_settings_that_a_package_brings_exist_and_fit() -> None:
    for path in sorted((FOLDER / "settings").iterdir()):
        text = path.read_text(encoding="utf-8")
        environ = dict(re.findall(r"^#?(POSTWATCH_\w+)=(.*)$", text, re.MULTILINE))
        for variable in [name for name in environ if name.endswith("_FILE")]:
            environ[variable] = __file__ if "_CA_" in variable else str(path)
        known = {section.SECTION: section for section in SECTION_CLASSES}
        for section in {name.split("_")[1].lower() for name in environ}:
            of_section = {name: value for name, value in environ.items() if name.split("_")[1].lower() == section}
            names = {
                name.removesuffix("_FILE") for name in of_section if name.endswith(("PASSWORD_FILE", "STATE_FILE"))
            }
            kept = {name: value for name, value in of_section.items() if name.removesuffix("_FILE") not in names}
            load(known[section], kept | dict.fromkeys(names, "secret"))
