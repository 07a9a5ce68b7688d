"""The keys of the ids of deliveries, as they lie in the tables: every server, command and push has the same."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable

from postwatch.producers.service.errors import UnavailableError
from postwatch.query.errors import NotMigratedError
from postwatch.query.row_id import KEY_BYTES, RowIds
from postwatch.query.statements import Read, Statement
from postwatch.query.viewer import ENGINEER

KEYS_SECONDS = 60.0
"""A new key seals ids in every process after so long."""

FindRowIds = Callable[[], RowIds]


_NOBODY_ELSE = RowIds([secrets.token_bytes(KEY_BYTES)])


def ids_of_nobody_else() -> RowIds:
    """Ids that no other process opens: of tables that nobody links to."""
    return _NOBODY_ELSE


class StoredKeys:
    """Reads them when they are needed first, and now and then again."""

    def __init__(self, read: Read, database: str) -> None:
        self._read = read
        self._statement = stored_keys(database)
        self._asking = threading.Lock()
        self._ids: RowIds | None = None
        self._secrets: list[str] = []
        self._read_at = 0.0

    def __call__(self) -> RowIds:
        """Raises NotMigratedError where there is none, and whatever reading raises."""
        with self._asking:
            if self._ids is None or time.monotonic() - self._read_at >= KEYS_SECONDS:
                self._ids = self._newest()
                self._read_at = time.monotonic()
            return self._ids

    def _newest(self) -> RowIds:
        try:
            found = [str(secret) for (secret,) in self._read(self._statement)]
        except UnavailableError:
            if self._ids is None:
                raise
            return self._ids
        if not found:
            raise NotMigratedError("there is no key for the ids of deliveries; run `postwatch migrate`")
        if self._ids is not None and found == self._secrets:
            return self._ids
        self._secrets = found
        return RowIds([bytes.fromhex(secret) for secret in found])


def stored_keys(database: str) -> Statement:
    """The newest first."""
    sql = (
        "SELECT secret FROM {database:Identifier}.row_id_keys WHERE match(secret, '^[0-9a-f]{64}$')"
        " GROUP BY secret ORDER BY min(made_at) DESC, secret"
    )
    return Statement(ENGINEER, sql, {"database": database})
