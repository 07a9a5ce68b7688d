"""`postwatch read`: log files to rows, without Kafka. The same parsers and joiner as the stream's."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

import msgspec
from postwatch.producers.service.settings import split_list
from postwatch.streams.commands.log_files import LogFile, read_logs
from postwatch.streams.contracts.outcome import Outcome, to_json_object
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.enrichment.hosted_domains import read_domains
from postwatch.streams.enrichment.reasons import BUILT_IN
from postwatch.streams.enrichment.reasons_file import read_reasons
from postwatch.streams.enrichment.trusted_networks import parse_networks
from postwatch.streams.joining.failures import Failure, unfinished_entry
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.events import Ignored
from postwatch.streams.parsers.explanation import explain, shown_line
from postwatch.streams.parsers.lines import LineCounts, LineTally, decode_lines, parse_lines
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
        "has them. A message that is still open at the end of the files has its last status. Counts go to standard "
        "error."
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
    joiner = Joiner(AccountBook(domains, trusted), reasons=reasons)
    tally = LineTally()
    rows: dict[tuple[object, ...], Outcome] = {}
    shown = 0
    for file in _logs(arguments.files):
        parser.stamps.shipped(file.written_ms)
        counts = tally.of(file.name, arguments.format)
        for block in file.blocks:
            lines = decode_lines(block)
            parsed = parse_lines(parser, lines, counts)
            for unreadable in parsed.unreadable:
                if shown < _SHOWN_UNREADABLE:
                    shown += 1
                    print(f"unreadable ({unreadable.reason}): {lines[unreadable.number][:500]!a}", file=sys.stderr)
            joiner.add(arguments.server, parsed.events)
            _keep_newest(rows, joiner.take_dirty()[0])
            for failure in joiner.take_failures():
                _tell_failure(failure, counts)
        _warn_of_no_mail(file.name, counts)
        for message in list(joiner.open_messages()):
            unfinished = unfinished_entry(message)
            if unfinished is not None:
                _tell_failure(unfinished, counts)
                joiner.forget(message)
    for message in joiner.open_messages():
        _keep_newest(rows, joiner.pending_rows(message))
    counts = tally.total()
    return _FOUND if _print(rows, counts) or counts.unreadable else _NOTHING_FOUND


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


def _print(rows: dict[tuple[object, ...], Outcome], counts: LineCounts) -> int:
    """Print the rows, then the counts; returns the number of rows."""
    encoder = msgspec.json.Encoder()
    shown = [row for row in rows.values() if not row.is_deleted]
    for row in shown:
        sys.stdout.buffer.write(encoder.encode(to_json_object(row)) + b"\n")
    sys.stdout.flush()
    ignored = ", ".join(f"{count} {kind}" for kind, count in counts.ignored.most_common())
    lost = f"; the logger threw away {counts.suppressed_lines} more lines" if counts.suppressed_lines else ""
    print(
        f"{counts.lines} lines = {counts.events} events + {sum(counts.ignored.values())} ignored"
        f"{f' ({ignored})' if ignored else ''} + {sum(counts.unreadable.values())} unreadable; {len(shown)} rows{lost}",
        file=sys.stderr,
    )
    return len(shown)


def _keep_newest(rows: dict[tuple[object, ...], Outcome], fresh: list[Outcome]) -> None:
    """What ReplacingMergeTree does: of the rows of one key the highest version stays."""
    for row in fresh:
        key = (row.account, row.queued_at, row.server, row.queue_id, row.recipient, row.direction)
        known = rows.get(key)
        if known is None or row.version >= known.version:
            rows[key] = row
