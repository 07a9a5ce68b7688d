"""Runs of real MTAs whose far servers and mailboxes tell what became of every recipient.

The rows of the log as it stands are compared with that truth; the same lines in any other order, cut or repetition
must give the very same rows.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from postwatch.streams.contracts.outcome import to_json_object

from tests.corpora.check import Check
from tests.corpora.reading import Rows, cut, interleave, read_lines, rows_of

_SEEDS = range(5)
_MOST_TOLD = 20


class Run(NamedTuple):
    folder: str
    log: str
    log_format: str


RUNS = (
    Run("exim-4.96", "mainlog", "exim-main"),
    Run("exim-4.96-hard", "mainlog", "exim-main"),
    Run("exim-4.99.1-hard", "mainlog", "exim-main"),
    Run("postfix-3.7", "maillog", "postfix"),
    Run("postfix-3.7-hard", "maillog", "postfix"),
    Run("postfix-3.11.6-hard", "maillog", "postfix"),
    Run("postfix-3.7-content-filter", "maillog", "postfix"),
)


def check(corpora: Path) -> Iterator[Check]:
    for run in RUNS:
        folder = corpora / "real-mta" / run.folder
        if folder.is_dir():
            lines = read_lines(folder / run.log)
            rows = rows_of([lines], run.log_format)
            yield _against_truth(run, rows, corpora / "check_truth.py", folder / "truth.json")
            yield from _variations(run, lines, rows)


def _against_truth(run: Run, rows: Rows, judge: Path, truth: Path) -> Check:
    """`check_truth.py` reads rows as JSON and exits with 1 where one is wrong."""
    encoder = msgspec.json.Encoder()
    told = b"".join(encoder.encode(to_json_object(row)) + b"\n" for row in rows.values())
    judged = subprocess.run([sys.executable, judge, truth], input=told, capture_output=True, check=False)
    words = (judged.stdout + judged.stderr).decode().splitlines()
    compared = len(msgspec.json.decode(truth.read_bytes()))
    return Check(f"{run.folder}: truth", compared, 0, words if judged.returncode else [])


def _variations(run: Run, lines: list[str], rows: Rows) -> Iterator[Check]:
    chooser = random.Random(run.folder)
    prefixes = [chooser.randrange(1, len(lines)) for _ in _SEEDS]
    ways: dict[str, list[list[Sequence[str]]]] = {
        "cut anywhere": [cut(lines, seed) for seed in _SEEDS],
        "interleaved": [[interleave(lines, run.log_format, seed)] for seed in _SEEDS],
        "interleaved and cut": [cut(interleave(lines, run.log_format, seed), seed) for seed in _SEEDS],
        "a prefix twice": [[lines[:prefix], lines] for prefix in prefixes],
        "a prefix twice, cut": [cut([*lines[:prefix], *lines], prefix) for prefix in prefixes],
    }
    for way, variants in ways.items():
        differences: list[str] = []
        for blocks in variants:
            differences += _differences(rows, rows_of(blocks, run.log_format))
        yield Check(f"{run.folder}: {way}", len(rows) * len(variants), 0, differences[:_MOST_TOLD])


def _differences(expected: Rows, found: Rows) -> Iterator[str]:
    for key in expected.keys() | found.keys():
        one, other = expected.get(key), found.get(key)
        if one is None or other is None:
            yield f"{key}: {'a row too many' if one is None else 'no row'}"
        elif one != other:
            fields = (name for name in one._fields if getattr(one, name) != getattr(other, name))
            yield f"{key}: " + ", ".join(f"{name} {getattr(one, name)!r} → {getattr(other, name)!r}" for name in fields)
