"""`postwatch dead-letters`: lines and rows that could not be used, with what was said against them.

Each is shown as it is, with the server and file that it came from, and the command that reads such lines again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

from postwatch.query import filters
from postwatch.query.errors import FilterError, about
from postwatch.query.exports import csv_text
from postwatch.query.letters import Letter
from postwatch.query.reports.report import DAY_MS, Report, Tables, asked
from postwatch.query.shapes import Shape, Time
from postwatch.query.spans import read_age
from postwatch.query.terminal import cut_middle
from postwatch.query.translation import gettext
from postwatch.query.wording import count, utc_time, visible
from postwatch.query.zones import read_moment, read_zone
from postwatch.streams.contracts.outcome import iso_time
from pydantic import Field
from rich.console import RenderableType
from rich.text import Text

KEPT_DAYS = 14
"""How long the topic keeps them."""
HOUR_MS = 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class DeadLettersQuestion:
    server: str = asked("", doc="only lines of this server")
    reason: str = asked("", doc="only letters of this reason, such as line or record")
    since: str = asked("", doc="since this time (YYYY-MM-DD HH:MM), or an age such as 90m, 6h, 2d (default: 1d)")
    zone: str = asked("", doc="the time zone of since, such as Europe/Berlin (default: UTC)")
    limit: int | None = asked(None, doc=f"most letters, newest first, 1 to {filters.MAX_PAGE_ROWS} (default: 50)")


@dataclass(frozen=True, slots=True)
class DeadLetters:
    since_ms: int
    rows: tuple[Letter, ...]
    """Newest first."""
    number: int
    """Of these filters, shown or not."""
    by_reason: dict[str, int]
    """Of the server that was asked for, whatever the reason."""
    by_server: dict[str, int]
    """Of the reason that was asked for, whatever the server; of rows and records of Kafka none."""
    is_complete: bool
    replay_from_ms: int
    """A replay from then on reads the lines of the letters shown again; 0: there is none to read."""

    @property
    def replay_command(self) -> str:
        return f"postwatch join --from {iso_time(self.replay_from_ms)[:16]}" if self.replay_from_ms else ""


class LetterShape(Shape):
    """One line, row or record that could not be used."""

    id: str = Field(description="Its partition and offset in the topic of dead letters.")
    at: Time
    reason: str = Field(description="A constant word: line, record, parser-error, joiner-error, refused-row, …")
    detail: str = Field(description="What was said against it.")
    server: str = Field(description="The server whose line it was; empty: it was a record of Kafka.")
    file: str
    byte_offset: int = Field(description="Of the line in its file; -1: not known.")
    topic: str = Field(description="The topic of the record; empty: it was a line.")
    partition: int
    kafka_offset: int
    line: str = Field(description="As it is, but for bytes that are no UTF-8; at most 4,000 bytes.")
    size_bytes: int = Field(description="Of all of it.")

    @classmethod
    def of(cls, letter: Letter) -> LetterShape:
        return cls(
            id=letter.id,
            at=iso_time(letter.at_ms),
            reason=letter.reason,
            detail=letter.detail,
            server=letter.server,
            file=letter.file,
            byte_offset=letter.byte_offset,
            topic=letter.topic,
            partition=letter.partition,
            kafka_offset=letter.kafka_offset,
            line=letter.line,
            size_bytes=letter.size_bytes,
        )


class DeadLettersShape(Shape):
    """Dead letters, newest first."""

    since: Time
    is_complete: bool = Field(description="false: a limit was met, and older ones were not looked at.")
    number: int = Field(description="Letters of these filters, shown or not.")
    by_reason: dict[str, int] = Field(description="Whatever reason was asked for.")
    by_server: dict[str, int] = Field(description="Whatever server was asked for.")
    letters: list[LetterShape]
    replay_from: Time | None = Field(description="`postwatch join --from` this time reads the lines shown again.")


class DeadLettersReport(Report[DeadLettersQuestion, DeadLetters]):
    """Lines and rows that could not be used, as they are, with what was said against them."""

    question = DeadLettersQuestion
    path = "/api/v1/dead-letters"
    operation = "dead_letters"
    page = "/dead-letters"
    title = "Dead Letters"
    template = "dead_letters.html"
    is_for_engineers = True
    shape_type = DeadLettersShape

    can_follow = True

    def key_of(self, row: Letter) -> Hashable:
        return row.id

    def line(self, row: Letter, width: int) -> Text:
        place = visible(row.server or f"{row.topic} {row.partition} {row.kafka_offset}")
        return Text(f"{utc_time(row.at_ms)}  {visible(row.reason)}  {place}  {visible(row.line)}")

    def answer(self, tables: Tables, question: DeadLettersQuestion) -> DeadLetters:
        with about("server"):
            server = filters.clean_text(question.server, "server")
        with about("reason"):
            reason = filters.clean_text(question.reason, "reason").lower()
        since_ms = _read_since(question, tables.now_ms)
        limit = filters.read_limit(question.limit, tables.page_rows)
        found = tables.letters(since_ms)
        return chosen_letters(found.letters, found.is_complete, since_ms, server, reason, limit)

    def shape(self, answer: DeadLetters, silent_servers: list[str]) -> DeadLettersShape:
        return DeadLettersShape(
            since=iso_time(answer.since_ms),
            is_complete=answer.is_complete,
            number=answer.number,
            by_reason=answer.by_reason,
            by_server=answer.by_server,
            letters=[LetterShape.of(one) for one in answer.rows],
            replay_from=iso_time(answer.replay_from_ms) if answer.replay_from_ms else None,
        )

    def table(self, answer: DeadLetters, width: int) -> Iterator[RenderableType]:
        for letter in answer.rows:
            place = visible(letter.server or f"{letter.topic} {letter.partition} {letter.kafka_offset}")
            yield Text.assemble(
                f"{utc_time(letter.at_ms)}  ",
                (f"{visible(letter.reason):12}", "yellow"),
                f"  {cut_middle(place, max(width - 36 - len(letter.id), 8))}  {letter.id}",
                overflow="fold",
            )
            if letter.detail:
                yield Text(f"  {visible(letter.detail)}", "dim", overflow="fold")
            yield Text(f"  {visible(letter.line)}", overflow="fold")
        if answer.rows:
            reasons = ", ".join(f"{number} {visible(word)}" for word, number in answer.by_reason.items())
            yield Text(f"{count(answer.number, 'letter')} (by reason: {reasons}), newest first, times in UTC.", "dim")
        if answer.replay_command:
            yield Text(f"After the parser is fixed, read these lines again: {answer.replay_command}", "dim")
        if words := self.limits_met(answer):
            yield Text(words, "yellow")

    def csv(self, answer: DeadLetters, has_heading: bool = True) -> str:
        cells = (LetterShape.of(one).model_dump() for one in answer.rows)
        return csv_text(list(LetterShape.model_fields) if has_heading else [], (list(one.values()) for one in cells))

    def records(self, answer: DeadLetters) -> Iterable[Shape]:
        return map(LetterShape.of, answer.rows)

    def is_certain(self, answer: DeadLetters) -> bool:
        return answer.is_complete

    def limits_met(self, answer: DeadLetters) -> str:
        if answer.is_complete:
            return ""
        return gettext("There are too many to look at: only the newest were read. Ask for a shorter time.")

    def nothing_found(self, answer: DeadLetters) -> str:
        return gettext("No dead letters since %(time)s.", time=utc_time(answer.since_ms))


REPORT = DeadLettersReport()


def chosen_letters(
    letters: Iterable[Letter], is_complete: bool, since_ms: int, server: str, reason: str, limit: int
) -> DeadLetters:
    """The newest letters of a server and a reason, and the numbers of all."""
    by_reason: Counter[str] = Counter()
    by_server: Counter[str] = Counter()
    chosen: list[Letter] = []
    for one in letters:
        is_of_server = not server or one.server.lower() == server.lower()
        is_of_reason = not reason or one.reason.lower() == reason
        by_reason[one.reason] += is_of_server
        if one.server:
            by_server[one.server] += is_of_reason
        if is_of_server and is_of_reason:
            chosen.append(one)
    shown = chosen[:limit]
    lines = [one.at_ms for one in shown if one.server]
    return DeadLetters(
        since_ms=since_ms,
        rows=tuple(shown),
        number=len(chosen),
        by_reason={word: number for word, number in by_reason.most_common() if number},
        by_server={word: number for word, number in by_server.most_common() if number},
        is_complete=is_complete,
        # A letter is written after its line was read, by a worker that may lag.
        replay_from_ms=min(lines) - HOUR_MS if lines else 0,
    )


def _read_since(question: DeadLettersQuestion, now_ms: int) -> int:
    with about("since"):
        text = filters.clean_text(question.since, "since")
        since_ms = read_age(text, now_ms)
        if since_ms is None:
            with about("zone"):
                zone = read_zone(question.zone)
            since_ms = read_moment(text, "since", zone)
        since_ms = now_ms - DAY_MS if since_ms is None else since_ms
        if since_ms > now_ms:
            raise FilterError("since %(since)s lies in the future", since=repr(text))
        return max(since_ms, now_ms - KEPT_DAYS * DAY_MS)
