#!/usr/bin/env bash
# ClickHouse 26.9.2.1 (chDB 4.4.0): of a small question that is asked again and again, each time for another account, the
# fourth takes many times the CPU of the others, and waits for it: expressions are made machine code then.
#
# Guess before the run: compiled expressions only save work. A question that reads a few thousand rows is too small to be
# compiled, or it goes on without while the compiler works; and each account is another expression.
# Seen: 6, 6, 7, 39, 7, 6 ms of CPU; 6 to 10 each with compile_expressions, compile_aggregate_expressions and
# compile_sort_description = 0. After a start that is one question of each kind; LLVM takes 17 MB from then on.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check chdb==4.4.0
cat >"$folder/run.py" <<'PYTHON'
import resource
import statistics
import sys

from chdb.state import sqlitelike

connection = sqlitelike.Connection(sys.argv[1])
OFF = " SETTINGS compile_expressions = 0, compile_aggregate_expressions = 0, compile_sort_description = 0"


def ask(sql: str) -> str:
    return connection.query(sql, "TabSeparatedRaw").bytes().decode()


def cpu_ms(sql: str) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF)
    ask(sql)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def question(number: int) -> str:
    return (
        "SELECT status, count(), max(at), sum(size) FROM mail FINAL"
        f" WHERE account = 'user{number}' AND size > {number} GROUP BY status"
    )


ask(
    "CREATE TABLE mail (account String, id String, at DateTime64(3), status LowCardinality(String), size UInt64,"
    " version UInt64) ENGINE = ReplacingMergeTree(version) ORDER BY (account, at, id)"
)
for part in range(3):
    ask(
        "INSERT INTO mail SELECT concat('user', toString(number % 1000)), toString(number),"
        f" toDateTime64('2026-11-01 00:00:00', 3) + number % 7, 'sent', number, {part} FROM numbers(50000)"
    )
print("version", ask("SELECT version()").strip())
for number in range(5):
    ask(question(number) + OFF)  # code and marks are in memory now
without = [cpu_ms(question(number) + OFF) for number in range(10)]
compiled = [cpu_ms(question(number)) for number in range(10)]
print("without:", *map(round, without))
print("compiled:", *map(round, compiled))
others = statistics.median(compiled[:3] + compiled[4:])
assert compiled[3] > 3 * others, "the fourth question waits for nothing now"
assert max(without) < compiled[3]
PYTHON
"$folder/venv/bin/python" "$folder/run.py" "$folder/data"
