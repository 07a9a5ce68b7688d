"""The figures of this build and of another one, taken in turn in one run, as a table and a picture: `make bench`.

Each build runs its own benchmarks, so an older one needs nothing that it did not have. What they print is read.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.__main__ import WITHOUT_TIME
from tests.benchmarks.charts import draw_bars, picture
from tests.benchmarks.figures import describe_machine, median_of
from tests.benchmarks.processes import measure_command
from tests.benchmarks.workload import MIXES, POSTFIX, make_lines

THIS = Path(__file__).parents[2]
CACHE = Path.home() / ".cache/postwatch-bench"
"""Where baselines are kept, each with a virtual environment: they are made once."""
MIXES_OF_READ = (*MIXES, POSTFIX)
_BENCHMARKS = ("join", "backlog", "live", "ship", "fresh", "report")
_NUMBER = r"([\d,]+(?:\.\d+)?)"
_LATENCY = re.compile(rf"p50 {_NUMBER} ms, p95 {_NUMBER} ms")
_SECONDS = 3600
_EPILOG = "What follows -- are options of each benchmark, such as -- --lines 200000 --rows 3000000."

Found = Mapping[str, float]
"""By `section: key`, such as `join, plain: lines/s of CPU`."""


class Row(NamedTuple):
    """One line of the table."""

    what: str
    unit: str
    is_more_better: bool
    key: str
    key_of_old: str = ""
    """What is compared with it where a build has no such figure."""


class Build(NamedTuple):
    name: str
    folder: Path

    def command(self, *words: str) -> list[str]:
        return [str(self.folder / ".venv/bin/python"), *words]


def rows_of_table() -> Iterable[Row]:
    """What the table shows, in its order."""
    for mix in MIXES_OF_READ:
        yield Row(f"parse + join, {mix}", "lines/s of CPU", True, f"join, {mix}: lines/s of CPU")
    for name in ("backlog", "live"):
        for mix in MIXES:
            yield Row(f"{name}, {mix}", "µs of CPU a line", False, f"{name}, {mix}: µs of CPU a line")
            yield Row(f"{name}, {mix}", "lines/s, steady", True, f"{name}, {mix}: lines/s, steady")
            for unit, is_more_better in (("µs of CPU a line", False), ("lines/s, steady", True)):
                key = f"{name} {WITHOUT_TIME}, {mix}: {unit}"
                old = f"{name}, {mix}: {unit}"
                yield Row(f"{name} without the tables for time, {mix}", unit, is_more_better, key, old)
    for accounts in ("busy accounts", "quiet accounts", "one recipient's failures"):
        for percentile in ("p50", "p95"):
            yield Row(f"account report, {accounts}", f"{percentile} ms", False, f"report: {accounts} {percentile}")
    for mix in MIXES_OF_READ:
        for key in ("s", "CPU s", "MB at most"):
            yield Row(f"read, {mix}", key, False, f"read, {mix}: {key}")
    for percentile in ("p50", "p95"):
        yield Row("line written → row", f"{percentile} s", False, f"fresh: {percentile} s")
    for mix in MIXES:
        yield Row(f"shipper, {mix}", "lines/s", True, f"ship, {mix}: lines/s")
        yield Row(f"shipper, {mix}", "lines/s of CPU", True, f"ship, {mix}: lines/s of CPU")
        yield Row(f"shipper, {mix}", "MB at most", False, f"ship, {mix}: most MB resident")
    yield Row("shipper, 10,000 quiet files", "% of a core", False, "ship, quiet: % of a core")


def parse_figures(text: str) -> dict[str, float]:
    """What a benchmark printed, by section and key; CPU a line is added up."""
    found: dict[str, float] = {}
    section, lines, cpu = "", 0.0, 0.0

    def close() -> None:
        if cpu and lines:
            found[f"{section}: µs of CPU a line"] = cpu / lines * 1e6

    for line in text.splitlines():
        name, _, words = line[:34].strip(), line[34:35], line[35:]
        if not words:
            continue
        if not line.startswith("  "):
            close()
            section, cpu = name, 0.0
            counted = re.match(rf"{_NUMBER} lines", words)
            lines = _number(counted[1]) if counted else 0.0
        elif latency := _LATENCY.match(words):
            found[f"{section}: {name} p50"], found[f"{section}: {name} p95"] = map(_number, latency.groups())
        elif value := re.match(_NUMBER, words):
            found[f"{section}: {name}"] = _number(value[1])
            cpu += _number(value[1]) if name.startswith("CPU s of ") else 0.0
    close()
    return found


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def make_baseline(commit: str) -> Build:
    """A copy of the repository at that commit, installed; made once. Raises CalledProcessError."""
    name = subprocess.check_output(
        ["git", "rev-parse", "--short=12", f"{commit}^{{commit}}"], cwd=THIS, text=True
    ).strip()
    folder = CACHE / name
    if not (folder / ".venv/.installed").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        if not folder.exists():
            subprocess.check_call(["git", "clone", "--quiet", "--shared", "--no-checkout", str(THIS), str(folder)])
        subprocess.check_call(["git", "checkout", "--quiet", "--detach", name], cwd=folder)
        subprocess.check_call(["make", "--quiet", "install"], cwd=folder)
    return Build(name, folder)


def this_build() -> Build:
    """The working tree; changes that are not committed are told."""
    name = subprocess.check_output(
        ["git", "describe", "--always", "--abbrev=12", "--dirty"], cwd=THIS, text=True
    ).strip()
    return Build(name, THIS)


def run_benchmark(build: Build, name: str, options: Sequence[str]) -> dict[str, float]:
    """One run of one benchmark of that build."""
    command = build.command("-m", "tests.benchmarks", name, "--runs", "1", *options)
    done = subprocess.run(command, cwd=build.folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        print(f"{build.name}: {name} failed: {done.stderr.strip()[-400:]}", file=sys.stderr)
    return parse_figures(done.stdout)


def measure_read(build: Build, folder: Path) -> dict[str, float]:
    """`postwatch read` of each log of the folder."""
    found = {}
    for mix in MIXES_OF_READ:
        used = measure_command([str(build.folder / ".venv/bin/postwatch"), "read", str(folder / f"{mix}.log")])
        found[f"read, {mix}: s"] = used.seconds
        found[f"read, {mix}: CPU s"] = used.cpu_seconds
        found[f"read, {mix}: MB at most"] = used.most_bytes / 1e6
    return found


def write_logs(folder: Path, lines: int) -> None:
    for mix in MIXES_OF_READ:
        with (folder / f"{mix}.log").open("wb") as file:
            file.writelines(line + b"\n" for line in make_lines(mix, lines))


def table(builds: Sequence[str], runs: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Markdown: the median of each figure, with the lowest and the highest, and what the last build makes of it."""
    ratio = ["gain"] if len(builds) > 1 else []
    lines = [f"| what | unit | {' | '.join([*builds, *ratio])} |", f"|---|---|{'---|' * len([*builds, *ratio])}"]
    for row in rows_of_table():
        values = [_values(row, runs[build]) for build in builds]
        if not any(values):
            continue
        digits = 0 if statistics.median(next(filter(None, values))) >= 100 else 2
        cells = [median_of(each, digits) if each else "–" for each in values]
        if ratio:
            first, last = (statistics.median(each) if each else 0 for each in (values[0], values[-1]))
            cells.append(f"{(last / first if row.is_more_better else first / last):.2f} ×" if first and last else "–")
        lines.append(f"| {row.what} | {row.unit} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _values(row: Row, found: Mapping[str, Sequence[float]]) -> Sequence[float]:
    return found.get(row.key) or found.get(row.key_of_old) or []


def split_options(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our own words, and those for the benchmarks."""
    place = list(words).index("--") if "--" in words else len(words)
    return list(words[:place]), list(words[place + 1 :])


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.compare", description=__doc__, epilog=_EPILOG)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which (default: all): {', '.join(ALL)}")
    parser.add_argument("--baseline", metavar="COMMIT", help="another build, measured in turn with this one")
    parser.add_argument("--runs", type=int, default=3, help="of each and of each build (default: %(default)s)")
    parser.add_argument("--read-lines", type=int, default=400_000, help="of a log of read (default: %(default)s)")
    parser.add_argument("--picture", type=picture, metavar="SVG", help="where to draw the gains; needs matplotlib")
    own, options = split_options(words)
    arguments = parser.parse_args(own)
    if unknown := set(arguments.names) - set(ALL):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    print(describe_machine(), flush=True)
    builds = [*([make_baseline(arguments.baseline)] if arguments.baseline else []), this_build()]
    runs: dict[str, dict[str, list[float]]] = {build.name: {} for build in builds}
    with tempfile.TemporaryDirectory(prefix="postwatch-bench-") as name:
        for wanted in arguments.names or ALL:
            measure = _measurement(wanted, Path(name), arguments.read_lines, options)
            for number in range(arguments.runs):
                for build in builds if number % 2 == 0 else reversed(builds):
                    for key, value in measure(build).items():
                        runs[build.name].setdefault(key, []).append(value)
            print(f"{wanted}: done", file=sys.stderr, flush=True)
    print(f"\n{table([build.name for build in builds], runs)}")
    if arguments.picture:
        draw_bars(arguments.picture, *_gains(builds, runs))
    return 0


ALL = (*_BENCHMARKS, "read")


def _measurement(
    name: str, folder: Path, read_lines: int, options: Sequence[str]
) -> Callable[[Build], Mapping[str, float]]:
    if name != "read":
        return lambda build: run_benchmark(build, name, options)
    write_logs(folder, read_lines)
    return lambda build: measure_read(build, folder)


def _gains(
    builds: Sequence[Build], runs: Mapping[str, Mapping[str, Sequence[float]]]
) -> tuple[str, list[str], list[tuple[str, list[float]]]]:
    """Title, names and values of the picture: each figure as a multiple of the first build's, higher is better."""
    base, last = runs[builds[0].name], runs[builds[-1].name]
    rows = [row for row in rows_of_table() if _values(row, base) and _values(row, last)]
    gains = []
    for row in rows:
        before, after = statistics.median(_values(row, base)), statistics.median(_values(row, last))
        gains.append(after / before if row.is_more_better else before / after)
    title = f"{builds[-1].name} as a multiple of {builds[0].name}: more is better"
    return title, [f"{row.what}, {row.unit}" for row in rows], [(builds[-1].name, gains)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
