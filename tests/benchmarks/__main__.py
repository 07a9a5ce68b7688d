"""Runs the benchmarks that are asked for and prints their figures: `make bench`."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks.fetches import measure_fetches
from tests.benchmarks.figures import describe_machine, median_of
from tests.benchmarks.flow import FlowSpeed, measure_backlog, measure_live
from tests.benchmarks.freshness import measure_freshness
from tests.benchmarks.joining import measure_join
from tests.benchmarks.mail_server import install_shipper
from tests.benchmarks.pages import measure_pages
from tests.benchmarks.report_latency import DEFAULT_ROWS, Latency, measure_report_latency
from tests.benchmarks.shipping import measure_quiet, measure_shipper, write_log
from tests.benchmarks.stack import Stack, started_stack
from tests.benchmarks.workload import MIXES, POSTFIX, Workload, prepare

WITHOUT_TIME = "untimed"
"""Of a flow: it does not fill the tables for time, which builds before them do not have."""
_LIVE_SERVERS = 500
_LIVE_RECORD_LINES = 20
_QUIET_FILES = 10_000
_QUIET_SECONDS = 60.0
_BACKLOG_SERVERS = 40


def join(arguments: argparse.Namespace) -> None:
    for mix in (*_mixes(arguments), POSTFIX):
        runs = list(measure_join(mix, arguments.join_lines, arguments.runs))
        lines, rows = runs[0].lines, runs[0].rows
        _say(f"join, {mix}", f"{lines:,} lines → {rows:,} rows, records of 128 KiB, one core")
        _say("  lines/s", median_of([run.lines / run.wall_seconds for run in runs]))
        _say("  lines/s of CPU", median_of([run.lines / run.cpu_seconds for run in runs]))
        encode = [run.encode_cpu_seconds / run.encoded_rows for run in runs]
        _say("  rows encoded/s of CPU", median_of([1 / seconds for seconds in encode]))
        _say("  µs a row", median_of([seconds * 1e6 for seconds in encode], digits=1))


def fetch(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="postwatch-bench-") as folder:
        for mix in _mixes(arguments):
            for record_lines in (1, _LIVE_RECORD_LINES, None):
                servers = _LIVE_SERVERS if record_lines else _BACKLOG_SERVERS
                workload = prepare(Path(folder) / "records", mix, arguments.fetch_lines, servers, record_lines)
                runs = list(measure_fetches(workload, arguments.runs))
                lines, records = workload.lines, workload.records
                _say(f"fetch, {mix}", f"{lines:,} lines in {records:,} records ({lines / records:,.0f} lines each)")
                _say("  µs of CPU a line", median_of([run.cpu_seconds / run.lines * 1e6 for run in runs], digits=1))
                _say("  µs of CPU a record", median_of([run.cpu_seconds / run.records * 1e6 for run in runs]))


def backlog(arguments: argparse.Namespace, stack: Stack) -> None:
    for mix in _mixes(arguments):
        workload = _prepare(arguments, stack, mix, _BACKLOG_SERVERS, None)
        _flow(arguments, stack, "backlog", mix, workload, measure_backlog)


def live(arguments: argparse.Namespace, stack: Stack) -> None:
    for mix in _mixes(arguments):
        workload = _prepare(arguments, stack, mix, _LIVE_SERVERS, _LIVE_RECORD_LINES)
        _flow(arguments, stack, "live", mix, workload, measure_live)


def ship(arguments: argparse.Namespace, stack: Stack) -> None:
    python = install_shipper(stack.folder / "mail-server")
    for mix in _mixes(arguments):
        source = stack.folder / f"{mix}.log"
        lines = write_log(source, mix, arguments.lines)
        runs = [measure_shipper(stack, source, lines, arguments.timeout, python) for _ in range(arguments.runs)]
        source.unlink()
        size_mb, records = runs[0].size_bytes / 1e6, runs[0].records
        _say(f"ship, {mix}", f"{lines:,} lines, {size_mb:,.0f} MB → {records:,} records")
        _say("  lines/s", median_of([run.lines / run.seconds for run in runs]))
        _say("  lines/s of CPU", median_of([run.lines / run.cpu_seconds for run in runs]))
        _say("  most MB resident", median_of([run.resident_bytes / 1e6 for run in runs]))
    quiet = [
        measure_quiet(stack, _QUIET_FILES, _QUIET_SECONDS, arguments.timeout, python) for _ in range(arguments.runs)
    ]
    _say("ship, quiet", f"{_QUIET_FILES:,} files, to which nothing is written")
    _say("  % of a core", median_of([run.cpu_share * 100 for run in quiet], digits=2))
    _say("  most MB resident", median_of([run.resident_bytes / 1e6 for run in quiet]))


def fresh(arguments: argparse.Namespace, stack: Stack) -> None:
    runs = [
        measure_freshness(stack, arguments.probes, arguments.rate, arguments.timeout) for _ in range(arguments.runs)
    ]
    beside = statistics.median(run.lines_a_second for run in runs)
    _say("fresh", f"{runs[0].probes} probes among {beside:,.0f} lines/s: line written → row in its report")
    _say("  p50 s", median_of([run.p50_seconds for run in runs], digits=2))
    _say("  p95 s", median_of([run.p95_seconds for run in runs], digits=2))
    _say("  most s", median_of([run.most_seconds for run in runs], digits=2))


def pages(arguments: argparse.Namespace, stack: Stack) -> None:
    for number in (1, 500):
        found = measure_pages(stack, number, arguments.probes, arguments.rate, arguments.timeout)
        _say(
            "pages",
            f"{found.probes} probes among {found.lines_a_second:,.0f} lines/s, {number} open pages:"
            " line written → row on its page",
        )
        _say("  p50, p95, most s", f"{found.p50_seconds:.2f}, {found.p95_seconds:.2f}, {found.most_seconds:.2f}")
        _say("  polls/s, CPU of serve", f"{found.polls_a_second:.1f}, {found.cpu_share:.0%} of a core")


def report(arguments: argparse.Namespace, stack: Stack) -> None:
    found = measure_report_latency(stack.make_database(), arguments.rows)
    _say("report", f"first page of an account, {found.rows:,} rows of 30 days (made in {found.fill_seconds:.0f} s)")
    _say("  busy accounts", _latency(found.busy))
    _say("  quiet accounts", _latency(found.quiet))
    _say("  one recipient's failures", _latency(found.narrowed))


def _flow(
    arguments: argparse.Namespace,
    stack: Stack,
    name: str,
    mix: str,
    workload: Workload,
    measure: Callable[[Stack, Workload, float, bool], FlowSpeed],
) -> None:
    """With and without the tables for time, in turn."""
    ways = {name: True, f"{name} {WITHOUT_TIME}": False}
    runs: dict[str, list[FlowSpeed]] = {way: [] for way in ways}
    for _ in range(arguments.runs):
        for way, fills_tables_for_time in ways.items():
            runs[way].append(measure(stack, workload, arguments.timeout, fills_tables_for_time))
    workload.path.unlink()
    for way, found in runs.items():
        _say_flow(f"{way}, {mix}", workload, found)


def _say_flow(section: str, workload: Workload, runs: Sequence[FlowSpeed]) -> None:
    lines = workload.lines / workload.records
    _say(
        section,
        f"{workload.lines:,} lines in {workload.records:,} records ({lines:,.0f} lines each) "
        f"→ {workload.rows:,} rows, all there",
    )
    _say("  lines/s, from the start", median_of([run.lines_a_second for run in runs]))
    _say("  lines/s, from the first outcome", median_of([run.busy_lines_a_second for run in runs]))
    _say("  lines/s, steady", median_of([run.steady_lines_a_second for run in runs]))
    for part in runs[0].cpu_seconds:
        _say(f"  CPU s of {part}", median_of([run.cpu_seconds.get(part, 0.0) for run in runs], digits=1))


def _prepare(arguments: argparse.Namespace, stack: Stack, mix: str, servers: int, record_lines: int | None) -> Workload:
    return prepare(stack.folder / "records", mix, arguments.lines, servers, record_lines)


def _mixes(arguments: argparse.Namespace) -> Sequence[str]:
    return [arguments.mix] if arguments.mix else MIXES


ON_THE_STACK = {"backlog": backlog, "live": live, "ship": ship, "fresh": fresh, "pages": pages, "report": report}
ALONE = {"join": join, "fetch": fetch}
NAMES = *ALONE, *ON_THE_STACK


def _latency(found: Latency) -> str:
    return f"p50 {found.p50_ms:.0f} ms, p95 {found.p95_ms:.0f} ms, {found.questions} questions"


def _say(name: str, words: str) -> None:
    print(f"{name:34} {words}", flush=True)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which (default: all): {', '.join(NAMES)}")
    parser.add_argument("--runs", type=int, default=3, help="of each, for medians (default: %(default)s)")
    parser.add_argument("--mix", choices=MIXES, help="only this mix of lines (default: both)")
    parser.add_argument("--lines", type=int, default=2_000_000, help="of backlog, live, ship (default: %(default)s)")
    parser.add_argument("--join-lines", type=int, default=500_000, help="of join (default: %(default)s)")
    parser.add_argument("--fetch-lines", type=int, default=100_000, help="of fetch (default: %(default)s)")
    parser.add_argument("--probes", type=int, default=100, help="of fresh (default: %(default)s)")
    parser.add_argument(
        "--rate", type=int, default=2000, help="lines a second beside the probes (default: %(default)s)"
    )
    parser.add_argument("--rows", type=int, default=DEFAULT_ROWS, help="of report (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=240, help="most seconds of a run (default: %(default)s)")
    arguments = parser.parse_args(words)
    unknown = set(arguments.names) - set(NAMES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    wanted = arguments.names or NAMES
    print(describe_machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="postwatch-bench-") as folder:
        for name in ALONE:
            if name in wanted:
                ALONE[name](arguments)
        if rest := [name for name in wanted if name not in ALONE]:
            with started_stack(Path(folder)) as stack:
                for name in rest:
                    ON_THE_STACK[name](arguments, stack)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
