"""Settings of the shipper, checked at start: a mistake is named with its variable and its remedy."""

from __future__ import annotations

import os
import re
import socket
import zoneinfo
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from postwatch.producers.service.errors import SettingsError
from postwatch.producers.service.settings import setting

_FORMAT = re.compile(r"[a-z0-9-]{1,40}")
_LOCALHOST = re.compile(
    r"localhost[46]?(?:\.localdomain[46]?)?|(?:.+\.)?localhost|ip6-(?:localhost|loopback)", re.IGNORECASE
)


class FollowedGlob(NamedTuple):
    """Which files to follow, and what their lines are."""

    glob: str
    format: str


@dataclass(frozen=True, slots=True)
class ShipSettings:
    """The shipper on a mail server."""

    SECTION: ClassVar[str] = "ship"

    files: tuple[str, ...] = setting(
        doc="Log files to follow: globs, or GLOB=FORMAT, comma-separated. If several match a file, the first is used."
    )
    format: str = setting("auto", doc="Log format of files that name none. auto: the join tells it from each line.")
    tz: str = setting(
        "",
        doc="Time zone (IANA name) of the timestamps in the files, such as Europe/Berlin. Empty: that of this machine.",
    )
    server: str = setting("", doc="Name of this server, unique in the fleet. Empty: the machine's full name.")
    checkpoint_file: str = setting(
        "/var/lib/postwatch/ship/checkpoint.json", doc="File that remembers how far each log file has reached Kafka."
    )
    linger_ms: int = setting(150, doc="Longest wait for a record to fill.", least=0)
    heartbeat_seconds: float = setting(10.0, doc="Seconds between two heartbeats.", least=0.1)
    metrics_address: str = setting("127.0.0.1:9101", doc="host:port of /metrics and /health. Empty: not served.")


def followed_globs(settings: ShipSettings) -> tuple[FollowedGlob, ...]:
    """`files` taken apart. Raises SettingsError."""
    if not settings.files:
        raise SettingsError(
            "POSTWATCH_SHIP_FILES is empty: name the log files to follow, such as /var/log/exim4/mainlog"
        )
    _check_format(settings.format, f"POSTWATCH_SHIP_FORMAT={settings.format!r}")
    return tuple(_followed_glob(item, settings.format) for item in settings.files)


def _followed_glob(item: str, default_format: str) -> FollowedGlob:
    glob, separator, named = item.rpartition("=")
    if not separator:
        glob, named = item, default_format
    _check_format(named, f"POSTWATCH_SHIP_FILES: {named!r} in {item!r}")
    if not os.path.isabs(glob):
        raise SettingsError(f"POSTWATCH_SHIP_FILES: {glob!r} must be an absolute path or glob, such as /var/log/{glob}")
    return FollowedGlob(glob, named)


def _check_format(name: str, what: str) -> None:
    """Only the shape is checked: which formats there are is known to the join, which may be newer than this shipper."""
    if not _FORMAT.fullmatch(name):
        raise SettingsError(
            f"{what} is not the name of a log format: use 1 to 40 of a-z, 0-9 and -, such as auto or exim-main"
        )


def time_zone(settings: ShipSettings, localtime: Path = Path("/etc/localtime")) -> str:
    """The zone for the `tz` header; empty where the machine's own can't be told. Raises SettingsError."""
    if not settings.tz:
        return machine_zone(localtime)
    try:
        zoneinfo.ZoneInfo(settings.tz)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(
            f"POSTWATCH_SHIP_TZ={settings.tz!r} is not a time zone that this machine knows: "
            "use an IANA name such as Europe/Berlin or UTC (and install tzdata if it lacks)"
        ) from error
    return settings.tz


def machine_zone(localtime: Path) -> str:
    """The zone that /etc/localtime links to: UTC without such a file, as the C library has it; empty for a copy."""
    if not localtime.exists():
        return "UTC"
    _, found, zone = str(localtime.resolve()).partition("/zoneinfo/")
    return zone.removeprefix("posix/") if found else ""


def server_name(settings: ShipSettings) -> str:
    """The key of this server's records. DNS is asked only where the machine's name is not full: DNS may be down.

    Raises SettingsError for a name that other servers have too: they would share a key, and the join would mix them up.
    """
    if name := settings.server.strip():
        said = f"POSTWATCH_SHIP_SERVER={name!r}"
    else:
        name = socket.gethostname()
        name = name if "." in name else socket.getfqdn(name)
        said = f"this server calls itself {name!r}, which"
    if not name.strip(".") or _LOCALHOST.fullmatch(name.rstrip(".")):
        raise SettingsError(
            f"{said} is the name of every machine: set POSTWATCH_SHIP_SERVER to a name that no other server has, "
            "such as mx1.example.com"
        )
    return name
