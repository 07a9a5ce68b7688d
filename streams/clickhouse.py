"""The one way to ClickHouse: a clickhouse-connect client with the options that this system relies on."""

from __future__ import annotations

import logging

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from postwatch.producers.errors import UnavailableError
from postwatch.streams.settings import ClickHouseSettings
from urllib3.exceptions import HTTPError

_CONNECT_SECONDS = 5


def connect(settings: ClickHouseSettings, *, timeout_seconds: float = 60.0, database: str | None = None) -> Client:
    """A client for one thread or many: without a session, parallel queries do not collide; inserts are synchronous.

    Raises UnavailableError, with the remedy, while no ClickHouse answers. `database` overrides the settings'.
    """
    logging.getLogger("clickhouse_connect").setLevel(
        logging.CRITICAL
    )  # it logs each error with a traceback, and raises
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
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise UnavailableError(
            f"ClickHouse does not answer at {settings.url} ({words[0][:200]}); "
            "start it, or set POSTWATCH_CLICKHOUSE_URL, _USER, _PASSWORD and _DATABASE"
        ) from error
