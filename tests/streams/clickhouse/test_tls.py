"""ClickHouse behind TLS with a private CA: what is wrong is named, and what is renewed is taken up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from postwatch.producers.service.errors import SettingsError, UnavailableError
from postwatch.producers.service.settings import load
from postwatch.streams.clickhouse.client import TRANSPORT_ERRORS, connect, unavailable
from postwatch.streams.settings import ClickHouseSettings
from postwatch.streams.sink.writer import ClickHouseWriter

from tests.certificates import make_certificates
from tests.tls_front import TlsFront
from tests.waiting import wait_until

SENTENCE = "shows a certificate that is not accepted"
REMEDY = "set POSTWATCH_CLICKHOUSE_CA_FILE to the certificate of the CA that signed it"


@pytest.fixture
def front(database: ClickHouseSettings, tmp_path: Path) -> Iterator[TlsFront]:
    front = TlsFront(tmp_path, urlsplit(database.url).port or 0)
    yield front
    front.close()


def _says_it(log: Path) -> bool:
    return SENTENCE in " ".join(log.read_text().split())


def behind(front: TlsFront, database: ClickHouseSettings, ca_file: str | None = None) -> ClickHouseSettings:
    return replace(database, url=front.url, ca_file=str(front.ca_file) if ca_file is None else ca_file)


@pytest.mark.stack
def test_a_private_ca_is_believed_and_no_other(front: TlsFront, database: ClickHouseSettings, tmp_path: Path) -> None:
    assert connect(behind(front, database)).command("SELECT 1") == 1
    (tmp_path / "other").mkdir()
    make_certificates(tmp_path / "other")
    for ca_file in ("", str(tmp_path / "other" / "ca.pem")):
        with pytest.raises(UnavailableError, match=SENTENCE) as raised:
            connect(behind(front, database, ca_file))
        assert str(raised.value).endswith(REMEDY)
    other_host = replace(behind(front, database), url=front.url.replace("127.0.0.1", "localhost"))
    with pytest.raises(UnavailableError, match="name the host that it is for in POSTWATCH_CLICKHOUSE_URL"):
        connect(other_host)
    with pytest.raises(UnavailableError, match="no TLS connection: wrong version number"):
        connect(replace(database, url=database.url.replace("http:", "https:")))


@pytest.mark.stack
def test_certificates_that_are_renewed_are_taken_up_by_a_client_that_runs(
    front: TlsFront, database: ClickHouseSettings
) -> None:
    settings = behind(front, database)
    client = connect(settings)
    assert client.command("SELECT 1") == 1
    front.renew()
    with pytest.raises(TRANSPORT_ERRORS) as raised:
        client.command("SELECT 2")
    assert str(unavailable(settings, raised.value)).endswith(REMEDY)
    front.trust()
    assert client.command("SELECT 3") == 3


@pytest.mark.stack
def test_each_part_names_a_ca_that_is_not_the_right_one(
    front: TlsFront, database: ClickHouseSettings, tmp_path: Path
) -> None:
    """migrate, doctor and the reports end with the sentence; the sink's writer waits with it."""
    front.renew()  # and the client's file has the CA of before
    settings = behind(front, database)
    with pytest.raises(UnavailableError, match=SENTENCE):
        ClickHouseWriter(settings).connect()
    environment = {
        **os.environ,
        "POSTWATCH_CLICKHOUSE_URL": settings.url,
        "POSTWATCH_CLICKHOUSE_CA_FILE": settings.ca_file,
        "POSTWATCH_CLICKHOUSE_DATABASE": settings.database,
        "POSTWATCH_KAFKA_BROKERS": "127.0.0.1:1",
        "POSTWATCH_SINK_METRICS_ADDRESS": "",
    }
    postwatch = str(Path(sys.executable).with_name("postwatch"))
    commands = {"migrate": ["migrate"], "doctor": ["doctor"], "serve": ["servers"]}
    logs = {name: (tmp_path / f"{name}.log") for name in commands}
    started = []
    for name, command in commands.items():
        with logs[name].open("wb") as log:
            started.append(subprocess.Popen([postwatch, *command], env=environment, stdout=log, stderr=log))
    try:
        for path in logs.values():
            wait_until(partial(_says_it, path), f"{path.stem} says it", seconds=90)
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert all("Traceback" not in path.read_text() for path in logs.values())


def test_a_ca_without_tls_and_a_file_that_is_missing_are_refused(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    ca_file = str(tmp_path / "ca.pem")
    with pytest.raises(SettingsError, match=r"POSTWATCH_CLICKHOUSE_CA_FILE is set, but .* uses no TLS: use https://"):
        load(ClickHouseSettings, {"POSTWATCH_CLICKHOUSE_CA_FILE": ca_file})
    with pytest.raises(SettingsError, match=r"POSTWATCH_CLICKHOUSE_CA_FILE='/nowhere\.pem' can't be read"):
        load(
            ClickHouseSettings,
            {"POSTWATCH_CLICKHOUSE_URL": "https://ch.example", "POSTWATCH_CLICKHOUSE_CA_FILE": "/nowhere.pem"},
        )
