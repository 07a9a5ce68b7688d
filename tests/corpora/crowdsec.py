"""Lines of CrowdSec's tests: a refusal's client is the address that CrowdSec would ban."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from postwatch.streams.parsers.events import Ignored, Refusal, Unreadable

from tests.corpora.check import Check
from tests.corpora.reading import new_parser, read_lines

_FIELD = re.compile(
    r'results\["s01-parse"\]\["(?P<parser>[^"]+)"\]\[(?P<event>\d+)\]\.Evt\.'
    r'(?P<name>Parsed\["message"\]|Meta\["source_ip"\]) == (?P<value>".*")$'
)
_REFUSED = re.compile(r"rejected RCPT|: reject: RCPT .*; from=<")


def check(corpora: Path) -> Iterator[Check]:
    for told in sorted((corpora / "crowdsec-hub").glob("*/parser.assert")):
        name = told.parent.name
        if name.startswith(("postfix", "postscreen", "exim")):
            clients = _read_clients(told)
            for path in sorted(told.parent.glob("*.log")):
                compared, differences = _compare(read_lines(path), clients)
                yield Check(f"crowdsec-hub: {name}", compared, 0, differences)


def _read_clients(told: Path) -> dict[str, str]:
    """What a program said → the address that the line blames."""
    events: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for line in read_lines(told):
        found = _FIELD.match(line)
        if found is not None:
            events[found["parser"], found["event"]][found["name"]] = json.loads(found["value"])
    return {
        event['Parsed["message"]']: event['Meta["source_ip"]']
        for event in events.values()
        if len(event) == 2 and event['Parsed["message"]']
    }


def _compare(lines: list[str], clients: dict[str, str]) -> tuple[int, list[str]]:
    parser = new_parser("auto")
    differences: list[str] = []
    for line in lines:
        client = next((ip for words, ip in clients.items() if line.endswith(words)), "")
        parsed = parser.parse(line)
        if isinstance(parsed, Unreadable):
            differences.append(f"unreadable ({parsed.reason}): {line[:150]}")
        elif isinstance(parsed, Refusal) and client and parsed.client_ip != client:
            differences.append(f"client {parsed.client_ip!r}, not {client!r}: {line[:150]}")
        elif isinstance(parsed, Ignored) and _REFUSED.search(line):
            differences.append(f"a refusal that was not seen: {line[:150]}")
    return len(lines), differences
