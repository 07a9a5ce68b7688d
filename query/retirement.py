"""Retiring a server: it is gone on purpose, so it is not silent. The one thing that the query side writes.

A server is back with its next heartbeat: the row of its retirement is only just newer than its last one.
"""

from __future__ import annotations

from postwatch.producers.service.errors import BadInputError
from postwatch.streams.clickhouse.client import TRANSPORT_ERRORS, connect, unavailable
from postwatch.streams.settings import ClickHouseSettings


class UnknownServerError(BadInputError):
    """No server of this name has reported."""


def retire(settings: ClickHouseSettings, server: str, now_ms: int) -> None:
    """Returns when ClickHouse has it. Raises UnknownServerError, and UnavailableError where no ClickHouse answers."""
    try:
        client = connect(settings, timeout_seconds=30.0)
        known = client.query(
            "SELECT count() FROM servers WHERE server = {server:String}", parameters={"server": server}
        ).result_rows
        if not known[0][0]:
            raise UnknownServerError(f"no server {server!r} has reported: `postwatch servers` lists their names")
        # One statement, so that a heartbeat that comes meanwhile is newer than what is written.
        client.command(
            "INSERT INTO servers SELECT * REPLACE (sent_at + toIntervalMillisecond(1) AS sent_at,"
            " fromUnixTimestamp64Milli({now_ms:Int64}) AS retired_at)"
            " FROM servers FINAL WHERE server = {server:String}",
            parameters={"server": server, "now_ms": now_ms},
        )
    except TRANSPORT_ERRORS as error:
        raise unavailable(settings, error) from error
