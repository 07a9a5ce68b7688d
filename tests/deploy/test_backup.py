"""The commands of docs/backup.md, run on the real engine: what was in the tables is there again."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "backup.md"
ENGINE = """
import json, sys
import chdb
from postwatch.deploy.migrate import Place, read_migrations

folder, backup, restore = sys.argv[1:]
connection = chdb.connect(f"{folder}/data?backups.allowed_path={folder}/")
place = Place("postwatch", 3650)

def migrate():
    for migration in read_migrations():
        for statement in [*place.preparations(), *migration.statements(place)]:
            connection.query(statement)

def counts():
    tables = ("deliveries", "delivery_states", "servers")
    return [int(str(connection.query(f"SELECT count() FROM postwatch.{table} FINAL"))) for table in tables]

migrate()
rows = "SELECT 'anna@bakery.example', now64(3), now64(3), 'web1', toString(number), 'b@far.net', 5 FROM numbers(100)"
names = "account, queued_at, updated_at, server, queue_id, recipient, version"
connection.query(f"INSERT INTO postwatch.deliveries ({names}) {rows}")
connection.query("INSERT INTO postwatch.servers (server, sent_at) VALUES ('web1', now64(3))")
found = [counts()]
connection.query(backup)
connection.query("DROP DATABASE postwatch SYNC")
connection.query(restore)
found.append(counts())
migrate()
connection.query("INSERT INTO postwatch.deliveries SELECT * FROM postwatch.deliveries")  # what the sink reads again
found.append(counts())
print(json.dumps(found))
"""


def statement(word: str, folder: Path) -> str:
    """The statement of the page that begins with the word, with a folder in place of the disk."""
    found = re.search(rf"^    ({word} .*)$", PAGE.read_text(), re.MULTILINE)
    assert found
    assert "Disk('backups', 'postwatch.zip')" in found[1]
    return found[1].replace("Disk('backups', 'postwatch.zip')", f"File('{folder}/backup')")


@pytest.mark.stack
def test_a_backup_is_restored_and_rows_may_come_again(tmp_path: Path) -> None:
    words = [sys.executable, "-c", ENGINE, str(tmp_path), statement("BACKUP", tmp_path), statement("RESTORE", tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == 3 * [[100, 100, 1]]
