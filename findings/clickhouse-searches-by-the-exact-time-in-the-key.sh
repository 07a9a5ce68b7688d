#!/usr/bin/env bash
# ClickHouse 26.9.2.1 (chDB 4.4.0): a sort key that begins with toStartOfHour(at) and has `at` behind it is searched by
# `at` alone, and a window of time reads every granule.
#
# Guess before the run: with ORDER BY (toStartOfHour(at), k, at) and WHERE at BETWEEN … the primary key is searched by
# toStartOfHour(at), as with ORDER BY (toStartOfHour(at), k): another column at the end of the key costs nothing.
# Seen: with `at` in the key the condition is applied to `at` itself, third in the key, and no granule is left out. Without
# it the same condition is applied to toStartOfHour(at), and few granules are read. EXPLAIN indexes = 1 tells both.
# So a table of events by hours must not have the exact time in its sort key: tell events of an hour apart by a number.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check chdb==4.4.0
cat >"$folder/run.py" <<'PYTHON'
import re
import sys

from chdb.session import Session

session = Session(sys.argv[1])
session.query("CREATE DATABASE d")


def granules(key: str) -> tuple[int, int]:
    """Read, and all, for one hour of thirty days; a single partition, so that only the sort key can leave out."""
    session.query("DROP TABLE IF EXISTS d.events")
    session.query(f"CREATE TABLE d.events (at DateTime, k UInt64, n UInt8) ENGINE = MergeTree ORDER BY ({key})")
    session.query(
        "INSERT INTO d.events SELECT toDateTime('2026-11-01 00:00:00') + number * 5, cityHash64(number), 0"
        " FROM numbers(500000)"
    )
    session.query("OPTIMIZE TABLE d.events FINAL")
    asked = "at >= toDateTime('2026-11-20 10:00:00') AND at < toDateTime('2026-11-20 11:00:00')"
    told = str(session.query(f"EXPLAIN indexes = 1 SELECT count() FROM d.events WHERE {asked}"))
    read, of_all = re.findall(r"Granules: (\d+)/(\d+)", told)[-1]
    print(f"ORDER BY ({key}): {read} of {of_all} granules")
    return int(read), int(of_all)


print("version", str(session.query("SELECT version()")).strip())
with_time, of_all = granules("toStartOfHour(at), k, at")
with_number, _ = granules("toStartOfHour(at), k, n")
assert with_time == of_all, "the exact time in the key costs nothing any more"
assert with_number * 10 < of_all, "the hour alone is not searched by"
PYTHON
"$folder/venv/bin/python" "$folder/run.py" "$folder/data"
