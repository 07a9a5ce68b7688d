"""Reports as tables for a terminal, readable from 80 columns on; colours only where the output is one.

Every word of a log passes through `visible` and is never read as markup.
"""

from __future__ import annotations

from postwatch.query.details import attempt_lines, facts, status_words
from postwatch.query.reports import AccountReport, ServersReport, TraceReport
from postwatch.query.wording import byte_size, count, no_mail, silence, time_span, utc_time, visible
from postwatch.streams.contracts.outcome import RECEIVED, Outcome
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

WIDE_COLUMNS = 120
_STYLES = {"accepted": "green", "failed": "red", "pending": "yellow", "discarded": "magenta"}


def print_account_report(console: Console, report: AccountReport, servers: ServersReport) -> None:
    if report.rows:
        console.print(_deliveries(report.rows, console.width >= WIDE_COLUMNS))
        console.print(_account_footer(report))
    else:
        console.print(Text(no_mail(report.filters)))
    _print_silence(console, servers)
    if report.next_cursor:
        # In one piece, whatever the width: it is there to be copied.
        console.print(Text(f"older: --cursor {report.next_cursor}"), soft_wrap=True)


def print_trace(console: Console, report: TraceReport, servers: ServersReport) -> None:
    for row in report.rows:
        console.print(_trace(row))
    if not report.rows:
        console.print(Text(f"Nothing is known of {visible(report.wanted)} since {utc_time(report.since_ms)} UTC."))
        _print_silence(console, servers)
    if report.has_more:
        console.print(Text(f"Only the newest {len(report.rows)} are shown; `postwatch report` pages through the rest."))


def print_servers(console: Console, report: ServersReport) -> None:
    if report.servers:
        console.print(_servers(report))
    _print_silence(console, report)


def _print_silence(console: Console, servers: ServersReport) -> None:
    if words := silence(servers):
        console.print(Text(words, "yellow"))


def _deliveries(rows: tuple[Outcome, ...], is_wide: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", expand=True)
    table.add_column("Delivery time" if is_wide else "Time (UTC)", no_wrap=is_wide, width=19 if is_wide else 10)
    if is_wide:
        table.add_column("Sender", overflow="fold", ratio=3)
    table.add_column("Recipient", overflow="fold", ratio=3)
    table.add_column("Status", overflow="fold", width=20 if is_wide else 11)
    table.add_column("Error message", overflow="fold", ratio=5)
    if is_wide:
        table.add_column("Message", overflow="fold", ratio=3)
    for row in rows:
        cells: list[RenderableType] = [
            Text(utc_time(row.updated_at)),
            Text(visible(row.recipient if is_wide else _recipient_words(row))),
            Text(status_words(row), _STYLES.get(row.result, "")),
            Text(visible(row.response)),
        ]
        if is_wide:
            cells.insert(1, Text(visible(row.sender or "<>")))
            cells.append(Text(visible(f"{row.server} {row.queue_id}"), "dim"))
        table.add_row(*cells)
    return table


def _recipient_words(row: Outcome) -> str:
    """The recipient, and of received mail, where it is the account itself, the sender too."""
    return f"{row.recipient} from {row.sender or '<>'}" if row.direction == RECEIVED else row.recipient


def _account_footer(report: AccountReport) -> Text:
    kept = f"the last {count(report.filters.days, 'day')}"
    more = "; there is more" if report.next_cursor else ""
    return Text(f"{count(len(report.rows), 'row')} of {kept}, newest first, times in UTC{more}.", "dim")


def _trace(row: Outcome) -> RenderableType:
    """One delivery with all that is known, as labelled lines, its attempts and its log lines."""
    heading = Text.assemble(
        (status_words(row), f"bold {_STYLES.get(row.result, '')}"),
        "  ",
        (visible(row.recipient), "bold"),
        ("  of a message that arrived before the logs that were read" if not row.account else "", "yellow"),
    )
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for fact in facts(row):
        grid.add_row(f"  {fact.label}", Text(visible(fact.words)))
    parts: list[RenderableType] = [heading, grid]
    if row.attempts:
        parts.append(Text("  attempts", "dim"))
        parts += [Text(f"    {visible(line)}", overflow="fold") for line in attempt_lines(row)]
    if row.log_lines:
        parts.append(Text("  log lines", "dim"))
        parts += [Text(f"    {visible(line)}", overflow="fold") for line in row.log_lines]
    parts.append(Text(""))
    return Group(*parts)


def _servers(report: ServersReport) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("Server", "State", "Last sign of life", "Last line (UTC)", "Behind", "Files", "Shipper"):
        table.add_column(heading, overflow="fold", justify="right" if heading in ("Behind", "Files") else "left")
    for state in report.servers:
        table.add_row(
            Text(visible(state.server)),
            Text("silent", "yellow") if state.is_stale else Text("alive", "green"),
            f"{time_span(state.age_ms)} ago",
            utc_time(state.last_line_ms) if state.last_line_ms else "none yet",
            byte_size(state.lag_bytes),
            str(state.files),
            Text(visible(state.shipper_version)),
        )
    return table
