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


def test_a_format_that_this_shipper_has_never_heard_of_is_passed_on() -> None:
    found = followed_globs(settings(files="/var/log/a=haraka-2, /var/log/b", format="x" * 40))
    assert found == (("/var/log/a", "haraka-2"), ("/var/log/b", "x" * 40))


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
        (
            {"files": "/var/log/mainlog=Exim"},
            "POSTWATCH_SHIP_FILES: 'Exim' in '/var/log/mainlog=Exim' is not the name of",
        ),
        (
            {"files": "/var/log/mainlog="},
            "'' in '/var/log/mainlog=' is not the name of a log format: use 1 to 40 of a-z",
        ),
        ({"files": f"/var/log/mainlog={'x' * 41}"}, "is not the name of a log format"),
        ({"files": "mainlog"}, "must be an absolute path or glob, such as /var/log/mainlog"),
        ({"format": "exim main"}, "POSTWATCH_SHIP_FORMAT='exim main' is not the name of a log format"),
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


LOCAL = (
    "localhost",
    "LOCALHOST",
    "localhost.",
    "localhost.localdomain",
    "localhost4.localdomain4",
    "ip6-localhost",
    "ip6-loopback",
    "mail.localhost",
    ".",
    "..",
)


@pytest.mark.parametrize("name", LOCAL)
def test_a_name_that_every_machine_has_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        SettingsError, match=r"^POSTWATCH_SHIP_SERVER='.*' is the name of every machine: set POSTWATCH_"
    ):
        server_name(settings(server=name))
    monkeypatch.setattr(socket, "gethostname", lambda: "mx9")
    monkeypatch.setattr(socket, "getfqdn", lambda _: name)
    with pytest.raises(SettingsError, match=r"^this server calls itself '.*', which is the name of every machine"):
        server_name(settings())
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    with pytest.raises(SettingsError, match="set POSTWATCH_SHIP_SERVER to a name that no other server has"):
        server_name(settings())


@pytest.mark.parametrize("name", ["localhost.example.org", "mylocalhost", "localhostess.example", "mx1"])
def test_a_name_that_only_looks_like_it_is_a_name(name: str) -> None:
    assert server_name(settings(server=name)) == name
