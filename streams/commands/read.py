"""`postwatch read`: log files to rows, without Kafka. The same parsers and joiner as the stream's."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from postwatch.streams.commands.log_files import LogFile, read_logs
from postwatch.streams.commands.log_rows import LogRows, no_mail_said
from postwatch.streams.commands.newest_rows import NewestRows
from postwatch.streams.commands.parsing import parse_logs
from postwatch.streams.commands.side_by_side import MOST_PROCESSES, side_by_side, usable_cores
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.enrichment.reasons import BUILT_IN, ReasonBook
from postwatch.streams.enrichment.trusted_networks import parse_networks
from postwatch.streams.huge_pages import use_huge_pages
from postwatch.streams.parsers.events import Ignored
from postwatch.streams.parsers.explanation import explain, shown_line
from postwatch.streams.parsers.lines import LineCounts, decode_lines
from postwatch.streams.parsers.log_format import LineParser
from postwatch.streams.parsers.registry import AUTO, FORMAT_NAMES, make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

if TYPE_CHECKING:
    from postwatch.streams.enrichment.hosted_domains import Domains

_FOUND, _NOTHING_FOUND = 0, 1


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Read mail logs without Kafka, and print one JSON row for each account, message and recipient, as the table "
        "has them, in the order in which messages were received. A message that is still open at the end of the files "
        "has its last status. Counts go to standard error. Memory stays flat: what it does not hold waits in "
        "temporary files (TMPDIR)."
    )
    parser.epilog = (
        "Exit status: 0 if rows or unreadable lines about a message were found, 1 if nothing was found or no file "
        "looks like a mail log, 2 if an error occurred."
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="log file: plain, gzip, bzip2, xz, zstd, or a zip archive of such files; - is standard input",
    )
    parser.add_argument(
        "--format",
        choices=FORMAT_NAMES,
        default=AUTO,
        metavar="FORMAT",
        help="log format of the files: %(choices)s (default: %(default)s)",
    )
    parser.add_argument(
        "--tz", default="UTC", metavar="ZONE", help="IANA time zone of the stamps (default: %(default)s)"
    )
    parser.add_argument(
        "--wrapping-programs",
        default="",
        metavar="NAMES",
        help="programs, as syslog names them, whose messages are whole lines of a mail server, such as containers "
        "behind Docker's syslog driver; separate with commas, * stands for any characters",
    )
    parser.add_argument("--server", default="localhost", metavar="NAME", help="name of the server in the rows")
    parser.add_argument(
        "--processes",
        type=int,
        choices=range(1, MOST_PROCESSES + 1),
        metavar="N",
        help="1: one process does all; 2: of large files, one reads and parses, the other one joins and writes rows "
        f"(default: {MOST_PROCESSES} where two cores are there)",
    )
    parser.add_argument("--explain", action="store_true", help="print each line and how it was read, instead of rows")
    parser.add_argument(
        "--domains",
        metavar="FILE",
        help="file or http(s) address of the hosted domains, one `domain: owner` a line; without it, domains that the "
        "log delivers locally count as hosted",
    )
    parser.add_argument(
        "--trusted-networks",
        default="",
        metavar="CIDR,...",
        help="networks whose clients' envelope senders are believed without a login; this machine itself always is",
    )
    parser.add_argument(
        "--reasons", metavar="FILE", help="TOML file of reasons and providers, in addition to the built-in ones"
    )


def run(arguments: argparse.Namespace) -> int:
    zone = find_zone(arguments.tz, "--tz")
    wrapping = tuple(filter(None, map(str.strip, arguments.wrapping_programs.split(","))))
    parser = make_parser(arguments.format, StampReader(zone), wrapping)
    if arguments.explain:
        return _explain(arguments.files, parser)
    trusted = parse_networks(arguments.trusted_networks, "--trusted-networks")
    accounts = AccountBook(_domains(arguments.domains), trusted)
    found = LogRows(arguments.server, accounts, _reasons(arguments.reasons))
    use_huge_pages()
    rows = NewestRows()
    with _collector_off():
        processes = arguments.processes or (MOST_PROCESSES if usable_cores() > 1 else 1)
        parsed = side_by_side(parse_logs(arguments.files, parser), processes)
        for turn in found.turns(parsed):
            rows.add(turn.rows)
            for line in turn.told:
                print(line, file=sys.stderr)
        return _FOUND if _print(rows, found.counts) or found.counts.unreadable else _NOTHING_FOUND


def _domains(place: str | None) -> Domains | None:
    """What few need is loaded for them alone; it brings the metrics and logs of a service."""
    if not place:
        return None
    from postwatch.streams.enrichment.hosted_domains import read_domains

    return read_domains(place, "--domains")


def _reasons(path: str | None) -> ReasonBook:
    if not path:
        return BUILT_IN
    from postwatch.streams.enrichment.reasons_file import read_reasons

    return read_reasons(path, "--reasons")


@contextmanager
def _collector_off() -> Iterator[None]:
    """Nothing that is read needs the collector, and it would walk all open messages again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _explain(files: Sequence[str], parser: LineParser) -> int:
    status = _NOTHING_FOUND
    for file in _logs(files):
        parser.stamps.shipped(file.written_ms)
        counts = LineCounts()
        for block in file.blocks:
            for line in decode_lines(block):
                parsed = parser.parse(line)
                print(f"{shown_line(line)}\n    {explain(parsed)}")
                counts.lines += 1
                if isinstance(parsed, Ignored):
                    counts.ignored[parsed.kind] += 1
        warning = no_mail_said(file.name, counts)
        if warning:
            print(warning, file=sys.stderr)
        else:
            status = _FOUND
    return status


def _logs(paths: Sequence[str]) -> Iterator[LogFile]:
    for path in paths:
        yield from read_logs(path)


def _print(rows: NewestRows, counts: LineCounts) -> int:
    """Print the rows, then the counts; returns the number of rows."""
    shown = 0
    write = sys.stdout.buffer.write
    for lines in rows.texts():
        write(lines)
        shown += lines.count(b"\n")
    sys.stdout.flush()
    ignored = ", ".join(f"{count} {kind}" for kind, count in counts.ignored.most_common())
    lost = f"; the logger threw away {counts.suppressed_lines} more lines" if counts.suppressed_lines else ""
    print(
        f"{counts.lines} lines = {counts.events} events + {sum(counts.ignored.values())} ignored"
        f"{f' ({ignored})' if ignored else ''} + {sum(counts.unreadable.values())} unreadable; {shown} rows{lost}",
        file=sys.stderr,
    )
    return shown
