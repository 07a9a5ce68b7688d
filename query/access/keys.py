"""Keys that all servers share: made once, at random, and kept in the state."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from postwatch.query.access.state import StateStore, facts

_BYTES = 32


def shared_key(store: StateStore, name: str) -> bytes:
    """The key of this name. Raises StateError."""
    fact = f"key {name}"
    made = store.insert(facts).values(name=fact, value=secrets.token_bytes(_BYTES)).on_conflict_do_nothing()
    wanted = sa.select(facts.c.value).where(facts.c.name == fact)
    if not (rows := store.read(wanted)):
        store.write(made)
        rows = store.read(wanted)
    return bytes(rows[0].value)
