"""What is known of each server of ours: its newest heartbeat, and what the join knows of its lines."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from postwatch.query.statements import SERVERS, Statement
from postwatch.query.viewer import Viewer
from postwatch.streams.contracts.columns import TIME
from postwatch.streams.contracts.heartbeat import (
    COLUMNS,
    NOTHING_JOINED,
    STALE_AFTER_SECONDS,
    STALE_WITHOUT_HEARTBEATS_SECONDS,
    JoinedLines,
)

AHEAD_MS = 5_000
"""No line is older than the time when Kafka got it: a stamp so far ahead of that comes from a wrong clock."""
BEHIND_MS = 120_000
"""Lines may wait for a while on their way, so stamps behind that time tell less."""


@dataclass(frozen=True, slots=True)
class ShipperLosses:
    """What a shipper could not send as it stood, since it was started."""

    since_ms: int = 0
    """0: it does not count."""
    truncations: int = 0
    unread_files: int = 0
    cut_lines: int = 0


NO_LOSSES = ShipperLosses()


@dataclass(frozen=True, slots=True)
class ServerState:
    """A server's newest heartbeat, and what to think of it."""

    server: str
    sent_ms: int
    last_line_ms: int
    """When its shipper read a line for the last time; 0: never yet."""
    lag_bytes: int
    files: int
    shipper_version: str
    age_ms: int
    is_stale: bool
    is_retired: bool = False
    lines: JoinedLines = NOTHING_JOINED
    """What the join knows of its lines."""
    losses: ShipperLosses = NO_LOSSES

    @property
    def lines_per_second(self) -> float:
        """Of the last minutes; 0 where it is silent, or nothing is known."""
        known = self.lines.recent_ms and not self.is_stale
        return self.lines.recent_lines * 1000 / self.lines.recent_ms if known else 0.0

    @property
    def dead_letters(self) -> int:
        return sum(number for _, number in self.lines.letters)

    @property
    def skew_ms(self) -> int:
        """How far the clock that stamps its lines is ahead (negative) or behind; 0: not enough to matter."""
        skew_ms = self.lines.clock_skew_ms
        if skew_ms < -AHEAD_MS:
            return skew_ms
        return skew_ms if skew_ms > BEHIND_MS and not self.lag_bytes else 0

    @property
    def lost(self) -> bool:
        """Whether lines are known to be lost."""
        return bool(self.losses.unread_files or self.lines.suppressed_lines)

    @property
    def as_of_ms(self) -> int:
        """Its mail up to here is known: what a shipper has not sent yet is newer than the last line that it read."""
        return (self.lag_bytes and self.last_line_ms) or self.sent_ms


@dataclass(frozen=True, slots=True)
class ServerStates:
    """Every server that sent a heartbeat within the days that mail is kept, or some of them."""

    now_ms: int
    servers: tuple[ServerState, ...]
    is_narrowed: bool = False
    """Some were asked for."""

    @property
    def rows(self) -> tuple[ServerState, ...]:
        return self.servers

    def stale(self) -> tuple[ServerState, ...]:
        return tuple(server for server in self.servers if server.is_stale)

    def reporting(self) -> tuple[ServerState, ...]:
        """All but those that an engineer has retired."""
        return tuple(server for server in self.servers if not server.is_retired)

    def worst_first(self) -> list[ServerState]:
        """The silent ones, then those that lost lines or whose clock is wrong, the rest by name, the retired ones."""
        return sorted(
            self.servers,
            key=lambda one: (one.is_retired, not one.is_stale, not (one.lost or one.skew_ms), one.server),
        )

    def of(self, names: Collection[str]) -> ServerStates:
        """Those of these names; all, where there are no names."""
        return ServerStates(self.now_ms, tuple(one for one in self.servers if one.server in names)) if names else self


def state_of(now_ms: int, row: Sequence[Any]) -> ServerState:
    server, sent_ms, last_line_ms, lag_bytes, files, version, retired_ms, *more = row
    since_ms, truncations, unread_files, cut_lines, joined_ms, lines, recent_lines, recent_ms, *rest = more
    formats, reasons, numbers, suppressed_lines, skew_ms = rest
    age_ms = max(now_ms - sent_ms, 0)  # a server's clock may be ahead
    stale_after_seconds = STALE_AFTER_SECONDS if version else STALE_WITHOUT_HEARTBEATS_SECONDS
    return ServerState(
        server,
        sent_ms,
        last_line_ms,
        lag_bytes,
        files,
        version,
        age_ms,
        is_stale=not retired_ms and age_ms > stale_after_seconds * 1000,
        is_retired=bool(retired_ms),
        lines=JoinedLines(
            joined_ms,
            lines,
            recent_lines,
            recent_ms,
            tuple(formats),
            tuple(zip(reasons, numbers, strict=False)),
            suppressed_lines,
            skew_ms,
        ),
        losses=ShipperLosses(since_ms, truncations, unread_files, cut_lines),
    )


def newest_heartbeats(viewer: Viewer, database: str, since_ms: int, rows: int, server: str = "") -> Statement:
    """Each server's newest heartbeat, or that of one: the columns of `servers` in order, times in ms."""
    columns = ", ".join(f"toUnixTimestamp64Milli({one.name})" if one.kind is TIME else one.name for one in COLUMNS)
    sql = (
        f"SELECT {columns} FROM {SERVERS} FINAL WHERE sent_at >= fromUnixTimestamp64Milli({{since_ms:Int64}})"
        f"{' AND server = {server:String}' if server else ''} ORDER BY server LIMIT {{rows:UInt32}}"
    )
    values = {"database": database, "since_ms": since_ms, "rows": rows, **({"server": server} if server else {})}
    return Statement(viewer, sql, values)
