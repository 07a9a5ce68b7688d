#!/usr/bin/env bash
# ClickHouse 26.9.2.1 (chDB 4.4.0): a row that violates a constraint of a view's target is reported with code 469, as a bad
# row of the insert, and the source table has kept the rows.
#
# Guess before the run: an insert that fails in a materialized view has an error code of views, or leaves the source table
# without the rows; a client that sees VIOLATED_CONSTRAINT may take its own row for the bad one.
# Seen: code 469 (VIOLATED_CONSTRAINT), the same as for a constraint of the source itself; the source table has the rows.
# Only the words "while pushing to view" at the end of the message tell the two apart.
# So a writer that looks for bad rows by bisection must read these words first, or it gives up good rows that are stored.
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
session.query("CREATE TABLE d.rows (n Int64, CONSTRAINT positive CHECK n > 0) ENGINE = MergeTree ORDER BY n")
session.query("CREATE TABLE d.slim (n Int64, CONSTRAINT small CHECK n < 100) ENGINE = MergeTree ORDER BY n")
session.query("CREATE MATERIALIZED VIEW d.to_slim TO d.slim AS SELECT n FROM d.rows")


def insert(numbers: str) -> str:
    try:
        session.query(f"INSERT INTO d.rows VALUES {numbers}")
    except Exception as error:
        return str(error)
    return ""


def count(table: str) -> int:
    return int(str(session.query(f"SELECT count() FROM d.{table}")))


def code(said: str) -> str:
    return re.search(r"Code: (\d+)", said)[1]


print("version", str(session.query("SELECT version()")).strip())
own = insert("(-1), (1)")
print("its own constraint:", code(own), "rows:", count("rows"))
assert (code(own), count("rows")) == ("469", 0)
views = insert("(2), (200)")
print("the view's target: ", code(views), "rows:", count("rows"), "in the target:", count("slim"))
print(views.strip()[-160:])
assert code(views) == "469", "the view's failure has a code of its own now"
assert (count("rows"), count("slim")) == (2, 0), "the source table has not kept the rows"
assert "while pushing to view" in views and "while pushing to view" not in own
PYTHON
"$folder/venv/bin/python" "$folder/run.py" "$folder/data"
