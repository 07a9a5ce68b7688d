"""docs/install.md followed in a bare Debian, block by block as they stand on the page, from the packages to the report.

Kafka asks for TLS and a password, and grants what docs/secured-kafka.md grants. What stands on the page for Kafka's own
machine is held against those rights; all other commands are run. In the folder no systemd runs: systemctl.py does what
the units say.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.simulator import exim

from tests.secured_kafka.broker import PASSWORD, Grant, SecuredKafka
from tests.secured_kafka.test_secured_kafka import USERS, documented_grants
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "install.md"
pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(1800),
]
is_asked_for = pytest.mark.skipif(not os.environ.get("POSTWATCH_FLEET"), reason="`make fleet-test` runs it")
BARE, PACKAGES = (os.environ.get(f"POSTWATCH_{name}", "") for name in ("BARE_DEBIAN", "PACKAGES"))
_NEEDS = "--include=python3,ca-certificates,tzdata,passwd"


def block(heading: str) -> str:
    """The commands under a heading of the page."""
    text = PAGE.read_text(encoding="utf-8")
    [section] = re.findall(rf"^### {re.escape(heading)}\n(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL)
    lines = [line[4:] if line.startswith("    ") else "" for line in section.splitlines()]
    return "\n".join(lines).strip() + "\n"


def granted_by_the_page(folder: Path) -> set[Grant]:
    """What the page's commands grant: they are run with a `kafka-acls.sh` that writes down what it is asked for."""
    asked = folder / "asked"
    for name in ("kafka-acls.sh", "kafka-configs.sh"):
        tool = folder / name
        tool.write_text(f'#!/bin/sh\necho "{name} $*" >> {asked}\n')
        tool.chmod(0o755)
    environ = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-euc", block("1. Users of Kafka")], env=environ, check=True)
    grants = set()
    for line in asked.read_text().splitlines():
        if line.startswith("kafka-acls.sh"):
            [user] = re.findall(r"User:(\S+)", line)
            [(kind, name)] = re.findall(r"--(topic|group) (\S+)", line)
            for operation in re.findall(r"--operation (\w+)", line):
                words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).lower()
                grants.add(Grant(user, kind, name + ("*" if "prefixed" in line else ""), words))
    assert set(re.findall(r"--entity-name (\S+)", asked.read_text())) == set(USERS)
    return grants


def test_the_page_grants_what_the_page_of_rights_says(tmp_path: Path) -> None:
    assert granted_by_the_page(tmp_path) == set(documented_grants())


class Machine:
    """A bare Debian in a folder, which shares this machine's network."""

    def __init__(self, folder: Path, addresses: dict[str, str]) -> None:
        self.folder = folder
        self._addresses = addresses

    def run(self, commands: str) -> str:
        for name, here in self._addresses.items():
            commands = commands.replace(name, here)
        done = subprocess.run(
            ["chroot", str(self.folder), "bash", "-euc", f"cd /root\n{commands}"],
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}{self.logs()}"
        return done.stdout

    def logs(self) -> str:
        logs = sorted((self.folder / "var/log").glob("postwatch-*.log"))
        return "".join(f"\n--- {log.name}\n{log.read_text()[-2000:]}" for log in logs)

    def healths(self) -> str:
        found = []
        for port in (9101, 9103, 9121, 9122):
            for page in ("health", "metrics"):
                text = httpx.get(f"http://127.0.0.1:{port}/{page}").text
                lines = [line for line in text.splitlines() if page == "health" or line.startswith("postwatch_")]
                found += [f"{port}: {line}" for line in lines if not line.endswith(" 0.0")]
        return "\n".join(found)

    def end(self) -> None:
        started = self.folder / "run/started-units"
        for line in started.read_text().splitlines() if started.exists() else ():
            os.kill(int(line.split()[1]), signal.SIGKILL)
        for place in ("proc", "dev"):
            subprocess.run(["umount", "--lazy", str(self.folder / place)], check=False)


def _suite() -> str:
    """This machine's: the packages fit its Python."""
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    if shutil.which("debootstrap") is None or os.getuid() != 0:
        pytest.skip("needs root and debootstrap: apt-get install debootstrap")
    folder = tmp_path / "debian"
    if BARE:  # made before: `debootstrap --variant=minbase` takes minutes
        subprocess.run(["cp", "--archive", BARE, str(folder)], check=True)
    else:
        subprocess.run(["debootstrap", "--variant=minbase", _NEEDS, _suite(), str(folder)], check=True)
    packages = PACKAGES
    if not packages:
        packages = str(tmp_path / "dist")
        environ = {**os.environ, "BIN": str(Path(sys.executable).parent), "CORE": ""}
        subprocess.run([str(ROOT / "deploy/packages/build"), packages], env=environ, check=True)
    for package in Path(packages).glob("*.deb"):
        shutil.copy(package, folder / "root")
    shutil.copy(Path(__file__).with_name("systemctl.py"), folder / "usr/local/bin/systemctl")
    (folder / "usr/local/bin/systemctl").chmod(0o755)
    log = folder / "var/log/exim4/mainlog"
    log.parent.mkdir()
    log.touch(0o640)
    os.chown(log, 0, 4)  # root:adm, as Debian has it
    kafka = SecuredKafka(tmp_path / "kafka")
    kafka.start()
    clickhouse = EmbeddedClickHouse(tmp_path / "clickhouse")
    clickhouse.start()
    for user in USERS:
        kafka.add_user(user)
    kafka.grant(documented_grants())
    shutil.copy(tmp_path / "kafka/ca.pem", folder / "root/kafka-ca.pem")
    addresses = {
        "kafka.example.net:9093": f"127.0.0.1:{kafka.sasl_port}",
        "http://clickhouse.example.net:8123": clickhouse.settings.url,
        "'PASSWORD'": f"'{PASSWORD}'",
    }
    made = Machine(folder, addresses)
    for place, words in (("proc", ["-t", "proc", "proc"]), ("dev", ["--bind", "/dev"])):
        subprocess.run(["mount", *words, str(folder / place)], check=True)
    try:
        yield made
    finally:
        made.end()
        clickhouse.kill()
        kafka.kill()


@is_asked_for
def test_the_page_leads_from_a_bare_machine_to_the_report(machine: Machine) -> None:
    began = time.monotonic()
    machine.run(block("2. The machine of the workers"))
    workers = time.monotonic()
    machine.run(block("3. Each mail server"))
    shipped = time.monotonic()
    now_ms = int(time.time() * 1000)
    begin = f"{exim.stamp(now_ms)} {exim.queue_id(now_ms, 1)}"
    with (machine.folder / "var/log/exim4/mainlog").open("a") as log:
        log.write(
            f"{begin} <= anna@bakery.example H=(laptop) [198.51.100.7] P=esmtpsa "
            "A=dovecot_login:anna@bakery.example S=900 for otto@far.example\n"
            f"{begin} => otto@far.example R=dnslookup T=remote_smtp H=mx.far.example "
            f'[203.0.113.5] C="250 OK"\n{begin} Completed\n'
        )
    settings, _, asked = block("4. The report").partition("\n")
    report = f"{settings}\npostwatch report anna@bakery.example --format csv"
    said = ""

    def is_told() -> bool:
        nonlocal said
        said = machine.run(f"({report}) 2>&1 || true")
        return "otto@far.example" in said

    try:
        wait_until(is_told, "the row is there", seconds=120)
    except AssertionError:
        pytest.fail(f"{said}{machine.logs()}\n{machine.healths()}")
    ended = time.monotonic()
    print(f"workers {workers - began:.0f} s, mail server {shipped - workers:.0f} s, report {ended - shipped:.0f} s")
    # A doctor's warnings (one broker alone) are no trouble; the page's other commands end well.
    said = machine.run(f"{settings}\n" + asked.replace("postwatch doctor\n", "postwatch doctor || [ $? -eq 1 ]\n"))
    assert "accepted" in said or "delivered" in said
    for name, user in (("ship", "postwatch-ship"), ("join-1", "postwatch"), ("join-2", "postwatch")):
        owner = machine.run(f"stat --format=%U /var/lib/postwatch/{name}").strip()
        assert owner == user
    password = machine.run("stat --format='%a %U:%G' /etc/postwatch/ship-kafka.password").strip()
    assert password == "640 root:postwatch-ship"
