"""The servers that an account's mail passes: those on which its rows were seen. So "up to date" is said of them alone.

What was found is kept for a while, for it changes seldom and is asked for with every page.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from postwatch.query.filters import AccountScope, SystemUser
from postwatch.query.statements import DELIVERIES, VIEWER, Read, Statement, scope_conditions
from postwatch.query.viewer import Viewer

_KEPT_MS = 600_000
_MOST_KEPT = 2_000


@dataclass(frozen=True, slots=True)
class _Seen:
    names: frozenset[str]
    until_ms: int


class ConcernedServers:
    """Names of servers by viewer and account. Empty: none is known, so all are concerned."""

    def __init__(self, read: Read, database: str, now_ms: Callable[[], int]) -> None:
        self._read = read
        self._database = database
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._seen: OrderedDict[tuple[Viewer, AccountScope], _Seen] = OrderedDict()

    def of(self, viewer: Viewer, account: AccountScope, since_ms: int) -> frozenset[str]:
        """Raises what reading raises."""
        if isinstance(account, SystemUser):  # which servers he is on is what the report finds out
            return frozenset(account.servers)
        found = self.known(viewer, account)
        if found is None:
            names = frozenset(
                str(name) for (name,) in self._read(_servers_of(viewer, self._database, account, since_ms))
            )
            found = names
            with self._lock:
                self._seen[viewer, account] = _Seen(names, self._now_ms() + _KEPT_MS)
                while len(self._seen) > _MOST_KEPT:
                    self._seen.popitem(last=False)
        return found

    def known(self, viewer: Viewer, account: AccountScope) -> frozenset[str] | None:
        """What was found lately, without asking."""
        with self._lock:
            seen = self._seen.get((viewer, account))
        return seen.names if seen is not None and seen.until_ms > self._now_ms() else None


def _servers_of(viewer: Viewer, database: str, account: AccountScope, since_ms: int) -> Statement:
    """Without FINAL: of an old version too the server is the same, for it is a part of the key."""
    where, parameters = scope_conditions(account)
    sql = (
        f"SELECT DISTINCT server FROM {DELIVERIES} WHERE {VIEWER} AND {' AND '.join(where)}"
        " AND queued_at >= fromUnixTimestamp64Milli({since_ms:Int64})"
    )
    return Statement(viewer, sql, {**parameters, "database": database, "since_ms": since_ms})
