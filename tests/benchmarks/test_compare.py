"""The table of `make bench`: what benchmarks print is read, and what a command uses is measured."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import charts, peers
from tests.benchmarks.compare import parse_figures, rows_of_table, split_options, table
from tests.benchmarks.processes import measure_command

PRINTED = f"""\
A processor, 2 cores, 24 GB; 2026-11-28 18:00 UTC; load before the start 0.1
{"join, plain":34} 499,979 lines → 150,000 rows, records of 128 KiB, one core
{"  lines/s of CPU":34} 211,000 (200,000 to 220,000)
{"backlog, plain":34} 2,000,000 lines in 1,000 records (2,000 lines each) → 600,000 rows, all there
{"  lines/s, steady":34} 60,000
{"  CPU s of join":34} 20.5
{"  CPU s of clickhouse":34} 19.5
{"report":34} first page of an account, 3,000,000 rows of 30 days (made in 90 s)
{"  busy accounts":34} p50 129 ms, p95 155 ms, 300 questions
{"fresh":34} 100 probes among 2,000 lines/s: line written → row in its report
{"  p95 s":34} 0.84
"""


def test_what_benchmarks_print_is_read() -> None:
    found = parse_figures(PRINTED)
    assert found["join, plain: lines/s of CPU"] == 211_000
    assert found["backlog, plain: µs of CPU a line"] == 20
    assert found["report: busy accounts p95"] == 155
    assert found["fresh: p95 s"] == 0.84
    keys = {row.key for row in rows_of_table()}
    assert keys >= {"join, plain: lines/s of CPU", "backlog, plain: µs of CPU a line", "report: busy accounts p95"}


def test_the_table_tells_the_gain_of_more_and_of_less() -> None:
    join, fresh = "join, plain: lines/s of CPU", "fresh: p95 s"
    told = table(
        ["old", "new"], {"old": {join: [100.0, 120.0, 110.0], fresh: [0.8]}, "new": {join: [220.0], fresh: [0.4]}}
    )
    assert "| parse + join, plain | lines/s of CPU | 110 (100 to 120) | 220 | 2.00 × |" in told
    assert "| line written → row | p95 s | 0.80 | 0.40 | 2.00 × |" in told
    assert len(told.splitlines()) == 4


def test_a_build_before_the_tables_for_time_is_compared_with_the_flow_without_them() -> None:
    key = "µs of CPU a line"
    told = table(
        ["old", "new"],
        {
            "old": {f"backlog, plain: {key}": [20.0]},
            "new": {f"backlog, plain: {key}": [16.0], f"backlog untimed, plain: {key}": [10.0]},
        },
    )
    assert "| backlog, plain | µs of CPU a line | 20.00 | 16.00 | 1.25 × |" in told
    assert "| backlog without the tables for time, plain | µs of CPU a line | 20.00 | 10.00 | 2.00 × |" in told


def test_options_of_the_benchmarks_follow_two_dashes() -> None:
    assert split_options(["join", "--", "--lines", "7"]) == (["join"], ["--lines", "7"])
    assert split_options(["join"]) == (["join"], [])


def test_what_a_command_uses() -> None:
    work = "import subprocess, sys, time; b = bytearray(60_000_000); time.sleep(0.5); sum(range(2_000_000))"
    used = measure_command([sys.executable, "-c", work])
    assert used.most_bytes > 50_000_000
    assert used.seconds > 0.5
    assert used.cpu_seconds > 0
    with pytest.raises(subprocess.CalledProcessError):
        measure_command([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_peer_that_is_missing_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "find_command", lambda peer: None if peer.name == "pflogsumm" else f"/bin/{peer.name}")
    assert list(peers.commands_of("postfix", Path("log"))) == [peers.POSTWATCH]
    assert "pflogsumm is left out: it is not installed (apt-get install pflogsumm)" in capsys.readouterr().err
    assert list(peers.commands_of("plain", Path("log"))) == [peers.POSTWATCH, "eximstats", "exigrep"]


def test_that_a_picture_can_not_be_drawn_is_told_before_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawable = tmp_path / "gains.svg"
    monkeypatch.setattr(charts, "find_spec", lambda name: object())
    assert charts.picture(str(drawable)) == drawable
    with pytest.raises(argparse.ArgumentTypeError, match=r"no folder .*nowhere"):
        charts.picture(str(tmp_path / "nowhere" / "gains.svg"))
    monkeypatch.setattr(charts, "find_spec", lambda name: None)
    with pytest.raises(argparse.ArgumentTypeError, match=r"matplotlib is missing; install it with: pip install"):
        charts.picture(str(drawable))
