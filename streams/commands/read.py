"""`postwatch read`: log files to rows, without Kafka. The same parsers and joiner as the stream's."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from postwatch.producers.service.settings import split_list
from postwatch.streams.commands.laid_aside import LaidAside
from postwatch.streams.commands.log_files import LogFile, read_logs
from postwatch.streams.commands.newest_rows import NewestRows
from postwatch.streams.commands.parsing import Block, FileEnd, parse_logs, side_by_side, usable_cores
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.enrichment.hosted_domains import read_domains
from postwatch.streams.enrichment.reasons import BUILT_IN, ReasonBook
from postwatch.streams.enrichment.reasons_file import read_reasons
from postwatch.streams.enrichment.trusted_networks import parse_networks
from postwatch.streams.joining.failures import Failure, unfinished_entry
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.events import Ignored
from postwatch.streams.parsers.explanation import explain, shown_line
from postwatch.streams.parsers.lines import LineCounts, add_counts, decode_lines
from postwatch.streams.parsers.log_format import LineParser
from postwatch.streams.parsers.registry import AUTO, FORMAT_NAMES, make_parser
from postwatch.streams.parsers.suppressed import SUPPRESSED
from postwatch.streams.parsers.timestamps import StampReader, find_zone

_SHOWN_UNREADABLE = 5
_FOUND, _NOTHING_FOUND = 0, 1
_NOT_OF_MAIL = ("no-stamp", "other-program", "wrapped", "other", "headers", "continued", "repeated", SUPPRESSED)
"""Kinds of ignored lines that any file may hold, whatever its format."""


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
        choices=(1, 2),
        metavar="N",
        help="1: parse and join in one process; 2: parse large files beside (default: 2 where two cores are there)",
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
    domains = read_domains(arguments.domains, "--domains") if arguments.domains else None
    trusted = parse_networks(arguments.trusted_networks, "--trusted-networks")
    reasons = read_reasons(arguments.reasons, "--reasons") if arguments.reasons else BUILT_IN
    parser = make_parser(arguments.format, StampReader(zone), split_list(arguments.wrapping_programs))
    if arguments.explain:
        return _explain(arguments.files, parser)
    parsed = parse_logs(arguments.files, parser)
    with _collector_off():
        reading = _Reading(arguments.server, AccountBook(domains, trusted), reasons)
        counts = reading.take(side_by_side(parsed) if (arguments.processes or usable_cores()) > 1 else parsed)
        return _FOUND if _print(reading.rows, counts) or counts.unreadable else _NOTHING_FOUND


class _Reading:
    """What was read so far: the open messages, the newest rows, and the counts."""

    def __init__(self, server: str, accounts: AccountBook, reasons: ReasonBook) -> None:
        self.rows = NewestRows()
        self._server = server
        self._aside = LaidAside()
        self._joiner = Joiner(accounts, self._aside.find, reasons=reasons)
        self._failed: list[Failure] = []
        self._shown = 0

    def take(self, parsed: Iterator[Block | FileEnd]) -> LineCounts:
        """Join all there is. Returns the counts of all files."""
        whole = LineCounts()
        for one in parsed:
            if isinstance(one, Block):
                self._join(one)
            else:
                self._end_file(one)
                add_counts(whole, one.counts)
        for message in self._joiner.open_messages():
            self.rows.add(self._joiner.pending_rows(message))
        return whole

    def _join(self, block: Block) -> None:
        for reason, line in block.unreadable:
            if self._shown < _SHOWN_UNREADABLE:
                self._shown += 1
                print(f"unreadable ({reason}): {line!a}", file=sys.stderr)
        joiner = self._joiner
        joiner.add(self._server, block.events)
        rows, changed = joiner.take_dirty()
        self.rows.add(rows)
        self.rows.add(self._aside.tidy(joiner, changed))
        self._failed += joiner.take_failures()

    def _end_file(self, file: FileEnd) -> None:
        for failure in self._failed:
            _tell_failure(failure, file.counts)
        self._failed.clear()
        _warn_of_no_mail(file.name, file.counts)
        for message in list(self._joiner.open_messages()):
            unfinished = unfinished_entry(message)
            if unfinished is not None:
                _tell_failure(unfinished, file.counts)
                self._joiner.forget(message)


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
        if not _warn_of_no_mail(file.name, counts):
            status = _FOUND
    return status


def _logs(paths: Sequence[str]) -> Iterator[LogFile]:
    for path in paths:
        yield from read_logs(path)


def _warn_of_no_mail(name: str, counts: LineCounts) -> bool:
    """Say so where nothing in a file looks like a mail log; returns whether that is so."""
    if sum(counts.ignored[kind] for kind in _NOT_OF_MAIL) < counts.lines:
        return False
    if counts.lines:
        reason = f"does not look like a mail log: none of its {counts.lines} lines is about a message"
    else:
        reason = "is empty"
    print(f"{name} {reason}", file=sys.stderr)
    return True


def _tell_failure(failure: Failure, counts: LineCounts) -> None:
    """A message on which Postwatch failed, or an entry in pieces, whose lines were counted as events before."""
    if failure.error is not None:
        print(f"postwatch failed on message {failure.queue_id}: {failure.error!r}", file=sys.stderr)
        return
    for line in failure.lines:
        print(f"unreadable ({failure.reason}): {line[:500]!a}", file=sys.stderr)
    counts.events -= len(failure.lines)
    counts.unreadable[failure.reason] += len(failure.lines)


def _print(rows: NewestRows, counts: LineCounts) -> int:
    """Print the rows, then the counts; returns the number of rows."""
    shown = 0
    write = sys.stdout.buffer.write
    for line in rows.lines():
        write(line)
        shown += 1
    sys.stdout.flush()
    ignored = ", ".join(f"{count} {kind}" for kind, count in counts.ignored.most_common())
    lost = f"; the logger threw away {counts.suppressed_lines} more lines" if counts.suppressed_lines else ""
    print(
        f"{counts.lines} lines = {counts.events} events + {sum(counts.ignored.values())} ignored"
        f"{f' ({ignored})' if ignored else ''} + {sum(counts.unreadable.values())} unreadable; {shown} rows{lost}",
        file=sys.stderr,
    )
    return shown
