"""The JSON that Docker and journald wrap around a line.

Invariant: nothing of it is believed but the line, its stamp, its program and its process. These structs stay msgspec's
in the compiled build too, for msgspec decodes them.
"""

from __future__ import annotations

from typing import Any

import msgspec


class DockerRecord(msgspec.Struct):
    log: str


class JournalRecord(msgspec.Struct):
    at: str = msgspec.field(name="__REALTIME_TIMESTAMP")
    message: str | list[int] | None = msgspec.field(name="MESSAGE")
    """None: it is longer than 4096 bytes, and journalctl was run without `--all`."""
    program: str = msgspec.field(name="SYSLOG_IDENTIFIER", default="")
    claimed_process: Any = msgspec.field(name="SYSLOG_PID", default="")
    """What the program itself put into its line; `process` is what the kernel told the journal."""
    process: Any = msgspec.field(name="_PID", default="")


DOCKER = msgspec.json.Decoder(DockerRecord)
JOURNAL = msgspec.json.Decoder(JournalRecord)
