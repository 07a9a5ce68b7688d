"""The one way to ClickHouse: a clickhouse-connect client with the options that this system relies on."""

from __future__ import annotations

import logging

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from postwatch.producers.service.errors import UnavailableError
from postwatch.streams.clickhouse.error_codes import explain
from postwatch.streams.settings import ClickHouseSettings
from urllib3.exceptions import HTTPError

_CONNECT_SECONDS = 5


def connect(settings: ClickHouseSettings, *, timeout_seconds: float = 60.0, database: str | None = None) -> Client:
    """A client for one thread or many: without a session, parallel queries do not collide; inserts are synchronous.

    Raises UnavailableError, with the remedy, while no ClickHouse answers. `database` overrides the settings'.
    """
    # The driver logs each error with a traceback, and raises it too.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    try:
        return clickhouse_connect.get_client(
            dsn=settings.url,
            username=settings.user,
            password=settings.password,
            database=settings.database if database is None else database,
            autogenerate_session_id=False,
            connect_timeout=_CONNECT_SECONDS,
            send_receive_timeout=timeout_seconds,
            compress="lz4",
            # An insert returns when the rows are in the table, on every shard that they belong to.
            settings={"async_insert": "0", "distributed_foreground_insert": "1"},
        )
    except (ClickHouseError, HTTPError, OSError) as error:
        raise unavailable(settings, error) from error


def unavailable(settings: ClickHouseSettings, error: Exception) -> UnavailableError:
    """What went wrong between us and ClickHouse, with the remedy: nobody answered, or the answer was no."""
    code: int | None = getattr(error, "code", None)
    if code is not None:
        return UnavailableError(f"ClickHouse at {settings.url} refuses: {explain(code, str(error))}")
    cause = error.__cause__ or error
    return UnavailableError(
        f"ClickHouse does not answer at {settings.url} ({type(cause).__name__}); start it, or set "
        "POSTWATCH_CLICKHOUSE_URL"
    )
