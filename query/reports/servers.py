"""`postwatch servers`: the newest heartbeat of every server, so that "no data" never looks like "no mail"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from postwatch.query.errors import FilterError, about
from postwatch.query.exports import csv_text
from postwatch.query.filters import clean_text
from postwatch.query.reports.report import DAY_MS, Report, Tables, asked
from postwatch.query.reports.server_states import (
    AHEAD_MS,
    BEHIND_MS,
    ServerState,
    ServerStates,
    newest_heartbeats,
    state_of,
)
from postwatch.query.shapes import Shape, Time
from postwatch.query.terminal import short_table
from postwatch.query.translation import gettext, ngettext
from postwatch.query.viewer import Viewer
from postwatch.query.wording import byte_size, time_span, utc_time, visible
from postwatch.streams.contracts.heartbeat import STALE_AFTER_SECONDS, STALE_WITHOUT_HEARTBEATS_SECONDS
from postwatch.streams.contracts.outcome import iso_time
from pydantic import Field
from rich.console import RenderableType
from rich.text import Text

MAX_SERVERS = 100_000
SHOWN_SERVERS = 200
"""On the page: of ten thousand it would have nine megabytes."""
ALIVE, SILENT, RETIRED = STATES = ("alive", "silent", "retired")
_MOST_NAMED_SERVERS = 3
_HEADING = ("Server", "State", "Heard", "Last line", "Lines/s", "Unsent")


@dataclass(frozen=True, slots=True)
class ServersQuestion:
    matching: str = asked("", doc="only servers with this in their name")
    state: str = asked("", doc="only servers in this state", choices=STATES)


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
    lines_per_second: float = Field(description="Lines of the last one to two minutes; 0 while it is silent.")
    joined_since: Time | None = Field(
        description="Since when the join counts lines, dead letters and suppressed lines; null: it has not begun."
    )
    lines: int
    formats: list[str] = Field(description="The log formats of its lines.")
    dead_letters: dict[str, int] = Field(description="Lines that could not be used, by reason.")
    suppressed_lines: int = Field(description="Lines that its own logger threw away: they are in no log.")
    clock_skew_seconds: float = Field(
        description="How far its stamps are behind the time when Kafka got the lines; negative: its clock or time zone"
        f" is wrong. 0: less than {AHEAD_MS // 1000} s ahead and {BEHIND_MS // 1000} s behind."
    )
    shipper_started_at: Time | None = Field(description="Since when its shipper counts; null: it does not count.")
    truncations: int = Field(description="Log files that were truncated: what was unread may be gone.")
    unread_files: int = Field(description="Log files that disappeared before their end was read: lines are lost.")
    cut_lines: int = Field(description="Lines that were too long: only their beginning was sent.")

    @classmethod
    def of(cls, state: ServerState) -> ServerShape:
        joined, losses = state.lines, state.losses
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
            lines_per_second=round(state.lines_per_second, 2),
            joined_since=iso_time(joined.since_ms) if joined.since_ms else None,
            lines=joined.lines,
            formats=list(joined.formats),
            dead_letters=dict(joined.letters),
            suppressed_lines=joined.suppressed_lines,
            clock_skew_seconds=state.skew_ms / 1000,
            shipper_started_at=iso_time(losses.since_ms) if losses.since_ms else None,
            truncations=losses.truncations,
            unread_files=losses.unread_files,
            cut_lines=losses.cut_lines,
        )

    def cells(self) -> list[object]:
        """For CSV, where a list is one cell."""
        letters = " ".join(f"{reason}={number}" for reason, number in self.dead_letters.items())
        told = self.model_dump() | {"formats": " ".join(self.formats), "dead_letters": letters}
        return list(told.values())


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
    is_for_engineers = True
    shape_type = ServersShape
    most_shown = SHOWN_SERVERS

    def answer(self, tables: Tables, question: ServersQuestion) -> ServerStates:
        """A server silent for longer than mail is kept is gone."""
        with about("matching"):
            matching = clean_text(question.matching, "matching").lower()
        with about("state"):
            state = _read_state(question.state)
        since_ms = tables.now_ms - tables.retention_days * DAY_MS
        rows = tables.read(newest_heartbeats(tables.viewer, tables.database, since_ms, MAX_SERVERS))
        servers = (state_of(tables.now_ms, row) for row in rows if matching in row[0].lower())
        found = tuple(one for one in servers if not state or state_name(one) == state)
        return ServerStates(tables.now_ms, found, is_narrowed=bool(matching or state))

    def shape(self, answer: ServerStates, silent_servers: list[str]) -> ServersShape:
        return ServersShape(servers=[ServerShape.of(state) for state in answer.servers])

    def table(self, answer: ServerStates, width: int) -> Iterator[RenderableType]:
        if answer.servers:
            yield short_table(_HEADING, map(_line, answer.servers), width)
            yield Text("Heard: how long ago it gave a sign. Times are in UTC.", "dim")

    def csv(self, answer: ServerStates, has_heading: bool = True) -> str:
        heading = list(ServerShape.model_fields) if has_heading else []
        return csv_text(heading, (ServerShape.of(state).cells() for state in answer.servers))

    def records(self, answer: ServerStates) -> Iterable[Shape]:
        return map(ServerShape.of, answer.servers)

    def nothing_found(self, answer: ServerStates) -> str:
        return gettext("No server matches.") if answer.is_narrowed else ""  # `silence` says it of a fleet of none


REPORT = ServersReport()


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


def _line(state: ServerState) -> tuple[str | Text, ...]:
    return (
        state.server,
        state_word(state),
        time_span(state.age_ms),
        utc_time(state.last_line_ms)[5:16] if state.last_line_ms else "none yet",
        f"{state.lines_per_second:.1f}",
        byte_size(state.lag_bytes),
    )


def _read_state(text: str) -> str:
    state = clean_text(text, "state").lower()
    if state and state not in STATES:
        raise FilterError("%(text)s is not a valid state: use %(choices)s", text=repr(text), choices=", ".join(STATES))
    return state


def state_name(state: ServerState) -> str:
    """One of STATES."""
    if state.is_retired:
        return RETIRED
    return SILENT if state.is_stale else ALIVE


_STYLES = {RETIRED: "dim", SILENT: "yellow", ALIVE: "green"}


def state_word(state: ServerState) -> Text:
    name = state_name(state)
    return Text(name, _STYLES[name])


def up_to_date_ms(states: ServerStates) -> int:
    """Up to here the mail of all these servers is known; 0: of some it is not known, or there are none."""
    if not states.reporting() or states.stale():
        return 0
    return min(server.as_of_ms for server in states.reporting())
