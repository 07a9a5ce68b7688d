"""Counts failed log-ins, for all workers together and through restarts.

The invariant: tries are limited by client, and by client and name together; never by the name alone, so nobody can lock
an owner out from elsewhere. A try is counted before it is made: many at a time get no further than one after the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import sqlalchemy as sa
from postwatch.producers.service.lifecycle import now_ms
from postwatch.query.access.site import client_network
from postwatch.query.access.state import StateStore, metadata
from postwatch.query.errors import TooManyTriesError

WINDOW_MS = 15 * 60_000
MOST_OF_NAME = 10
"""Failures of one client with one name in the window."""
MOST_OF_CLIENT = 60
"""Failures of one client with any names."""

tries = sa.Table(
    "postwatch_log_in_tries",
    metadata,
    sa.Column("client", sa.String(64), primary_key=True),
    sa.Column("name_hash", sa.String(64), primary_key=True),  # empty: with any name
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("since_ms", sa.BigInteger, nullable=False, index=True),
)


class TryBook:
    """The tries of every client. Blocks for the state: call it in a thread. Raises StateError."""

    def __init__(self, store: StateStore, now_ms: Callable[[], int] = now_ms) -> None:
        self._store = store
        self._now_ms = now_ms

    def begin(self, client: str, name: str) -> None:
        """Counts a try as failed before it is made. Raises TooManyTriesError with the seconds to wait."""
        now_ms = self._now_ms()
        with self._store.transaction() as connection:
            connection.execute(tries.delete().where(tries.c.since_ms <= now_ms - WINDOW_MS))
            # In this order always, so that two workers never wait for each other.
            for key, most in self._keys(client, name):
                added = self._store.insert(tries).values(**key, failures=1, since_ms=now_ms)
                counted = added.on_conflict_do_update(
                    index_elements=["client", "name_hash"], set_={"failures": tries.c.failures + 1}
                ).returning(tries.c.failures, tries.c.since_ms)
                row = connection.execute(counted).one()
                if row.failures > most:  # raised inside: the transaction leaves no count behind
                    raise TooManyTriesError(max(1, (row.since_ms + WINDOW_MS - now_ms) // 1000))

    def take_back(self, client: str, name: str) -> None:
        """The try succeeded, or nobody could say: it was no failure."""
        with self._store.transaction() as connection:
            for key, _most in self._keys(client, name):
                of_key = sa.and_(tries.c.client == key["client"], tries.c.name_hash == key["name_hash"])
                connection.execute(
                    tries.update().where(of_key, tries.c.failures > 0).values(failures=tries.c.failures - 1)
                )

    @staticmethod
    def _keys(client: str, name: str) -> list[tuple[dict[str, str], int]]:
        network = client_network(client)
        # The name only hashed: people type their password there.
        name_hash = hashlib.sha256(name.lower().encode()).hexdigest()
        return [
            ({"client": network, "name_hash": ""}, MOST_OF_CLIENT),
            ({"client": network, "name_hash": name_hash}, MOST_OF_NAME),
        ]
