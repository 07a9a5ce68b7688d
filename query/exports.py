"""Reports as files for other programs: CSV that a spreadsheet may open, JSON that a terminal may show.

What strangers wrote can neither start a formula in the one nor reach the terminal as a control character in the other.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

from postwatch.query.wording import visible
from postwatch.streams.contracts.outcome import Outcome, iso_time
from pydantic import BaseModel

CSV_COLUMNS = (
    "updated_at recipient result status response reason sender subject queued_at delay_ms account direction"
    " original_recipient server queue_id message_id size_bytes smtp_code enhanced_code remote_host remote_ip"
    " remote_provider tls router transport client_host client_ip authenticated_as auth_method attempts"
    " next_queue_id parent_queue_id"
).split()
"""Every field of a row but the log lines; of the attempts their number."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_CONTROLS = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def to_csv(rows: Iterable[Outcome]) -> str:
    """Rows → CSV with a heading, lines ending in CRLF (RFC 4180)."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    for row in rows:
        writer.writerow([_cell(row, name) for name in CSV_COLUMNS])
    return text.getvalue()


def _cell(row: Outcome, name: str) -> str:
    value = getattr(row, name)
    if name in ("queued_at", "updated_at"):
        return iso_time(value)
    if name == "attempts":
        return str(len(value))
    if isinstance(value, int):
        return str(value)
    # OWASP, "CSV Injection": an apostrophe makes a spreadsheet take the cell as text.
    guard = "'" if value.startswith(_FORMULA_STARTS) else ""
    return guard + visible(value)


def to_json(shape: BaseModel) -> str:
    """A shape → indented JSON. Controls that JSON lets stand raw are escaped, which changes no value."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", shape.model_dump_json(indent=2))
