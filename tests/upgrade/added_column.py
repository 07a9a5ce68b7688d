"""A version of the project with a column and a part of attempts more, made as docs/add-a-column.md says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.mutations.__main__ import copy_project

OUTCOME, ROWS = "streams/contracts/outcome.py", "streams/joining/rows.py"
MIGRATION = "deploy/clickhouse/9999_outbound_ip.sql"
PAGE = "docs/columns.md"

EDITS = (
    (
        OUTCOME,
        "\n\nKEY = (",
        '    outbound_ip: Annotated[str, About(TEXT, "The address that the message left from.", "outbound IP")] = ""\n'
        "\n\nKEY = (",
    ),
    (
        OUTCOME,
        "\n\nclass Outcome(NamedTuple):",
        '    helo: Annotated[str, About(WORD, "The name that we gave.")] = ""\n\n\nclass Outcome(NamedTuple):',
    ),
    (ROWS, "            last.source_ip,\n        )\n", '            last.source_ip,\n            "",\n        )\n'),
    (ROWS, "reason, one.source_ip)", 'reason, one.source_ip, "")'),
)
"""File, text in it, and what stands there then."""

SQL = """\
-- The address that a message left from, and the name that each attempt gave.
ALTER TABLE {database}.deliveries ADD COLUMN IF NOT EXISTS outbound_ip String;
ALTER TABLE {database}.deliveries ADD COLUMN IF NOT EXISTS `attempts.helo` Array(LowCardinality(String));
"""


def add_column(folder: Path) -> dict[str, str]:
    """Copy the project into a folder and add the column there. Returns the environment that means that copy."""
    environment = copy_project(folder)
    for name, old, new in EDITS:
        path = folder / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{name}: {old}"
        path.write_text(text.replace(old, new), encoding="utf-8")
    (folder / MIGRATION).write_text(SQL, encoding="utf-8")
    command = [sys.executable, "-m", "postwatch.deploy.columns_page"]
    page = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
    (folder / PAGE).write_text(page, encoding="utf-8")
    del environment["PYTHONDONTWRITEBYTECODE"]  # nothing changes any more
    return environment
