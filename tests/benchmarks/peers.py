"""Public programs on the same data, in turn with Postwatch: `make bench-peers`.

eximstats and exigrep (Debian's exim4-base) and pflogsumm read the files that `read` reads; rsyslog ships the log that
the shipper ships; quixstreams groups the lines of the topic that the join reads. One that is not installed is named
with the command that installs it.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks import shipping_peers, stream_peers
from tests.benchmarks.charts import draw_bars, picture
from tests.benchmarks.compare import THIS, write_logs
from tests.benchmarks.figures import describe_machine, median_of
from tests.benchmarks.processes import Used, measure_command
from tests.benchmarks.shipping import write_log
from tests.benchmarks.stack import started_stack
from tests.benchmarks.workload import MIXES, PLAIN, POSTFIX

Figures = dict[str, dict[str, list[Used]]]
"""By what was done and by the program."""
PARTS = READ, SHIP, JOIN = "read", "ship", "join"
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


def table(found: Figures) -> str:
    """Markdown: medians, with the lowest and the highest."""
    lines = ["| what | program | s | CPU s | MB at most |", "|---|---|---|---|---|"]
    for what, programs in found.items():
        for name, runs in programs.items():
            cells = (
                median_of([run.seconds for run in runs], 2),
                median_of([run.cpu_seconds for run in runs], 2),
                median_of([run.most_bytes / 1e6 for run in runs]) if any(run.most_bytes for run in runs) else "–",
            )
            lines.append(f"| {what} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def measure_reading(folder: Path, lines: int, runs: int) -> Figures:
    write_logs(folder, lines)
    return {f"read, {mix}": measure(mix, folder / f"{mix}.log", runs) for mix in (*MIXES, POSTFIX)}


def measure_ship_and_join(folder: Path, parts: Sequence[str], options: argparse.Namespace) -> Figures:
    found: Figures = {}
    with started_stack(folder) as stack:
        if SHIP in parts:
            if reason := shipping_peers.missing_rsyslog():
                print(reason, file=sys.stderr)
            log = folder / "mainlog"
            write_log(log, PLAIN, options.ship_lines)
            found["ship"] = shipping_peers.measure_shipping(folder, stack.kafka, log, options.runs)
        if JOIN in parts:
            found["join"] = stream_peers.measure_streams(folder, stack, options.join_lines, options.runs)
    return found


def draw(path: Path, found: Figures, lines: Mapping[str, int]) -> None:
    """The CPU of a line, which a busy machine changes less than the time on the clock."""
    costs = {
        f"{program}  ({what})": 1e6 * statistics.median(run.cpu_seconds for run in runs) / lines[what.split(",")[0]]
        for what, programs in found.items()
        for program, runs in programs.items()
    }
    ours = [name for name in costs if name.startswith("postwatch")]
    draw_bars(path, "CPU of one line of a log, µs (less is better)", list(costs), [("µs", list(costs.values()))], ours)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="read, ship, join (default: all)")
    parser.add_argument("--runs", type=int, default=3, help="of each program (default: %(default)s)")
    parser.add_argument("--read-lines", type=int, default=400_000, help="of each log (default: %(default)s)")
    parser.add_argument("--ship-lines", type=int, default=2_000_000, help="of the log that is shipped (%(default)s)")
    parser.add_argument("--join-lines", type=int, default=1_000_000, help="of the raw topic (%(default)s)")
    parser.add_argument("--picture", type=picture, metavar="SVG", help="where to draw the CPU; needs matplotlib")
    arguments = parser.parse_args(words)
    parts = arguments.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}: use {', '.join(PARTS)}")
    print(describe_machine(), flush=True)
    found: Figures = {}
    with tempfile.TemporaryDirectory(prefix="postwatch-bench-") as name:
        if READ in parts:
            found |= measure_reading(Path(name), arguments.read_lines, arguments.runs)
        if {SHIP, JOIN} & set(parts):
            found |= measure_ship_and_join(Path(name), parts, arguments)
    lines = {READ: arguments.read_lines, SHIP: arguments.ship_lines, JOIN: arguments.join_lines}
    told = ", ".join(f"{part} {lines[part]:,}" for part in PARTS if part in parts)
    print(f"\nLines: {told}\n\n{table(found)}")
    if arguments.picture:
        draw(arguments.picture, found, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
