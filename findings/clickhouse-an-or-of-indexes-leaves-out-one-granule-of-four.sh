#!/usr/bin/env bash
# ClickHouse 26.9.2.1 (chDB 4.4.0): an OR of two columns, each with a skip index of GRANULARITY 4, reads three quarters of
# the table, though each index by itself leaves four granules of 400, or eight.
#
# Guess before the run: use_skip_indexes_for_disjunctions, on by default, reads the granules that one of the two leaves:
# here at most twelve.
# Seen: 301 of 400. Of each four granules that an index speaks of, the OR leaves out the first alone. With GRANULARITY 1
# it leaves two. The rows are right either way; EXPLAIN indexes = 1 tells it under "Combined skip indexes".
# So: one index of an array of both columns, or an index of GRANULARITY 1, or one SELECT for each column.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check chdb==4.4.0
cat >"$folder/run.py" <<'PYTHON'
import sys

from chdb.state import sqlitelike

connection = sqlitelike.Connection(sys.argv[1])


def ask(sql: str) -> str:
    return connection.query(sql, "TabSeparatedRaw").bytes().decode()


def granules(table: str, condition: str) -> int:
    """How many of 400 are read."""
    plan = ask(f"EXPLAIN indexes = 1 SELECT n FROM {table} WHERE {condition}")
    told = [line.strip() for line in plan.splitlines() if line.strip().startswith("Granules:")]
    return int(told[-1].removeprefix("Granules: ").partition("/")[0])


print("version", ask("SELECT version()").strip())
found = {}
for granularity in (1, 4):
    table = f"by{granularity}"
    index = f"TYPE bloom_filter(0.001) GRANULARITY {granularity}"
    ask(
        f"CREATE TABLE {table} (n UInt64, queue String, message String, INDEX by_queue queue {index},"
        f" INDEX by_message message {index}) ENGINE = MergeTree ORDER BY n SETTINGS index_granularity = 1024"
    )
    ask(f"INSERT INTO {table} SELECT number, 'q' || toString(number), 'm' || toString(number) FROM numbers(409600)")
    for condition in ("queue = 'q7'", "message = 'm7'", "queue = 'q7' OR message = 'm7'"):
        found[granularity, condition] = granules(table, condition)
        rows = ask(f"SELECT count() FROM {table} WHERE {condition}").strip()
        print(f"GRANULARITY {granularity}: {condition}: {found[granularity, condition]} of 400 granules, {rows} row")
        assert rows == "1"
either = "queue = 'q7' OR message = 'm7'"
assert found[1, either] < 10
assert found[4, "queue = 'q7'"] < 10 and found[4, "message = 'm7'"] < 10
assert found[4, either] > 290, "an OR of indexes of GRANULARITY 4 is served now"
PYTHON
"$folder/venv/bin/python" "$folder/run.py" "$folder/data"
