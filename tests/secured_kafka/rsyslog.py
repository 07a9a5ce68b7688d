"""Debian's rsyslog with deploy/shippers/rsyslog.conf, of which only addresses, folders and certificates differ."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.mutations.mutation import ROOT

OMKAFKA = Path("/usr/lib/x86_64-linux-gnu/rsyslog/omkafka.so")
SHIPPED = Path(ROOT) / "deploy" / "shippers" / "rsyslog.conf"


class Rsyslog:
    """Ships `mainlog` of the folder."""

    def __init__(self, folder: Path, kafka: Mapping[str, str]) -> None:
        self._folder = folder
        self._work = folder / "rsyslog"
        self._work.mkdir()
        text = SHIPPED.read_text()
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

    def start(self) -> None:
        command = ["rsyslogd", "-n", "-i", str(self._folder / "rsyslog.pid"), "-f", str(self._settings)]
        checked = subprocess.run([*command, "-N1"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
        with (self._folder / "rsyslog.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

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
