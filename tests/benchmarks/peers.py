"""Public programs on the same logs, in turn with `postwatch read`: `make bench-peers`.

eximstats and exigrep (Debian's exim4-base) and pflogsumm read the files that `read` reads. One that is not installed is
named with the command that installs it.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.charts import draw_bars
from tests.benchmarks.compare import THIS, write_logs
from tests.benchmarks.figures import describe_machine, median_of
from tests.benchmarks.processes import Used, measure_command
from tests.benchmarks.workload import MIXES, POSTFIX

POSTWATCH = "postwatch read"
_ANY_QUEUE_ID = r"."
"""exigrep prints the lines of each message of which one line matches."""


class Peer(NamedTuple):
    name: str
    mixes: Sequence[str]
    arguments: Sequence[str]
    package: str


PEERS = (
    Peer("eximstats", MIXES, (), "exim4-base"),
    Peer("exigrep", MIXES, (_ANY_QUEUE_ID,), "exim4-base"),
    Peer("pflogsumm", (POSTFIX,), (), "pflogsumm"),
)


def find_command(peer: Peer) -> str | None:
    """Where it is installed."""
    return shutil.which(peer.name) or shutil.which(peer.name, path="/usr/sbin:/usr/bin")


def commands_of(mix: str, log: Path) -> dict[str, list[str]]:
    """By name: what reads a log of that mix here; what is missing is told."""
    commands = {POSTWATCH: [str(THIS / ".venv/bin/postwatch"), "read", str(log)]}
    for peer in PEERS:
        if mix in peer.mixes:
            found = find_command(peer)
            if found is None:
                print(f"{peer.name} is left out: it is not installed (apt-get install {peer.package})", file=sys.stderr)
            else:
                commands[peer.name] = [found, *peer.arguments, str(log)]
    return commands


def measure(mix: str, log: Path, runs: int) -> dict[str, list[Used]]:
    """Each program so often, in turn."""
    commands = commands_of(mix, log)
    found: dict[str, list[Used]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            found[name].append(measure_command(command))
    return found


def table(found: dict[str, dict[str, list[Used]]]) -> str:
    """Markdown: medians, with the lowest and the highest."""
    lines = ["| log | program | s | CPU s | MB at most |", "|---|---|---|---|---|"]
    for mix, programs in found.items():
        for name, runs in programs.items():
            cells = (
                median_of([run.seconds for run in runs], 2),
                median_of([run.cpu_seconds for run in runs], 2),
                median_of([run.most_bytes / 1e6 for run in runs]),
            )
            lines.append(f"| {mix} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of each program (default: %(default)s)")
    parser.add_argument("--read-lines", type=int, default=400_000, help="of each log (default: %(default)s)")
    parser.add_argument("--picture", type=Path, metavar="SVG", help="where to draw the seconds; needs matplotlib")
    arguments = parser.parse_args(words)
    print(describe_machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="postwatch-bench-") as name:
        folder = Path(name)
        write_logs(folder, arguments.read_lines)
        found = {mix: measure(mix, folder / f"{mix}.log", arguments.runs) for mix in (*MIXES, POSTFIX)}
    print(f"\n{arguments.read_lines:,} lines\n\n{table(found)}")
    if arguments.picture:
        names = [f"{program}, {mix}" for mix, programs in found.items() for program in programs]
        seconds = [
            statistics.median(run.seconds for run in runs) for programs in found.values() for runs in programs.values()
        ]
        draw_bars(arguments.picture, f"seconds for {arguments.read_lines:,} lines", names, [("s", seconds)])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
