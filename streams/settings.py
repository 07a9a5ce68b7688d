"""Settings of the join, the sink and of how ClickHouse is reached."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from postwatch.producers.service.errors import SettingsError
from postwatch.producers.service.settings import setting

LONGEST_RETRY_DAYS = 8
"""From a message's arrival to the last line about it; mail servers give up after four or five days by default."""
LONGEST_RETRY_MS = LONGEST_RETRY_DAYS * 86_400_000


@dataclass(frozen=True, slots=True)
class ClickHouseSettings:
    """How the sink, the queries and the migrations reach ClickHouse."""

    SECTION: ClassVar[str] = "clickhouse"

    url: str = setting(
        "http://127.0.0.1:8123",
        doc="HTTP address of ClickHouse: http(s)://HOST:PORT. The port is 8123 if none is named, 8443 for https.",
    )
    user: str = setting("default", doc="ClickHouse user.")
    password: str = setting("", doc="ClickHouse password.", secret=True)
    ca_file: str = setting(
        "",
        doc="PEM file of the CA that signed the certificate of ClickHouse, for https; read at each new connection.",
        is_read=True,
    )
    database: str = setting("postwatch", doc="Database of the tables.")
    retention_days: int = setting(30, doc="Days for which rows are kept and shown.", least=1, most=3650)
    """ClickHouse's TTL ends in 2106: a longer one wraps around and deletes every row at once."""

    def __post_init__(self) -> None:
        _check_clickhouse_url(self.url)
        if self.ca_file and not self.url.startswith("https:"):
            raise SettingsError(
                f"POSTWATCH_CLICKHOUSE_CA_FILE is set, but POSTWATCH_CLICKHOUSE_URL={self.url} uses no TLS: use https://"
            )


def _check_clickhouse_url(url: str) -> None:
    """Raises SettingsError. The URL is shown on pages, in logs and by /health: it may hold no password."""
    if "@" in url or "?" in url:
        raise SettingsError(
            "POSTWATCH_CLICKHOUSE_URL must not hold a user, a password or options: "
            "set POSTWATCH_CLICKHOUSE_USER and POSTWATCH_CLICKHOUSE_PASSWORD, and leave only http://HOST:PORT"
        )
    try:
        address = urlsplit(url)
        is_address = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:  # a port that is no number, or too large
        is_address = False
    if not is_address or re.search(r"[\s\x00-\x1f]", url):
        raise SettingsError(
            f"POSTWATCH_CLICKHOUSE_URL={url!r} is not an HTTP address: use http://HOST:PORT, "
            "such as http://127.0.0.1:8123"
        )
    if address.path not in ("", "/") or address.fragment:
        raise SettingsError(
            f"POSTWATCH_CLICKHOUSE_URL={url!r} must end after the port: "
            "name the database in POSTWATCH_CLICKHOUSE_DATABASE"
        )


@dataclass(frozen=True, slots=True)
class JoinSettings:
    """The join worker."""

    SECTION: ClassVar[str] = "join"

    data_dir: str = setting("/var/lib/postwatch/join", doc="Folder of the worker's table. Each worker needs its own.")
    group: str = setting("postwatch-join", doc="Kafka consumer group.")
    changelog_replication: int = setting(
        0,
        doc="Brokers that have a copy of the worker's table, in the topic that the first worker makes: "
        "GROUP-parked-changelog. 0: 3, or all where there are fewer.",
        least=0,
        most=32,
    )
    timezone: str = setting("UTC", doc="Time zone (IANA name) of log timestamps in records that name none.")
    line_fields: tuple[str, ...] = setting(
        (),
        doc="Fields that hold the log line where Vector, Fluent Bit or another shipper puts JSON around it, such as "
        "message,log. Separate with commas; the first that an object has counts.",
    )
    hosts_file: str = setting(
        "",
        doc="TOML file that says which format, time zone or line field the records of a host have where they do not "
        "say it themselves: see docs/other-shippers.md.",
    )
    wrapping_programs: tuple[str, ...] = setting(
        (),
        doc="Programs, as syslog names them, whose messages are whole lines of a mail server: containers that log "
        "through Docker's syslog driver. Separate with commas; * stands for any characters (mailcow-*,docker/*).",
    )
    domains_file: str = setting(
        "",
        doc="File or http(s) URL of the hosted domains, one `domain: owner` per line (cPanel's /etc/userdomains). "
        "It is read again when it changes. Empty: hosted domains are inferred from the log.",
    )
    trusted_networks: str = setting(
        "",
        doc="Networks (CIDR, with commas between them) whose clients' envelope senders are believed without a login: "
        "your own relays and web servers. This machine itself always is.",
    )
    reasons_file: str = setting(
        "",
        doc="TOML file of reasons and providers that override the built-in ones (see docs/operations.md).",
    )
    log_lines: bool = setting(True, doc="Store the log lines of each recipient in its row, as evidence.")
    pending_after_seconds: float = setting(
        5.0, doc="Show a message as pending after it has been open this long.", least=0
    )
    park_after_seconds: float = setting(
        60.0, doc="Park a message in the table after it has been open this long.", least=0
    )
    give_up_after_days: float = setting(
        float(LONGEST_RETRY_DAYS),
        doc="Close a message with its last status when it is older than this: the longest retry of the mail servers.",
        least=0,
    )
    core: str = setting(
        "compiled",
        doc="compiled: parse and join with the compiled modules where there are any; interpreted: leave them alone. "
        "From the environment only.",
        choices=("compiled", "interpreted"),
    )
    metrics_address: str = setting("127.0.0.1:9102", doc="host:port of /metrics and /health. Empty: not served.")


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """The sink from Kafka into ClickHouse."""

    SECTION: ClassVar[str] = "sink"

    group: str = setting("postwatch-sink", doc="Kafka consumer group.")
    max_rows: int = setting(100_000, doc="Most rows in one insert.", least=1)
    max_wait_ms: int = setting(150, doc="Longest wait for an insert to fill.", least=0)
    busy_wait_ms: int = setting(
        1_500,
        doc="The same of an insert that has 2,000 rows already; one that has 20,000 waits three times as long. "
        "Under load, inserts are fewer and larger.",
        least=0,
    )
    metrics_address: str = setting("127.0.0.1:9103", doc="host:port of /metrics and /health. Empty: not served.")
