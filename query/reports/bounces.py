"""`postwatch bounces`: who bounces, where and since when; what stands out against the days before comes first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from postwatch.query.exports import csv_text
from postwatch.query.reports.bounces_question import MOST_ROWS, BouncesQuestion, read_bounces
from postwatch.query.reports.bounces_table import failures_table
from postwatch.query.reports.failures import FailureGroup, FailureReader, Failures, Trouble
from postwatch.query.reports.report import Report, Tables
from postwatch.query.shapes import Shape, Time
from postwatch.query.standing_out.groups import DIMENSIONS
from postwatch.query.standing_out.surprise import LEAST_EVENTS, LEAST_SURPRISE
from postwatch.query.translation import N_, gettext
from postwatch.streams.contracts.outcome import iso_time
from pydantic import Field
from rich.console import RenderableType

_ANY = "null: it is not one of the dimensions asked for, or it is not named; empty: the log does not tell it."


class FailureGroupShape(Shape):
    """What failed and waits at one place."""

    provider: str | None = Field(description=f"The provider of the recipients. {_ANY}")
    reason: str | None
    server: str | None
    source_ip: str | None = Field(description="The outbound IP address.")
    domain: str | None = Field(description="Of the accounts.")
    account: str | None
    failed: int = Field(description="Recipients that bounced, expired or were rejected in the window.")
    deferred: int = Field(description="Recipients that were deferred in the window.")
    expected: float | None = Field(
        description="How many of both are usual in the same hours of the days before; null: no day before is known."
    )
    surprise: float | None = Field(
        description="Such a difference is there by chance once in 10 to the power of this many looks."
    )
    stands_out: bool = Field(
        description=f"At least {LEAST_EVENTS} recipients, half as much again as expected, and a surprise of at least"
        f" {LEAST_SURPRISE:g}."
    )
    id: str = Field(description="Of the newest such delivery that you may see; empty: there is none.")

    @classmethod
    def of(cls, group: FailureGroup) -> FailureGroupShape:
        named = group.place.named
        return cls(
            **{name: named.get(name) for name in DIMENSIONS},
            failed=group.failed,
            deferred=group.deferred,
            expected=None if group.expected is None else round(group.expected, 2),
            surprise=None if group.surprise is None else round(max(group.surprise, 0.0), 1),
            stands_out=group.stands_out,
            id=group.id,
        )


class TroubleShape(FailureGroupShape):
    """What stands out, named by the dimensions that tell it apart; the others are null."""

    since: Time = Field(description="To the quarter of an hour.")
    is_earlier: bool = Field(description="It began before `since`, which is the first time that was looked at.")
    until: Time | None = Field(description="null: it goes on.")

    @classmethod
    def of_trouble(cls, trouble: Trouble) -> TroubleShape:
        span = trouble.span
        return cls(
            **FailureGroupShape.of(trouble.group).model_dump(),
            since=iso_time(span.since_ms),
            is_earlier=trouble.is_earlier,
            until=iso_time(span.until_ms) if span.until_ms else None,
        )


class BouncesShape(Shape):
    since: Time
    until: Time
    baseline_windows: int = Field(description="With so many windows of the days before it is compared; 0: with none.")
    growth: float = Field(description="So many times as much mail as then was delivered; expected is scaled by it.")
    standing_out: list[TroubleShape] = Field(description="What stands out, the most surprising first; at most 8.")
    rows: list[FailureGroupShape] = Field(
        description="The groups asked for: what stands out first, then the largest. Of more than"
        f" {MOST_ROWS} groups the largest are listed."
    )
    next_cursor: str = Field(description="Asks for the next page; empty: this is the last.")
    stale_servers: list[str] = Field(description="Servers that are silent: their newest mail may be missing.")


class BouncesReport(Report[BouncesQuestion, Failures]):
    """Who bounces or is deferred, where and since when, against the same hours of the days before."""

    question = BouncesQuestion
    path = "/api/v1/bounces"
    operation = "bounces"
    page = "/bounces"
    title = N_("Bounces")
    template = "bounces.html"
    is_for_several = True
    shape_type = BouncesShape

    def answer(self, tables: Tables, question: BouncesQuestion) -> Failures:
        wanted = read_bounces(question, tables.viewer, tables.now_ms, tables.page_rows)
        return FailureReader(tables, wanted).read(has_newest=not wanted.is_standing_out)

    def pages(self, tables: Tables, question: BouncesQuestion) -> Iterator[Failures]:
        wanted = read_bounces(question, tables.viewer, tables.now_ms, tables.page_rows)
        yield FailureReader(tables, replace(wanted, limit=MOST_ROWS, offset=0)).read()

    def shape(self, answer: Failures, silent_servers: list[str]) -> BouncesShape:
        return BouncesShape(
            since=iso_time(answer.wanted.since_ms),
            until=iso_time(answer.wanted.until_ms),
            baseline_windows=answer.known_days,
            growth=round(answer.growth, 2),
            standing_out=[TroubleShape.of_trouble(one) for one in answer.troubles],
            rows=[FailureGroupShape.of(one) for one in answer.groups],
            next_cursor=answer.next_cursor,
            stale_servers=silent_servers,
        )

    def table(self, answer: Failures, width: int) -> Iterator[RenderableType]:
        yield from failures_table(answer, width)

    def csv(self, answer: Failures, has_heading: bool = True) -> str:
        kind = TroubleShape if answer.wanted.is_standing_out else FailureGroupShape
        heading = list(kind.model_fields) if has_heading else []
        return csv_text(heading, (list(one.model_dump().values()) for one in self.records(answer)))

    def records(self, answer: Failures) -> Iterable[Shape]:
        if answer.wanted.is_standing_out:
            return map(TroubleShape.of_trouble, answer.troubles)
        return map(FailureGroupShape.of, answer.groups)

    def nothing_found(self, answer: Failures) -> str:
        if not answer.wanted.is_standing_out:
            return gettext("Nothing failed and nothing was deferred in this time.")
        if not answer.known_days:
            return gettext("There is no mail of the days before to compare with, so nothing can stand out yet.")
        return gettext("Nothing stands out.")

    def next_cursor(self, answer: Failures) -> str:
        return answer.next_cursor


REPORT = BouncesReport()
