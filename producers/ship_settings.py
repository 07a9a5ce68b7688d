"""Settings of the shipper, checked at start: a mistake is named with its variable and its remedy."""

from __future__ import annotations

import os
import socket
import zoneinfo
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from postwatch.producers.errors import SettingsError
from postwatch.producers.record import FORMATS
from postwatch.producers.settings import setting


class FollowedGlob(NamedTuple):
    """Which files to follow, and what their lines are."""

    glob: str
    format: str


@dataclass(frozen=True, slots=True)
class ShipSettings:
    """The shipper on a mail server."""

    SECTION: ClassVar[str] = "ship"

    files: tuple[str, ...] = setting(
        doc="Log files to follow: globs, or GLOB=FORMAT, comma-separated. The first that fits a file counts."
    )
    format: str = setting("auto", doc="Log format of the files that name none: " + ", ".join(FORMATS) + ".")
    tz: str = setting("", doc="IANA zone of the stamps in the files, such as Europe/Berlin; empty: this machine's.")
    server: str = setting("", doc="Name of this server, the key of its records; empty: the machine's full name.")
    checkpoint_file: str = setting("/var/lib/postwatch/ship/checkpoint.json", doc="How far Kafka has each file.")
    linger_ms: int = setting(250, doc="Longest wait for a record to fill while a file trickles.")
    heartbeat_seconds: float = setting(10.0, doc="A heartbeat is sent so often.")
    metrics_address: str = setting("127.0.0.1:9101", doc="host:port of /metrics and /health; empty: none.")


def followed_globs(settings: ShipSettings) -> tuple[FollowedGlob, ...]:
    """`files` taken apart. Raises SettingsError."""
    if not settings.files:
        raise SettingsError(
            "POSTWATCH_SHIP_FILES is empty: name the log files to follow, such as /var/log/exim4/mainlog"
        )
    _check_format(settings.format, "POSTWATCH_SHIP_FORMAT")
    return tuple(_followed_glob(item, settings.format) for item in settings.files)


def _followed_glob(item: str, default_format: str) -> FollowedGlob:
    glob, separator, named = item.rpartition("=")
    if not separator:
        glob, named = item, default_format
    _check_format(named, f"POSTWATCH_SHIP_FILES: {item!r}")
    if not os.path.isabs(glob):
        raise SettingsError(f"POSTWATCH_SHIP_FILES: {glob!r} must be an absolute path or glob, such as /var/log/{glob}")
    return FollowedGlob(glob, named)


def _check_format(name: str, where: str) -> None:
    if name not in FORMATS:
        raise SettingsError(f"{where}: unknown log format {name!r}; known are {', '.join(FORMATS)}")


def check_numbers(settings: ShipSettings) -> None:
    """Raises SettingsError for a number that can't work."""
    if not 0 <= settings.linger_ms <= 60_000:
        raise SettingsError(f"POSTWATCH_SHIP_LINGER_MS={settings.linger_ms} must be between 0 and 60000")
    if not 0.1 <= settings.heartbeat_seconds <= 3600:
        raise SettingsError(
            f"POSTWATCH_SHIP_HEARTBEAT_SECONDS={settings.heartbeat_seconds} must be between 0.1 and 3600"
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
    return settings.server.strip() or socket.getfqdn()
