"""Failures for a terminal of 80 columns or more: what stands out, then the groups, each with an id to go on with.

Every word of a log passes through `visible`; what is too long is cut in the middle: both ends of an address tell.
"""

from __future__ import annotations

from collections.abc import Iterator

from postwatch.query.labels import label
from postwatch.query.reports.failures import FailureGroup, Failures, Trouble
from postwatch.query.standing_out.groups import REASON
from postwatch.query.wording import utc_time, visible
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

_ID_WIDTH = 22
_NUMBERS_WIDTH = 24
_LEAST_WIDTH = 20
_MARK = "!"


def cut_middle(text: str, width: int) -> str:
    """At most so wide, with an ellipsis in the middle."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def place_words(group: FailureGroup) -> list[str]:
    """The values of a group; of what the log does not tell, that it does not."""
    return [
        (label(value) if name == REASON else visible(value)) or f"{name.replace('_', ' ')} unknown"
        for name, value in group.place.named.items()
    ] or ["everything"]


def failures_table(answer: Failures, width: int) -> Iterator[RenderableType]:
    if answer.troubles:
        yield Text("Stands out, against the same hours of the days before:", "bold")
        for trouble in answer.troubles:
            yield _trouble_lines(trouble, width)
        yield Text("")
    if answer.groups:
        yield _groups_table(answer, width)
        yield Text(_footer(answer), "dim")


def _trouble_lines(trouble: Trouble, width: int) -> Text:
    group, span = trouble.group, trouble.span
    place = cut_middle(" · ".join(place_words(group)), width - 2)
    when = f"{'before' if trouble.is_earlier else 'since'} {utc_time(span.since_ms)[:16]}"
    if span.until_ms:
        when += f" until {utc_time(span.until_ms)[11:16]}"
    numbers = f"{group.failed} failed, {group.deferred} deferred, {group.expected or 0:.1f} usual"
    return Text.assemble((f"{_MARK} {place}", "bold red"), f"\n  {numbers}, {when}\n  ", (group.id, "dim"))


def _groups_table(answer: Failures, width: int) -> Table:
    what_width = max(width - _ID_WIDTH - _NUMBERS_WIDTH - 4, _LEAST_WIDTH)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("What", width=what_width, no_wrap=True)
    for heading, column_width in (("Failed", 7), ("Deferred", 8), ("Usual", 7)):
        table.add_column(heading, justify="right", width=column_width, no_wrap=True)
    table.add_column("Newest", width=_ID_WIDTH, no_wrap=True)
    for group in answer.groups:
        mark = f"{_MARK} " if group.stands_out else ""
        words = [cut_middle(word, what_width - 2) for word in place_words(group)]
        what = " · ".join(words)
        if len(mark + what) > what_width:
            what = "\n".join(words)
        table.add_row(
            Text(mark + what, "red" if group.stands_out else ""),
            str(group.failed),
            str(group.deferred),
            "–" if group.expected is None else f"{group.expected:.1f}",
            Text(group.id, "dim"),
        )
    return table


def _footer(answer: Failures) -> str:
    wanted = answer.wanted
    window = f"{utc_time(wanted.since_ms)[:16]} to {utc_time(wanted.until_ms)[:16]} UTC"
    if not answer.known_days:
        return f"{window}; no day before to compare with."
    return f"{window}; usual: of {answer.known_days} days.\nGo on with: postwatch story ID"
