"""`postwatch server`: all that is known of one mail server, and its newest dead letters.

What its shipper and the join told is in its newest heartbeat; its dead letters are read from Kafka. Where Kafka can't
be read, the answer says so, and tells the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from postwatch.producers.service.errors import UnavailableError
from postwatch.query.errors import BusyError, NotFoundError
from postwatch.query.exports import csv_text
from postwatch.query.reports.dead_letters import DeadLetters, LetterShape, chosen_letters
from postwatch.query.reports.report import DAY_MS, Report, Tables, asked
from postwatch.query.reports.server_states import ServerState, newest_heartbeats, state_of
from postwatch.query.reports.servers import ServerShape, state_word
from postwatch.query.shapes import Shape, Time
from postwatch.query.translation import N_, gettext, ngettext, pgettext
from postwatch.query.wording import byte_size, count, decimal, time_span, utc_time, visible
from postwatch.streams.contracts.outcome import iso_time
from pydantic import Field
from rich.console import RenderableType
from rich.text import Text

MOST_LETTERS = 10
NO_SUCH_SERVER = N_("No server of this name has reported in the days that mail is kept.")


@dataclass(frozen=True, slots=True)
class ServerQuestion:
    server: str = asked(doc="the name of a server, as `postwatch servers` shows it")


@dataclass(frozen=True, slots=True)
class ServerFound:
    """One server, or none."""

    rows: tuple[ServerState, ...]
    letters: DeadLetters | None = None
    """Its dead letters of the last day; None: Kafka could not be read."""

    @property
    def server(self) -> ServerState:
        return self.rows[0]


class OneServerShape(Shape):
    """One server, and its newest dead letters."""

    server: ServerShape
    letters: list[LetterShape] | None = Field(
        description=f"Of the last day, newest first, at most {MOST_LETTERS}; null: Kafka could not be read."
    )
    replay_from: Time | None = Field(description="`postwatch join --from` this time reads the lines shown again.")


class ServerReport(Report[ServerQuestion, ServerFound]):
    """One mail server: lines, lag, formats, losses, clock and dead letters."""

    question = ServerQuestion
    path = "/api/v1/servers/{server:path}"
    operation = "server"
    page = "/servers/{server:path}"
    title = N_("One Server")
    template = "server.html"
    has_form = False
    has_link = False
    names_one: ClassVar[bool] = True
    none_of_this_name = NO_SUCH_SERVER
    is_for_engineers = True
    shape_type = OneServerShape

    def answer(self, tables: Tables, question: ServerQuestion) -> ServerFound:
        if not question.server:
            return ServerFound(())
        since_ms = tables.now_ms - tables.retention_days * DAY_MS
        statement = newest_heartbeats(tables.viewer, tables.database, since_ms, 1, question.server)
        rows = tuple(state_of(tables.now_ms, row) for row in tables.read(statement))
        return ServerFound(rows, _letters(tables, rows[0].server) if rows else None)

    def shape(self, answer: ServerFound, silent_servers: list[str]) -> OneServerShape:
        if not answer.rows:
            raise NotFoundError(NO_SUCH_SERVER)
        letters = answer.letters
        return OneServerShape(
            server=ServerShape.of(answer.server),
            letters=[LetterShape.of(one) for one in letters.rows] if letters else None,
            replay_from=iso_time(letters.replay_from_ms) if letters and letters.replay_from_ms else None,
        )

    def table(self, answer: ServerFound, width: int) -> Iterator[RenderableType]:
        if not answer.rows:
            return
        state = answer.server
        yield Text.assemble((visible(state.server), "bold"), "  ", state_word(state), overflow="fold")
        for label, words in server_facts(state):
            yield Text(f"{label}: {words}", overflow="fold")
        letters = answer.letters
        if letters is None:
            yield Text("Its dead letters could not be read from Kafka.", "yellow")
        elif letters.rows:
            yield Text(f"{count(letters.number, 'dead letter')} in the last day; the newest:")
            for letter in letters.rows:
                yield Text(f"  {visible(letter.reason)}: {visible(letter.line)}", overflow="fold")
            yield Text(f"After the parser is fixed, read these lines again: {letters.replay_command}", "dim")

    def csv(self, answer: ServerFound, has_heading: bool = True) -> str:
        heading = list(ServerShape.model_fields) if has_heading else []
        return csv_text(heading, (ServerShape.of(state).cells() for state in answer.rows))

    def records(self, answer: ServerFound) -> Iterable[Shape]:
        return map(ServerShape.of, answer.rows)

    def nothing_found(self, answer: ServerFound) -> str:
        return gettext(NO_SUCH_SERVER)


REPORT = ServerReport()


def _letters(tables: Tables, server: str) -> DeadLetters | None:
    since_ms = tables.now_ms - DAY_MS
    try:
        found = tables.letters(since_ms)
    except (UnavailableError, BusyError):
        return None
    return chosen_letters(found.letters, found.is_complete, since_ms, server, "", MOST_LETTERS)


def server_facts(state: ServerState) -> list[tuple[str, str]]:
    """What is known of a server: label and words, in the reader's language."""
    joined = state.lines
    facts = [
        (gettext("Last heartbeat"), _heartbeat_words(state)),
        (gettext("Last line read"), utc_time(state.last_line_ms) if state.last_line_ms else gettext("none yet")),
        (gettext("Lines per second"), decimal(state.lines_per_second) if joined.recent_ms else gettext("unknown")),
        (gettext("Lines read"), _lines_words(state)),
        (gettext("Not shipped"), byte_size(state.lag_bytes)),
        (gettext("Log formats"), ", ".join(map(visible, joined.formats)) or gettext("unknown")),
        (gettext("Lost lines"), loss_words(state)),
        (gettext("Clock"), clock_words(state)),
    ]
    if state.shipper_version:
        shipper = gettext("version %(version)s", version=visible(state.shipper_version))
        facts += [(gettext("Files"), str(state.files)), (gettext("Shipper"), shipper)]
    return facts


def _heartbeat_words(state: ServerState) -> str:
    ago = gettext("%(span)s ago", span=time_span(state.age_ms))
    return ago if state.shipper_version else gettext("%(ago)s; it has no shipper, so its lines tell", ago=ago)


def _lines_words(state: ServerState) -> str:
    joined = state.lines
    if not joined.since_ms:
        return gettext("unknown")
    return ngettext(
        "%(num)s line since %(time)s", "%(num)s lines since %(time)s", joined.lines, time=utc_time(joined.since_ms)
    )


def loss_words(state: ServerState) -> str:
    losses = state.losses
    said = []
    if number := losses.unread_files:
        said.append(
            ngettext("%(num)s log file was gone before its end", "%(num)s log files were gone before their end", number)
        )
    if number := state.lines.suppressed_lines:
        said.append(ngettext("its logger dropped %(num)s line", "its logger dropped %(num)s lines", number))
    if number := losses.truncations:
        said.append(ngettext("%(num)s log file was truncated", "%(num)s log files were truncated", number))
    if number := losses.cut_lines:
        said.append(ngettext("%(num)s line was too long", "%(num)s lines were too long", number))
    return "; ".join(said) or gettext("none known")


def clock_words(state: ServerState) -> str:
    if not state.lines.since_ms:
        return gettext("unknown")
    if not state.skew_ms:
        return pgettext("clock", "right")
    span = time_span(abs(state.skew_ms))
    if state.skew_ms < 0:
        return gettext("its lines are %(span)s ahead: its clock, or the time zone of its log, is wrong", span=span)
    return gettext("its lines are %(span)s behind: they come late, or its clock or time zone is wrong", span=span)
