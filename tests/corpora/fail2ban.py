"""Lines of fail2ban's tests: a refusal's client is the host that fail2ban would ban."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from postwatch.streams.parsers.events import Refusal, Unreadable

from tests.corpora.check import Check
from tests.corpora.reading import new_parser, read_lines

_MARK = "# failJSON: "
_LOGS = ("postfix.log", "exim.log", "exim-spam.log")


def check(corpora: Path) -> Iterator[Check]:
    for name in _LOGS:
        path = corpora / "fail2ban" / name
        if path.is_file():
            compared, differences = _compare(read_lines(path))
            yield Check(f"fail2ban: {name}", compared, 0, differences)


def _compare(lines: list[str]) -> tuple[int, list[str]]:
    parser = new_parser("auto")
    compared = 0
    host = ""
    differences: list[str] = []
    for line in lines:
        if line.startswith(_MARK):
            told = json.loads(line.removeprefix(_MARK))
            host = told.get("host", "") if told.get("match") else ""
            continue
        if not line or line.startswith("#"):
            continue
        parsed = parser.parse(line)
        compared += 1
        if isinstance(parsed, Unreadable):
            differences.append(f"unreadable ({parsed.reason}): {line[:150]}")
        elif isinstance(parsed, Refusal) and host and parsed.client_ip != host:
            differences.append(f"client {parsed.client_ip!r}, not {host!r}: {line[:150]}")
        host = ""
    return compared, differences
