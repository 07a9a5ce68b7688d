"""`postwatch servers`: the newest heartbeat of every server, so that "no data" never looks like "no mail"."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from postwatch.query.exports import csv_text
from postwatch.query.reports.report import DAY_MS, Report, Tables
from postwatch.query.shapes import Shape, Time
from postwatch.query.statements import SERVERS, Statement
from postwatch.query.translation import gettext, ngettext
from postwatch.query.viewer import Viewer
from postwatch.query.wording import byte_size, time_span, utc_time, visible
from postwatch.streams.contracts.heartbeat import STALE_AFTER_SECONDS, STALE_WITHOUT_HEARTBEATS_SECONDS
from postwatch.streams.contracts.outcome import iso_time
from pydantic import Field
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

MAX_SERVERS = 10_000
_MOST_NAMED_SERVERS = 3


@dataclass(frozen=True, slots=True)
class ServersQuestion:
    """It has no filters."""


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

    @property
    def as_of_ms(self) -> int:
        """Its mail up to here is known: what a shipper has not sent yet is newer than the last line that it read."""
        return (self.lag_bytes and self.last_line_ms) or self.sent_ms


@dataclass(frozen=True, slots=True)
class ServerStates:
    """Every server that sent a heartbeat within the days that mail is kept."""

    now_ms: int
    servers: tuple[ServerState, ...]

    @property
    def rows(self) -> tuple[ServerState, ...]:
        return self.servers

    def stale(self) -> tuple[ServerState, ...]:
        return tuple(server for server in self.servers if server.is_stale)

    def reporting(self) -> tuple[ServerState, ...]:
        """All but those that an engineer has retired."""
        return tuple(server for server in self.servers if not server.is_retired)

    def of(self, names: Collection[str]) -> ServerStates:
        """Those of these names; all, where there are no names."""
        return ServerStates(self.now_ms, tuple(one for one in self.servers if one.server in names)) if names else self


class ServerShape(Shape):
    server: str
    heartbeat_at: Time = Field(description="The newest heartbeat.")
    age_seconds: float
    is_stale: bool = Field(
        description=f"No heartbeat for more than {STALE_AFTER_SECONDS} s, or no line for more than"
        f" {STALE_WITHOUT_HEARTBEATS_SECONDS} s where no shipper sends heartbeats: its newest mail may be missing."
    )
    is_retired: bool = Field(description="An engineer retired it; it comes back when it sends again.")
    last_line_at: Time | None = Field(description="When its shipper last read a line; null: never yet.")
    lag_bytes: int = Field(description="Bytes of its logs that are not shipped yet.")
    files: int
    shipper_version: str

    @classmethod
    def of(cls, state: ServerState) -> ServerShape:
        return cls(
            server=state.server,
            heartbeat_at=iso_time(state.sent_ms),
            age_seconds=state.age_ms / 1000,
            is_stale=state.is_stale,
            is_retired=state.is_retired,
            last_line_at=iso_time(state.last_line_ms) if state.last_line_ms else None,
            lag_bytes=state.lag_bytes,
            files=state.files,
            shipper_version=state.shipper_version,
        )


class ServersShape(Shape):
    servers: list[ServerShape]


class ServersReport(Report[ServersQuestion, ServerStates]):
    """The newest heartbeat of every server."""

    question = ServersQuestion
    path = "/api/v1/servers"
    operation = "servers"
    page = "/servers"
    title = "Servers"
    template = "servers.html"
    has_form = False
    is_for_engineers = True
    shape_type = ServersShape

    def answer(self, tables: Tables, question: ServersQuestion) -> ServerStates:
        """A server silent for longer than mail is kept is gone."""
        since_ms = tables.now_ms - tables.retention_days * DAY_MS
        servers = [
            _state(tables.now_ms, *row)
            for row in tables.read(newest_heartbeats(tables.viewer, tables.database, since_ms, MAX_SERVERS))
        ]
        return ServerStates(tables.now_ms, tuple(servers))

    def shape(self, answer: ServerStates, silent_servers: list[str]) -> ServersShape:
        return ServersShape(servers=[ServerShape.of(state) for state in answer.servers])

    def table(self, answer: ServerStates, width: int) -> Iterator[RenderableType]:
        if answer.servers:
            yield _table(answer)

    def csv(self, answer: ServerStates, has_heading: bool = True) -> str:
        cells = (ServerShape.of(state).model_dump() for state in answer.servers)
        heading = list(ServerShape.model_fields) if has_heading else []
        return csv_text(heading, (list(one.values()) for one in cells))

    def records(self, answer: ServerStates) -> Iterable[Shape]:
        return map(ServerShape.of, answer.servers)

    def nothing_found(self, answer: ServerStates) -> str:
        return ""  # `silence` says it


REPORT = ServersReport()


def _state(
    now_ms: int, server: str, sent_ms: int, last_line_ms: int, lag_bytes: int, files: int, version: str, retired_ms: int
) -> ServerState:
    age_ms = max(now_ms - sent_ms, 0)  # a server's clock may be ahead
    stale_after_seconds = STALE_AFTER_SECONDS if version else STALE_WITHOUT_HEARTBEATS_SECONDS
    is_stale = not retired_ms and age_ms > stale_after_seconds * 1000
    return ServerState(
        server, sent_ms, last_line_ms, lag_bytes, files, version, age_ms, is_stale, is_retired=bool(retired_ms)
    )


def newest_heartbeats(viewer: Viewer, database: str, since_ms: int, rows: int) -> Statement:
    """Each server's newest heartbeat: name, sent and last line, lag in bytes, files, shipper's version, when it was
    retired. Times are in ms."""
    sql = (
        "SELECT server, toUnixTimestamp64Milli(sent_at), toUnixTimestamp64Milli(last_line_at), lag_bytes, files,"
        f" shipper_version, toUnixTimestamp64Milli(retired_at) FROM {SERVERS} FINAL"
        " WHERE sent_at >= fromUnixTimestamp64Milli({since_ms:Int64}) ORDER BY server LIMIT {rows:UInt32}"
    )
    return Statement(viewer, sql, {"database": database, "since_ms": since_ms, "rows": rows})


def silence(states: ServerStates, viewer: Viewer) -> str:
    """Why mail may be missing from a report; empty where nothing is known to be. Names are for engineers."""
    if not states.reporting():
        if viewer.is_engineer:
            return gettext("No mail server has reported yet, so mail may be missing. Is a shipper running?")
        return gettext("No mail server has reported yet, so mail may be missing.")
    stale = sorted(states.stale(), key=lambda server: server.age_ms)
    if not stale:
        return ""
    if not viewer.is_engineer:
        return gettext(
            "Some mail servers have not reported since %(time)s: their newest mail may be missing here.",
            time=utc_time(min(server.as_of_ms for server in stale)),
        )
    named = [
        gettext("%(server)s for %(span)s", server=visible(server.server), span=time_span(server.age_ms))
        for server in stale[:_MOST_NAMED_SERVERS]
    ]
    if more := len(stale) - len(named):
        named.append(ngettext("%(num)s more for longer", "%(num)s more for longer", more))
    return ngettext(
        "%(num)s of %(all)s servers is silent (%(names)s): its newest mail may be missing here.",
        "%(num)s of %(all)s servers are silent (%(names)s): their newest mail may be missing here.",
        len(stale),
        all=len(states.reporting()),
        names=", ".join(named),
    )


def _table(states: ServerStates) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("Server", "State", "Last heartbeat", "Last line (UTC)", "Not shipped", "Files", "Shipper"):
        table.add_column(heading, overflow="fold", justify="right" if heading in ("Not shipped", "Files") else "left")
    for state in states.servers:
        table.add_row(
            Text(visible(state.server)),
            _state_word(state),
            f"{time_span(state.age_ms)} ago",
            utc_time(state.last_line_ms) if state.last_line_ms else "none yet",
            byte_size(state.lag_bytes),
            str(state.files),
            Text(visible(state.shipper_version)),
        )
    return table


def _state_word(state: ServerState) -> Text:
    if state.is_retired:
        return Text("retired", "dim")
    return Text("silent", "yellow") if state.is_stale else Text("alive", "green")


def up_to_date_ms(states: ServerStates) -> int:
    """Up to here the mail of all these servers is known; 0: of some it is not known, or there are none."""
    if not states.reporting() or states.stale():
        return 0
    return min(server.as_of_ms for server in states.reporting())
