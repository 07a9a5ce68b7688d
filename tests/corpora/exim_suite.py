"""The logs of Exim's own test suite: nothing unreadable, messages as exigrep groups them, counts as eximstats counts.

The suite's logs are munged, one stamp for all and ids that come again in every file, so no two files are joined.
Where eximstats counts otherwise, `exim_suite_differences.toml` says which line it is and why.
"""

from __future__ import annotations

import csv
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from postwatch.streams.contracts.outcome import BOUNCED, CANCELLED, DEFERRED, DELIVERED, DISCARDED, EXPIRED, REJECTED
from postwatch.streams.parsers.events import Arrival, Attempt, LifecycleEvent, Refusal, Unreadable
from postwatch.streams.parsers.log_format import LineParser

from tests.corpora.check import Check
from tests.corpora.reading import message_of, new_parser, read_lines

_VERSIONS = ("v4.96", "head")
_SECOND_LOG = "******** SERVER ********"
_COLUMNS = ("received", "delivered_addrs", "msgs_delayed", "msgs_failed", "rejects", "temp_rejects")
_FAILED = frozenset((BOUNCED, EXPIRED, CANCELLED))
_DIFFERENCES = Path(__file__).with_name("exim_suite_differences.toml")


class Rule(NamedTuple):
    """Why a line is counted otherwise by eximstats."""

    pattern: re.Pattern[str]
    adds: dict[str, int]
    only: str
    """The version whose eximstats does so; empty: both."""


class Differences(NamedTuple):
    """The checked-in list: every entry of it has a reason."""

    rules: list[Rule]
    of_logs: dict[tuple[str, str], int]
    """By log and column, such as ("head 0612 client", "rejects")."""


Section = tuple[str, str]
"""The test's number, and client or server: the second of two logs in one file."""


def check(corpora: Path) -> Iterator[Check]:
    folder = corpora / "exim-testsuite"
    known = read_differences()
    for version in _VERSIONS if folder.is_dir() else ():
        logs = dict(_sections(folder / version / "log"))
        yield _readable(f"exim-testsuite {version}: lines read", logs)
        rejected = dict(_sections(folder / version / "rejectlog"))
        yield _readable(f"exim-testsuite {version}: reject log lines read", rejected)
        yield _same_in_both_logs(f"exim-testsuite {version}: refusals in both logs", logs, rejected)
        yield _grouping(version, folder / "oracle" / version, logs, known)
        yield from _counts(version, folder / "oracle" / version / "eximstats.tsv", logs, known)


def read_differences() -> Differences:
    told = tomllib.loads(_DIFFERENCES.read_text())
    rules = [Rule(re.compile(one["pattern"]), one["adds"], one.get("only", "")) for one in told["line"]]
    return Differences(rules, {(one["log"], one["column"]): one["adds"] for one in told["test"]})


def _sections(folder: Path) -> Iterator[tuple[Section, list[str]]]:
    for path in sorted(folder.iterdir()):
        lines = read_lines(path)
        if _SECOND_LOG in lines:
            seam = lines.index(_SECOND_LOG)
            yield (path.name, "client"), lines[:seam]
            yield (path.name, "server"), lines[seam + 1 :]
        else:
            yield (path.name, "client"), lines


def _readable(name: str, logs: dict[Section, list[str]]) -> Check:
    parser = new_parser("exim-main")
    unreadable = [
        f"{section}: {line}"
        for section, lines in logs.items()
        for line in lines
        if isinstance(parser.parse(line), Unreadable)
    ]
    return Check(name, sum(map(len, logs.values())), 0, unreadable)


def _same_in_both_logs(name: str, logs: dict[Section, list[str]], rejected: dict[Section, list[str]]) -> Check:
    """A line that stands in the reject log too is the same event there, under the same id."""
    parser, again = new_parser("exim-main"), new_parser("exim-reject")
    compared = 0
    differences: list[str] = []
    for section, lines in rejected.items():
        known = set(logs.get(section, ()))
        for line in lines:
            event = again.parse(line)
            if isinstance(event, Refusal) and line in known:
                compared += 1
                if parser.parse(line) != event:
                    differences.append(f"{section}: {line}")
    return Check(name, compared, 0, differences)


def _grouping(version: str, oracle: Path, logs: dict[Section, list[str]], known: Differences) -> Check:
    """Every line of a group is of one message, and no message has lines in two groups."""
    compared = explained = 0
    differences: list[str] = []
    for section, groups in _groups(oracle / "exigrep-all.txt"):
        parser = new_parser("exim-main")
        owners: dict[str, int] = {}
        wrong: list[str] = []
        for number, group in enumerate(groups):
            ids = {message_of(parser, line) for line in group if _is_of_message(parser, line)}
            compared += bool(ids)
            if len(ids) > 1:
                wrong.append(f"{section}: one group of exigrep's, but messages {sorted(ids)}")
            for queue_id in ids:
                if owners.setdefault(queue_id, number) != number:
                    wrong.append(f"{section}: {queue_id} is in two groups of exigrep's")
        if len(wrong) == known.of_logs.get((" ".join((version, *section)), "messages"), 0):
            explained += len(wrong)
        else:
            differences += wrong
    return Check(f"exim-testsuite {version}: messages as exigrep's", compared, explained, differences)


def _is_of_message(parser: LineParser, line: str) -> bool:
    queue_id = message_of(parser, line)
    return bool(queue_id) and not queue_id.startswith("r:")


def _groups(path: Path) -> Iterator[tuple[Section, list[list[str]]]]:
    """Sections `##### 0022.server.txt`, in each of them groups of lines with an empty line between."""
    for part in path.read_bytes().decode("utf-8", "backslashreplace").split("##### ")[1:]:
        title, _, text = part.partition("\n")
        test, _, section = title.removesuffix(".txt").rpartition(".")
        yield (test, section), [group.split("\n") for group in text.split("\n\n")]


def _counts(version: str, oracle: Path, logs: dict[Section, list[str]], known: Differences) -> Iterator[Check]:
    explained: Counter[str] = Counter()
    differences: dict[str, list[str]] = {column: [] for column in _COLUMNS}
    compared = 0
    rules = [rule for rule in known.rules if rule.only in ("", version)]
    with oracle.open() as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            section = (row["test"], row["section"])
            found, adds = _count(logs[section], rules)
            compared += 1
            for column in _COLUMNS:
                theirs = int(row[column])
                listed = adds[column] + known.of_logs.get((" ".join((version, *section)), column), 0)
                if theirs != found[column] + listed:
                    differences[column].append(
                        f"{section}: eximstats counts {theirs}, Postwatch {found[column]}, the list says {listed:+}"
                    )
                elif listed:
                    explained[column] += 1
    for column in _COLUMNS:
        yield Check(f"exim-testsuite {version}: {column}", compared, explained[column], differences[column])


def _count(lines: list[str], rules: list[Rule]) -> tuple[Counter[str], Counter[str]]:
    """What Postwatch makes of the lines, in eximstats' columns; and what the list says that eximstats adds."""
    parser = new_parser("exim-main")
    found: Counter[str] = Counter()
    adds: Counter[str] = Counter()
    arrived: set[str] = set()
    delayed: set[str] = set()
    failed: set[str] = set()
    for line in lines:
        adds.update(next((rule.adds for rule in rules if rule.pattern.search(line)), {}))
        parsed = parser.parse(line)
        if isinstance(parsed, Arrival):
            found["received"] += 1
            arrived.add(parsed.queue_id)
        elif isinstance(parsed, Attempt):
            found["delivered_addrs"] += parsed.status in (DELIVERED, DISCARDED)
            if parsed.status == DEFERRED:
                delayed.add(parsed.queue_id)
            elif parsed.status in _FAILED:
                failed.add(parsed.queue_id)
        elif isinstance(parsed, LifecycleEvent) and parsed.status == BOUNCED:
            failed.add(parsed.queue_id)
        elif isinstance(parsed, Refusal) and parsed.status == REJECTED:
            found["temp_rejects" if " temporarily rejected " in line else "rejects"] += 1
    found["msgs_delayed"], found["msgs_failed"] = len(delayed), len(failed)
    adds["msgs_delayed"] -= len(delayed - arrived)
    adds["msgs_failed"] -= len(failed - arrived)
    return found, adds
