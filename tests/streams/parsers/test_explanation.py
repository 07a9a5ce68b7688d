"""What `postwatch read --explain` says of a line."""

from __future__ import annotations

from pathlib import Path

import pytest
from postwatch.deploy.cli import main
from postwatch.streams.parsers.explanation import explain, shown_line
from postwatch.streams.parsers.lines import MOST_SOURCES, LineTally

from tests.streams.joining.test_golden import parser_of_all

HEAD = "Nov 23 08:00:00 mx7 postfix/"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("smtp[7]: 7F00AA: to=<a@b.example>, relay=none, delay=1, status=deferred (no \x1b[2J route)",
         'deferred     7F00AA  to=a@b.example  by=smtp  answer="no \\x1b[2J route"'),
        ("smtpd[7]: 7F00AA: client=x[192.0.2.1], sasl_method=PLAIN, sasl_username=ann@here.example",
         "arrival (client) 7F00AA  client=192.0.2.1  login=ann@here.example"),
        ("qmgr[7]: 7F00AA: removed", "completed    7F00AA"),
        ("smtpd[7]: connect from x[192.0.2.1]", "ignored      connect"),
        ("smtp[7]: 7F00AA: to=<a@b.exa", "UNREADABLE   a delivery whose fields make no sense"),
    ],
)  # fmt: skip
def test_each_line_is_told(line: str, wanted: str) -> None:
    assert explain(parser_of_all().parse(HEAD + line)) == wanted


def test_a_line_can_not_write_on_the_terminal() -> None:
    assert shown_line("a\x1b]0;x\x07\u202eb") == "a\\x1b]0;x\\x07\\u202eb"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "maillog"
    log.write_text(HEAD + "qmgr[7]: 7F00AA: removed\n")
    assert main(["read", "--explain", str(log)]) == 0
    assert capsys.readouterr().out == HEAD + "qmgr[7]: 7F00AA: removed\n    completed    7F00AA\n"


def test_counts_are_kept_for_so_many_servers() -> None:
    tally = LineTally()
    for number in range(MOST_SOURCES + 5):
        tally.of(f"server{number}", "auto").lines += 1
    assert len(tally.sources) == MOST_SOURCES + 1
    assert tally.total().lines == MOST_SOURCES + 5
