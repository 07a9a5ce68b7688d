"""Inserts rows into ClickHouse, and sorts what goes wrong as streams/errors.py has it; retrying is the caller's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from postwatch.streams.clickhouse.client import connect, unavailable
from postwatch.streams.clickhouse.error_codes import classify_error
from postwatch.streams.settings import ClickHouseSettings
from postwatch.streams.sink.partial_rows import retractions
from urllib3.exceptions import HTTPError

INSERT_TIMEOUT_SECONDS = 60.0
"""Far less than Kafka's max.poll.interval.ms: an insert that hangs may not cost the group membership."""
_SETTINGS = {
    # By default the engine also looks in each block for rows of one key, in this table and in every one that is filled
    # from it: half the CPU of an insert. Versions of a row lie in several parts anyway: readers use FINAL.
    "optimize_on_insert": "0",
    # The first merge makes them: in each insert they would cost a row 1 µs more, and what is not merged yet is little.
    "exclude_materialize_skip_indexes_on_insert": "by_address, by_ip, by_host",
}


class ClickHouseWriter:
    """Connects when first needed, for ClickHouse may be away, and keeps the connection."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings
        self._client: Client | None = None

    def connect(self) -> Client:
        """The client. Raises UnavailableError, with the remedy, while no ClickHouse answers."""
        if self._client is None:
            self._client = connect(self._settings, timeout_seconds=INSERT_TIMEOUT_SECONDS)
        return self._client

    def insert(self, table: str, rows: pa.Table) -> None:
        """Returns when ClickHouse has the rows. Inserted again, they change nothing."""
        client = self.connect()
        try:
            client.insert_arrow(table, rows, settings=_SETTINGS)
        except (ClickHouseError, HTTPError, OSError) as error:
            code: int | None = getattr(error, "code", None)
            raise (unavailable(self._settings, error) if code is None else classify_error(code, str(error))) from error

    def insert_deliveries(self, rows: pa.Table) -> None:
        """The same for the table `deliveries`; partial rows that whole rows cover are retracted."""
        self.insert("deliveries", rows)
        known_better = retractions(rows, self._ask)
        if known_better.num_rows:
            self.insert("deliveries", known_better)

    def _ask(self, sql: str, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
        """The rows of the answer. Raises UnavailableError, whatever is the matter: the question has no fault."""
        client = self.connect()
        try:
            return client.query(sql, parameters=parameters).result_rows
        except (ClickHouseError, HTTPError, OSError) as error:
            raise unavailable(self._settings, error) from error
