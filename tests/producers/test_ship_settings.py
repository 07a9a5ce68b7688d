"""Every mistake in the shipper's settings is named with its variable and its remedy."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from postwatch.producers.service.errors import SettingsError
from postwatch.producers.service.settings import load
from postwatch.producers.ship_settings import ShipSettings, followed_globs, machine_zone, server_name, time_zone


def settings(**variables: str) -> ShipSettings:
    environ = {f"POSTWATCH_SHIP_{name.upper()}": value for name, value in variables.items()}
    return load(ShipSettings, {"POSTWATCH_SHIP_FILES": "/var/log/exim_mainlog", **environ})


def read_all(variables: dict[str, str]) -> None:
    found = settings(**variables)
    followed_globs(found)
    time_zone(found)


def test_one_format_for_all_and_another_for_some() -> None:
    found = followed_globs(settings(files="/var/log/exim_mainlog=exim-main, /var/log/maillog*", format="auto"))
    assert found == (("/var/log/exim_mainlog", "exim-main"), ("/var/log/maillog*", "auto"))


def test_files_come_from_a_configuration_file_too(tmp_path: Path) -> None:
    config = tmp_path / "postwatch.toml"
    config.write_text('[ship]\nfiles = ["/var/log/exim_mainlog=exim-main", "/srv/*/mail.log"]\ntz = "Europe/Berlin"\n')
    found = load(ShipSettings, {"POSTWATCH_CONFIG": str(config)})
    assert [one.glob for one in followed_globs(found)] == ["/var/log/exim_mainlog", "/srv/*/mail.log"]
    assert time_zone(found) == "Europe/Berlin"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"files": " , "}, "POSTWATCH_SHIP_FILES is empty: name the log files"),
        ({"files": "/var/log/mainlog=exim-mian"}, "unknown log format; known are auto"),
        ({"files": "mainlog"}, "must be an absolute path or glob, such as /var/log/mainlog"),
        ({"format": "eximm"}, "POSTWATCH_SHIP_FORMAT='eximm' is not known: use auto"),
        ({"linger_ms": "-1"}, "POSTWATCH_SHIP_LINGER_MS='-1' is too small"),
        ({"heartbeat_seconds": "0"}, "POSTWATCH_SHIP_HEARTBEAT_SECONDS='0' is too small"),
        ({"tz": "Europe/Berlim"}, "POSTWATCH_SHIP_TZ='Europe/Berlim' is not a time zone"),
        ({"tz": "../etc/passwd"}, "POSTWATCH_SHIP_TZ='../etc/passwd' is not a time zone"),
        ({"flies": "/x"}, "POSTWATCH_SHIP_FLIES"),
    ],
)
def test_mistakes(variables: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_all(variables)
    assert said in str(caught.value)


def test_files_must_be_named() -> None:
    with pytest.raises(SettingsError, match="POSTWATCH_SHIP_FILES is not set: Log files to follow"):
        load(ShipSettings, {})


def test_the_machines_zone(tmp_path: Path) -> None:
    localtime = tmp_path / "localtime"
    assert machine_zone(localtime) == "UTC"
    localtime.symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    assert machine_zone(localtime) == "Europe/Berlin"
    localtime.unlink()
    localtime.write_bytes(b"TZif2")
    assert machine_zone(localtime) == ""


def test_the_servers_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert server_name(settings(server="mx7.example.net")) == "mx7.example.net"
    monkeypatch.setattr(socket, "gethostname", lambda: "mx8.example.net")
    assert server_name(settings()) == "mx8.example.net"
    monkeypatch.setattr(socket, "gethostname", lambda: "mx9")
    monkeypatch.setattr(socket, "getfqdn", lambda name: name + ".example.net")
    assert server_name(settings()) == "mx9.example.net"
