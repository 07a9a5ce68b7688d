"""The one way to ClickHouse: a clickhouse-connect client with the options that this system relies on."""

from __future__ import annotations

import logging
import re
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from postwatch.producers.service.errors import UnavailableError
from postwatch.streams.clickhouse.error_codes import explain
from postwatch.streams.clickhouse.transport import transport_reason, untrusted
from postwatch.streams.settings import ClickHouseSettings
from urllib3.exceptions import HTTPError

TRANSPORT_ERRORS = (ClickHouseError, HTTPError, OSError)
"""What a call of the client may raise; `unavailable` makes one sentence of each."""

_CONNECT_SECONDS = 5
_STATUS = re.compile(r"\bHTTP status (\d{3})\b")
_GATEWAY = {"502", "503", "504"}
_NATIVE_PORT = "is for clickhouse-client program"
_SET_URL = "set POSTWATCH_CLICKHOUSE_URL to the HTTP address of ClickHouse"


def connect(settings: ClickHouseSettings, *, timeout_seconds: float = 60.0, database: str | None = None) -> Client:
    """A client for one thread or many: without a session, parallel queries do not collide; inserts are synchronous.

    Raises UnavailableError, with the remedy, while no ClickHouse answers. `database` overrides the settings'.
    """
    # The driver logs each error with a traceback, and urllib3 each attempt; what matters is raised too.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    address = urlsplit(settings.url)
    host = address.hostname or ""
    try:
        return clickhouse_connect.get_client(
            interface=address.scheme,  # as a `dsn`, https would be taken for http
            host=f"[{host}]" if ":" in host else host,
            port=address.port or 0,
            username=settings.user,
            password=settings.password,
            database=settings.database if database is None else database,
            autogenerate_session_id=False,
            connect_timeout=_CONNECT_SECONDS,
            send_receive_timeout=timeout_seconds,
            compress="lz4",
            ca_cert=settings.ca_file or None,
            # An insert returns when the rows are in the table, on every shard that they belong to.
            settings={"async_insert": "0", "distributed_foreground_insert": "1"},
        )
    except TRANSPORT_ERRORS as error:
        raise unavailable(settings, error) from error


def unavailable(settings: ClickHouseSettings, error: Exception) -> UnavailableError:
    """What went wrong between us and ClickHouse, with the remedy: nobody answered, or the answer was no."""
    url = settings.url
    code: int | None = getattr(error, "code", None)
    if code is not None:
        return UnavailableError(f"ClickHouse at {url} refuses: {explain(code, str(error))}")
    text = str(error)
    if _NATIVE_PORT in text:
        return UnavailableError(f"{url} is not the HTTP port of ClickHouse but that of its own protocol; {_SET_URL}")
    if status := _STATUS.search(text):
        if status[1] in _GATEWAY:
            return UnavailableError(
                f"a proxy answers at {url} (HTTP status {status[1]}), but ClickHouse behind it does not; start it"
            )
        return UnavailableError(f"{url} answers, but it is not ClickHouse (HTTP status {status[1]}); {_SET_URL}")
    if "server version query" in text:
        return UnavailableError(f"{url} answers, but it is not ClickHouse; {_SET_URL}")
    if refused := untrusted(error):
        why, remedy = refused
        return UnavailableError(f"ClickHouse at {url} shows a certificate that is not accepted ({why}); {remedy}")
    reason = transport_reason(error)
    return UnavailableError(
        f"ClickHouse does not answer at {url} ({reason}); start it, or set POSTWATCH_CLICKHOUSE_URL"
    )
