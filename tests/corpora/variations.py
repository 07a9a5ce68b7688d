"""The list of variations of real logs: each is read as variations.toml says, or of no interest, with a reason."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from postwatch.streams.parsers.explanation import explain

from tests.corpora.check import Check
from tests.corpora.reading import new_parser

_ENTRY = re.compile(r"^(?P<number>\d+)\. (?P<title>.*)\n(?: {3}`(?P<line>.*)`\n)?", re.MULTILINE)
_BARE = re.compile(r'(?:data|"line"): "(?P<message>[^ ]+: .*?)"?,?$')
"""As other projects keep a line: quoted, and without its head."""
_AGENTS = (("NOQUEUE", "postfix/smtpd"), ("notification", "postfix/bounce"), ("skipped", "postfix/qmgr"))
_HEADLESS = (("relay: ", "smtpd"), ("lmtp(", "dovecot"))
_EXPECTED = Path(__file__).with_suffix(".toml")


def check(corpora: Path) -> Iterator[Check]:
    path = corpora / "VARIATIONS.md"
    if not path.is_file():
        return
    expected = tomllib.loads(_EXPECTED.read_text())
    differences: list[str] = []
    compared = 0
    for number, title, line in _ENTRY.findall(path.read_text("utf-8")):
        compared += 1
        reason = expected["no_interest"].get(number)
        wanted = "ignored" if reason else expected["read"].get(number, "an entry in variations.toml")
        if line:
            found = explain(new_parser("auto").parse(_with_head(line)))
            if not found.startswith(wanted):
                differences.append(f"{number} ({title}): {found[:100]}, not {wanted}")
        elif number not in expected["tested"]:
            differences.append(f"{number} ({title}): no line, and no test is named")
    yield Check("variations", compared, 0, differences)


def _with_head(line: str) -> str:
    quoted = _BARE.match(line)
    if quoted is not None:
        message = quoted["message"].replace('\\"', '"')
        agent = next((agent for word, agent in _AGENTS if word in message), "postfix/local")
        return f"Nov  3 10:00:00 mx {agent}[7]: {message}"
    program = next((program for start, program in _HEADLESS if line.startswith(start)), "")
    return f"Nov  3 10:00:00 mx {program}[7]: {line}" if program else line.removeprefix('"line": "')
