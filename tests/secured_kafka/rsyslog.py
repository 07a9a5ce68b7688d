"""Debian's rsyslog with deploy/shippers/rsyslog.conf, of which only addresses, folders and certificates differ."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.mutations.mutation import ROOT
from tests.waiting import wait_until

OMKAFKA = Path("/usr/lib/x86_64-linux-gnu/rsyslog/omkafka.so")
JOURNALD = Path("/lib/systemd/systemd-journald")
SHIPPED = Path(ROOT) / "deploy" / "shippers" / "rsyslog.conf"
_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
_WITH_A_JOURNAL = f"""
mount -t tmpfs none /run
mount -t tmpfs none /var/log
mkdir -p /run/systemd/journal /run/log/journal
{JOURNALD} &
exec "$@"
"""
"""As the first process of namespaces of its own: journald is gone with it."""


def journal_unavailable() -> str:
    """Why no journal can be had here; empty: one can."""
    if not JOURNALD.exists():
        return "no journald is installed (Debian: systemd)"
    done = subprocess.run([*_NAMESPACES, "true"], capture_output=True, check=False)
    return "this machine allows no namespaces (unshare --mount --pid)" if done.returncode else ""


class Rsyslog:
    """Ships `mainlog` of the folder."""

    prefix: tuple[str, ...] = ()

    def __init__(self, folder: Path, kafka: Mapping[str, str]) -> None:
        self._folder = folder
        self._work = folder / "rsyslog"
        self._work.mkdir()
        text = self.shipped()
        for said, here in {
            "/var/log/exim4/mainlog": str(folder / "mainlog"),
            "kafka1.example.net:9093": kafka["POSTWATCH_KAFKA_BROKERS"],
            "/etc/postwatch/kafka-ca.pem": kafka["POSTWATCH_KAFKA_SSL_CA_FILE"],
            "/etc/postwatch/kafka-client.pem": kafka["POSTWATCH_KAFKA_SSL_CERTIFICATE_FILE"],
            "/etc/postwatch/kafka-client.key": kafka["POSTWATCH_KAFKA_SSL_KEY_FILE"],
            "/var/spool/rsyslog": str(self._work),
        }.items():
            assert said in text
            text = text.replace(said, here)
        self._settings = folder / "rsyslog.conf"
        self._settings.write_text(f'global(workDirectory="{self._work}")\n{text}')
        self._process: subprocess.Popen[bytes] | None = None

    def shipped(self) -> str:
        return SHIPPED.read_text()

    def start(self) -> None:
        command = ["rsyslogd", "-n", "-i", str(self._folder / "rsyslog.pid"), "-f", str(self._settings)]
        checked = subprocess.run([*command, "-N1"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        with (self._folder / "rsyslog.log").open("ab") as log:
            self._process = subprocess.Popen([*self.prefix, *command], stdout=log, stderr=log)

    def stop(self) -> None:
        """It is gone then; again, that is nothing to do."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def forget(self) -> None:
        """It does not know any more how far it was: the worst of its repetitions."""
        shutil.rmtree(self._work)
        self._work.mkdir()


class RsyslogOfJournal(Rsyslog):
    """Ships what journald is told in namespaces of their own."""

    prefix = (*_NAMESPACES, "sh", "-ec", _WITH_A_JOURNAL, "sh")

    def shipped(self) -> str:
        """As the comments of the file say."""
        text = super().shipped()
        [ruleset] = re.findall(r'^ruleset\(name="postwatch".*?^}$', text, re.MULTILINE | re.DOTALL)
        for said, here in {
            'ruleset(name="postwatch"': 'ruleset(name="postwatch_syslog"',
            '"postwatch_line"': '"postwatch_syslog_line"',
            'queue.filename="postwatch"': 'queue.filename="postwatch-syslog"',
            "postwatch.failed": "postwatch-syslog.failed",
        }.items():
            assert said in ruleset
            ruleset = ruleset.replace(said, here)
        return f"{re.sub('^#   ', '', text, flags=re.MULTILINE)}\n{ruleset}\n"

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()  # and, with it, all that is in its namespaces
            super().stop()

    def log(self, *messages: str) -> None:
        """As a mail server says it to syslog."""
        assert self._process is not None
        child = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        address = Path(wait_until(lambda: child.read_text().split()[:1], "its namespaces are there")[0])
        devlog = Path("/proc") / address / "root/run/systemd/journal/dev-log"
        wait_until(devlog.exists, "the journal listens")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.connect(str(devlog))
            for message in messages:
                to.send(f"<22>{message}".encode())
