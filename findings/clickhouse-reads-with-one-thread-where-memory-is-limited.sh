#!/usr/bin/env bash
# ClickHouse 26.9.2.1 (chDB 4.4.0): a server with max_server_memory_usage of 2 GiB reads with one thread, also where
# max_threads = 4 is asked for, and says nothing of it.
#
# Guess before the run: max_threads is by how many threads a statement reads; the limit of the server's memory decides
# only what is refused.
# Seen: max_threads_min_free_memory_per_thread, 1 GiB by default, lowers max_threads without a word to the number of GiB
# that the limit leaves free, at least one. system.settings goes on telling 4. With the setting at 0 there are four threads.
# So on a small server every statement takes twice the time that it needs, and benchmarks measure one core.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check chdb==4.4.0
cat >"$folder/run.py" <<'PYTHON'
import sys

from chdb.state import sqlitelike

connection = sqlitelike.Connection(f"{sys.argv[1]}?max_server_memory_usage={2 << 30}")


def ask(sql: str) -> str:
    return connection.query(sql, "TabSeparatedRaw").bytes().decode()


def reading(settings: str) -> str:
    """The step that reads, of a statement with these settings."""
    plan = ask(f"EXPLAIN PIPELINE SELECT number % 7 AS k, count() FROM numbers_mt(10000000) GROUP BY k SETTINGS {settings}")
    return next(line.strip() for line in plan.splitlines() if "NumbersRange" in line)


print("version", ask("SELECT version()").strip())
print("by default:", ask("SELECT value FROM system.settings WHERE name = 'max_threads_min_free_memory_per_thread'").strip())
told = ask("SELECT value FROM system.settings WHERE name = 'max_threads' SETTINGS max_threads = 4").strip()
limited = reading("max_threads = 4")
free = reading("max_threads = 4, max_threads_min_free_memory_per_thread = 0")
print("max_threads told:", told)
print("max_threads = 4:", limited)
print("and no memory for each thread:", free)
assert told == "4"
assert "×" not in limited, "it reads with several threads now"
assert "× 4" in free
PYTHON
"$folder/venv/bin/python" "$folder/run.py" "$folder/data"
