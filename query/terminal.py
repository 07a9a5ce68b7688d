"""Deliveries for a terminal of 80 columns or more.

Every word of a log passes through `visible` and is never read as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from postwatch.query.details import Fact, attempt_lines, facts, status_words, way_words
from postwatch.query.sentences import say
from postwatch.query.statements import Delivery
from postwatch.query.story import Story
from postwatch.query.wording import reply_lines, utc_time, visible
from postwatch.streams.contracts.outcome import Outcome
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

WIDE_COLUMNS = 100
"""From here on a time has its date and seconds."""
_CUT = ".."
_ID_COLUMNS = 22
_STYLES = {"accepted": "green", "failed": "red", "pending": "yellow", "discarded": "magenta"}


def delivery_lines(rows: Sequence[Delivery], width: int, account: str = "") -> Iterator[RenderableType]:
    """Each delivery on two lines: when, its status, the recipient and the id to go on with; then sender and reply.

    What `account` itself sent says nothing of the sender.
    """
    time = slice(0, 19) if width >= WIDE_COLUMNS else slice(5, 16)
    first = time.stop - time.start
    room = max(width - first - 9 - _ID_COLUMNS - 6, 12)
    yield Text(
        f"{'Time (UTC)':{first}}  {'Status':9}  {'Recipient, sender, reply':{room}}  ID".rstrip(), "bold", no_wrap=True
    )
    for row in rows:
        recipient = cut_middle(visible(row.original_recipient or row.recipient), room)
        yield Text.assemble(
            f"{utc_time(row.updated_at)[time]:{first}}  ",
            (f"{visible(row.status)[:9]:9}", _STYLES.get(row.result, "")),
            f"  {recipient:{room}}  {row.id}",
            no_wrap=True,
        )
        sender = "" if row.sender == account else cut_middle(f"from {visible(row.sender) or '<>'}", room) + "  "
        more = f"{'':{first + 13}}{sender}{' '.join(reply_lines(row.response))}".rstrip()
        yield Text(more if len(more) <= width else f"{more[: width - len(_CUT)]}{_CUT}", "dim", no_wrap=True)


def short_table(heading: Sequence[str], lines: Iterable[Sequence[str | Text]], width: int) -> Text:
    """Figures by name. A name that is too long for its column stands on a line of its own, above its figures."""
    rows = [(visible(str(name)), figures) for name, *figures in lines]
    names, figures_of = [heading[0], *(name for name, _ in rows)], [heading[1:], *(figures for _, figures in rows)]
    widths = [max(map(len, column)) for column in zip(*figures_of, strict=True)]
    longest = max(map(len, names))
    gap = 2 if longest + sum(widths) + 2 * len(widths) <= width else 1
    room = max(min(longest, width - sum(widths) - gap * len(widths)), len(heading[0]))
    table = []
    for name, figures in zip(names, figures_of, strict=True):
        above = f"{cut_middle(name, width)}\n{'':{room}}" if len(name) > room else f"{name:{room}}"
        padded = ((" " * (gap + most - len(one)), one) for one, most in zip(figures, widths, strict=True))
        table.append(Text.assemble(above, *chain.from_iterable(padded)))
    table[0].stylize("bold")
    return Text("\n", no_wrap=True).join(table)


def cut_end(text: str, most: int) -> str:
    """At most so many characters."""
    return text if len(text) <= most else text[: max(most - len(_CUT), 0)] + _CUT


def cut_middle(text: str, most: int) -> str:
    """At most so many characters: an address keeps its begin and its domain's end."""
    if len(text) <= most:
        return text
    kept = most - len(_CUT)
    return f"{text[: kept - kept // 2]}{_CUT}{text[len(text) - kept // 2 :]}"


def delivery_details(row: Outcome) -> RenderableType:
    """Everything known about one delivery: labeled facts, attempts and log lines."""
    heading = Text.assemble(
        (status_words(row), f"bold {_STYLES.get(row.result, '')}"),
        "  ",
        (visible(row.recipient), "bold"),
        ("  (the message arrived before the first line that was read)" if not row.account else "", "yellow"),
    )
    parts: list[RenderableType] = [heading, _facts_grid(facts(row, is_engineer=True))]
    if row.attempts:
        parts.append(Text("  Attempts", "dim"))
        for line in attempt_lines(row):
            parts.append(Padding(Text("\n".join(reply_lines(line)), overflow="fold"), (0, 0, 0, 4)))
    parts += [*_log_lines(row), Text("")]
    return Group(*parts)


def _facts_grid(found: list[Fact]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for fact in found:
        grid.add_row(
            f"  {fact.label}", Text("\n".join(reply_lines(fact.words)) if fact.is_reply else visible(fact.words))
        )
    return grid


def _log_lines(row: Outcome) -> list[Text]:
    lines = [Text(f"    {visible(line)}", overflow="fold") for line in row.log_lines]
    return [Text("  Log lines", "dim"), *lines] if lines else []


def story_lines(row: Outcome, story: Story, others: tuple[Delivery, ...], is_engineer: bool) -> list[RenderableType]:
    """A delivery in plain words, what to do, how it went, and all that is known."""
    way = Text(visible(f"To {row.recipient}, {way_words(row)}" if row.recipient else way_words(row)))
    parts: list[RenderableType] = [Text(say(story.headline), f"bold {_STYLES.get(row.result, '')}"), way, Text("")]
    parts += [Text(story.meaning)] if story.meaning else []
    parts += [Text(f"What to do: {story.remedy}")] if story.remedy else []
    parts += [Text(say(note)) for note in story.notes]
    if is_engineer and story.advice:
        parts.append(Text(f"{story.advice.cause} {story.advice.action}", "dim"))
    parts += [Text(""), Text("How it went", "bold")]
    for one in story.timeline:
        words = Text.assemble((utc_time(one.at_ms), "dim"), "  ", say(one.said))
        parts.append(words)
        if one.reply:
            parts.append(Padding(Text("\n".join(reply_lines(one.reply)), overflow="fold"), (0, 0, 0, 4)))
    parts += [Text(""), Text("Details", "bold"), _facts_grid(facts(row, is_engineer, with_advice=False))]
    parts += _log_lines(row)
    if others:
        parts += [Text(""), Text("Other recipients of the message", "bold")]
        parts += [Text(f"  {status_words(one)}  {visible(one.recipient)}  {one.id}") for one in others]
    return parts
