"""Settings of the shipper, checked at start: a mistake is named with its variable and its remedy."""

from __future__ import annotations

import os
import socket
import zoneinfo
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from postwatch.producers.record import FORMATS
from postwatch.producers.service.errors import SettingsError
from postwatch.producers.service.settings import setting


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
    format: str = setting("auto", doc=f"Log format of the files that name none: {', '.join(FORMATS)}.", choices=FORMATS)
    tz: str = setting("", doc="IANA zone of the stamps in the files, such as Europe/Berlin; empty: this machine's.")
    server: str = setting("", doc="Name of this server, the key of its records; empty: the machine's full name.")
    checkpoint_file: str = setting("/var/lib/postwatch/ship/checkpoint.json", doc="How far Kafka has each file.")
    linger_ms: int = setting(250, doc="Longest wait for a record to fill while a file trickles.", least=0)
    heartbeat_seconds: float = setting(10.0, doc="A heartbeat is sent so often.", least=0.1)
    metrics_address: str = setting("127.0.0.1:9101", doc="host:port of /metrics and /health; empty: none.")


def followed_globs(settings: ShipSettings) -> tuple[FollowedGlob, ...]:
    """`files` taken apart. Raises SettingsError."""
    if not settings.files:
        raise SettingsError(
            "POSTWATCH_SHIP_FILES is empty: name the log files to follow, such as /var/log/exim4/mainlog"
        )
    return tuple(_followed_glob(item, settings.format) for item in settings.files)


def _followed_glob(item: str, default_format: str) -> FollowedGlob:
    glob, separator, named = item.rpartition("=")
    if not separator:
        glob, named = item, default_format
    if named not in FORMATS:
        raise SettingsError(
            f"POSTWATCH_SHIP_FILES: {item!r} names an unknown log format; known are {', '.join(FORMATS)}"
        )
    if not os.path.isabs(glob):
        raise SettingsError(f"POSTWATCH_SHIP_FILES: {glob!r} must be an absolute path or glob, such as /var/log/{glob}")
    return FollowedGlob(glob, named)


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
    """The machine's name is asked of DNS only where it isn't full already: DNS may be down."""
    name = settings.server.strip() or socket.gethostname()
    return name if settings.server.strip() or "." in name else socket.getfqdn(name)
