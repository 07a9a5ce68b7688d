"""docs/install.md followed in a bare Debian, block by block as they stand on the page, from the packages to the report.

Kafka asks for TLS and a password, and grants what docs/secured-kafka.md grants. What stands on the page for Kafka's own
machine is held against those rights; all other commands are run. systemd is the first process of the folder.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
from postwatch.deploy.embedded.clickhouse import EmbeddedClickHouse
from postwatch.deploy.simulator import exim

from tests.fleet.booted import BootedDebian, booted, unavailable
from tests.secured_kafka.broker import PASSWORD, Grant, SecuredKafka
from tests.secured_kafka.rights import USERS, asked_of_kafka, documented_grants, grants_of
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "install.md"
pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(1800),
]
is_asked_for = pytest.mark.skipif(not os.environ.get("POSTWATCH_FLEET"), reason="`make fleet-test` runs it")
BARE, PACKAGES = (os.environ.get(f"POSTWATCH_{name}", "") for name in ("BARE_DEBIAN", "PACKAGES"))
_NEEDS = "--include=python3,ca-certificates,tzdata,passwd,systemd,dbus"


def block(heading: str) -> str:
    """The commands under a heading of the page."""
    text = PAGE.read_text(encoding="utf-8")
    [section] = re.findall(rf"^### {re.escape(heading)}\n(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL)
    lines = [line[4:] if line.startswith("    ") else "" for line in section.splitlines()]
    return "\n".join(lines).strip() + "\n"


def granted_by_the_page(folder: Path) -> set[Grant]:
    asked = asked_of_kafka(folder, block("1. Users of Kafka"))
    assert set(re.findall(r"--entity-name (\S+)", "\n".join(asked))) == set(USERS)
    return {grant for line in asked for grant in grants_of(line)}


def test_the_page_grants_what_the_page_of_rights_says(tmp_path: Path) -> None:
    assert granted_by_the_page(tmp_path) == set(documented_grants())


def at_addresses(commands: str, addresses: dict[str, str]) -> str:
    """The page's commands, with the servers of this test in place of those of the page."""
    for name, here in addresses.items():
        commands = commands.replace(name, here)
    return commands


def healths() -> str:
    found = []
    for port in (9101, 9103, 9121, 9122):
        for page in ("health", "metrics"):
            text = httpx.get(f"http://127.0.0.1:{port}/{page}").text
            lines = [line for line in text.splitlines() if page == "health" or line.startswith("postwatch_")]
            found += [f"{port}: {line}" for line in lines if not line.endswith(" 0.0")]
    return "\n".join(found)


@dataclass(frozen=True)
class Machine:
    debian: BootedDebian
    addresses: dict[str, str]

    def run(self, commands: str) -> str:
        return self.debian.run(at_addresses(commands, self.addresses))

    def ask(self, commands: str) -> str:
        return self.debian.ask(at_addresses(commands, self.addresses))

    def facts(self, unit: str) -> dict[str, str]:
        """What systemd says of a unit."""
        lines = self.run(f"systemctl show {unit} --property=MainPID,NRestarts,ActiveState,SubState").splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}


def _suite() -> str:
    """This machine's: the packages fit its Python."""
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    if reason := unavailable():
        pytest.skip(reason)
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
    try:
        with booted(folder) as debian:
            yield Machine(debian, addresses)
    finally:
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
    with (machine.debian.folder / "var/log/exim4/mainlog").open("a") as log:
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
        said = machine.ask(f"({report}) 2>&1")
        return "otto@far.example" in said

    try:
        wait_until(is_told, "the row is there", seconds=120)
    except AssertionError:
        pytest.fail(f"{said}{machine.debian.logs()}\n{healths()}")
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
    begin_anew(machine)


UNITS = [f"postwatch-{part}" for part in ("join@1", "join@2", "sink", "ship")]


def begin_anew(machine: Machine) -> None:
    """A CA that is renewed is taken up by units that stay what they are: to systemd it is a reload."""
    before = {unit: machine.facts(unit) for unit in UNITS}
    assert {(facts["ActiveState"], facts["NRestarts"]) for facts in before.values()} == {("active", "0")}
    machine.run("echo >> /etc/postwatch/kafka-ca.pem")
    logs = {unit: machine.debian.log_of(unit) for unit in UNITS}
    for unit, log in logs.items():
        wait_until(partial(begins_anew, log), f"{unit} begins anew", seconds=300)
    for unit, facts in before.items():
        wait_until(partial(is_as_before, machine, unit, facts), f"{unit} is as before", seconds=300)


def begins_anew(log: Path) -> bool:
    return '"part_begins_anew"' in log.read_text()


def is_as_before(machine: Machine, unit: str, facts: dict[str, str]) -> bool:
    return machine.facts(unit) == facts
