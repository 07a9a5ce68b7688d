"""What is renewed in a file is taken up when it is whole and usable, and not before."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from postwatch.producers.service import renewal
from postwatch.producers.service.health import Health
from postwatch.producers.service.kafka_settings import KafkaSettings
from postwatch.producers.service.renewal import Renewal
from postwatch.producers.service.systemd import Systemd

from tests.certificates import make_certificates
from tests.waiting import PATIENCE


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In use: `ca.pem`, `client.pem` and `client.key`; a renewed set of all three in `new`."""
    make_certificates(tmp_path, "client")
    (tmp_path / "new").mkdir()
    make_certificates(tmp_path / "new", "client")
    monkeypatch.setenv("POSTWATCH_KAFKA_SECURITY_PROTOCOL", "ssl")
    monkeypatch.setenv("POSTWATCH_KAFKA_SSL_CA_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("POSTWATCH_KAFKA_SSL_CERTIFICATE_FILE", str(tmp_path / "client.pem"))
    monkeypatch.setenv("POSTWATCH_KAFKA_SSL_KEY_FILE", str(tmp_path / "client.key"))
    return tmp_path


def looks(one: Renewal, times: int = 3) -> list[bool]:
    return [one.look() for _ in range(times)]


def renew(files: Path, *names: str) -> None:
    for name in names:
        shutil.copy(files / "new" / name, files / name)


def test_nothing_new_is_nothing_to_do(files: Path) -> None:
    one = Renewal([KafkaSettings], lambda: None)
    (files / "ca.pem").touch()
    assert looks(one) == [False, False, False]


def test_what_stays_the_same_for_two_looks_is_taken_up(files: Path) -> None:
    one = Renewal([KafkaSettings], lambda: None)
    renew(files, "ca.pem")
    assert looks(one, 2) == [False, True]


def test_a_certificate_waits_for_its_key(files: Path) -> None:
    one = Renewal([KafkaSettings], lambda: None)
    renew(files, "client.pem")
    assert looks(one) == [False, False, False]
    renew(files, "client.key")
    assert looks(one, 2) == [False, True]


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nhalf"])
def test_a_file_that_is_half_written_or_missing_is_waited_for(text: str, files: Path) -> None:
    one = Renewal([KafkaSettings], lambda: None)
    (files / "ca.pem").write_text(text)
    assert looks(one) == [False, False, False]
    (files / "ca.pem").unlink()
    assert looks(one) == [False, False, False]
    renew(files, "ca.pem")
    assert looks(one, 2) == [False, True]


def test_a_secret_in_a_file_is_watched_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_text("one\n")
    monkeypatch.setenv("POSTWATCH_KAFKA_SECURITY_PROTOCOL", "sasl_plaintext")
    monkeypatch.setenv("POSTWATCH_KAFKA_SASL_MECHANISM", "PLAIN")
    monkeypatch.setenv("POSTWATCH_KAFKA_SASL_USERNAME", "anna")
    monkeypatch.setenv("POSTWATCH_KAFKA_SASL_PASSWORD_FILE", str(tmp_path / "password"))
    one = Renewal([KafkaSettings], lambda: None)
    (tmp_path / "password").write_text("two\n")
    assert looks(one, 2) == [False, True]


def test_a_part_is_told_once_and_systemd_hears_of_a_reload(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "_due", threading.Event())
    acted = threading.Event()
    one = Renewal([KafkaSettings], acted.set)
    one.watch(0.05)
    renew(files, "ca.pem")
    assert acted.wait(PATIENCE)
    assert renewal.is_due()
    sent: list[str] = []
    systemd = Systemd(Health(), {})
    monkeypatch.setattr(systemd, "_send", lambda *lines: sent.extend(lines))
    systemd.stopping()
    assert sent[0] == "RELOADING=1"
    assert sent[1].startswith("MONOTONIC_USEC=")
