"""`postwatch read`: rows and counts, what it says of files that are no mail logs, and its exit status."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from postwatch.deploy.cli import main
from postwatch.streams.parsers.registry import FORMAT_NAMES

MAIL = (
    '2026-03-02 08:01:10 1vwyDG-0003aB-1X <= anna@bakery.example U=web7 P=local S=7 T="Hi" for paul@far.example\n'
    "2026-03-02 08:01:12 1vwyDG-0003aB-1X => paul@far.example R=dnslookup T=remote_smtp H=mx.far.example [192.0.2.7]\n"
)
UNREADABLE = "2026-03-02 08:01:13 1vwyDG-0003aB-1X => \n"
SHOPPING = "milk\nbread\n3 eggs\n"
OTHERS = "Nov 23 08:00:00 mx2 dovecot: imap-login: Login\nNov 23 08:00:00 mx2 sshd[7]: Accepted publickey for root\n"
APPLICATION = "2026-11-23 08:00:00 INFO started\n2026-11-23 08:00:01 INFO ready\n"
EXPLAIN = pytest.mark.parametrize("options", [(), ("--explain",)], ids=("rows", "explain"))


def read(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    status = main(["read", *map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "mainlog"


def test_rows_are_found(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_text(MAIL)
    status, out, err = read(capsys, "--server", "web7.example", log)
    assert status == 0
    assert [json.loads(row)["account"] for row in out.splitlines()] == ["web7@web7.example"]
    assert err == "2 lines = 2 events + 0 ignored + 0 unreadable; 1 rows\n"


def test_a_dead_letter_among_good_lines_changes_nothing(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_text(MAIL + UNREADABLE)
    status, _, err = read(capsys, log)
    assert status == 0
    assert "unreadable (a delivery whose fields make no sense): '2026-03-02 08:01:13" in err
    assert "does not look like a mail log" not in err


@EXPLAIN
@pytest.mark.parametrize("text", [SHOPPING, OTHERS, APPLICATION], ids=("words", "other programs", "an application"))
def test_a_file_that_is_no_mail_log_is_named(
    text: str, options: Sequence[str], log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.write_text(text)
    status, _, err = read(capsys, *options, log)
    assert status == 1
    lines = text.count("\n")
    assert f"{log} does not look like a mail log: none of its {lines} lines is about a message\n" in err


@EXPLAIN
def test_an_empty_file_is_named(options: Sequence[str], log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_text("")
    status, out, err = read(capsys, *options, log)
    assert (status, out) == (1, "")
    assert f"{log} is empty\n" in err


@EXPLAIN
def test_of_several_files_the_one_that_is_no_mail_log_is_named(
    options: Sequence[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mail, words = tmp_path / "mainlog.gz", tmp_path / "notes"
    mail.write_bytes(gzip.compress(MAIL.encode()))
    words.write_text(SHOPPING)
    status, _, err = read(capsys, *options, mail, words)
    assert status == 0
    assert err.count("does not look like a mail log") == 1
    assert f"{words} does not look" in err


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("Nov 23 08:00:00 mx2 postfix/smtpd[7]: connect from a.example[192.0.2.1]\n", 1), (UNREADABLE, 0)],
    ids=("no message in it", "nothing readable"),
)
def test_a_mail_log_without_a_row_has_nothing_to_be_found_but_what_is_unreadable(
    text: str, wanted: int, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.write_text(text)
    status, out, err = read(capsys, log)
    assert (status, out) == (wanted, "")
    assert "does not look like" not in err


def test_lines_that_the_logger_threw_away_are_told(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = "Nov 23 08:03:00 mx2 systemd-journald[301]: Suppressed 412 messages from exim4.service\n"
    log.write_text(MAIL + lost)
    _, _, err = read(capsys, log)
    assert err.endswith("; the logger threw away 412 more lines\n")
    _, out, _ = read(capsys, "--explain", log)
    assert out.endswith("    ignored      suppressed  lines lost=412\n")


def test_what_can_not_be_read_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = read(capsys, tmp_path / "nowhere")
    assert status == 2
    assert "nowhere can't be read: No such file or directory" in err


def test_an_unknown_format_is_an_error_that_names_the_known_ones(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        read(capsys, "--format", "exim-of-tomorrow", log)
    err = capsys.readouterr().err
    assert all(name in err for name in FORMAT_NAMES)


def test_the_help_tells_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read(capsys, "--help")
    assert "Exit status: 0 if rows or unreadable lines" in capsys.readouterr().out


def test_an_entry_in_pieces_that_ends_with_its_file_is_unreadable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = "Nov 23 08:00:00 mx2 exim[7]: "
    first, second = tmp_path / "mail.log.1", tmp_path / "mail.log"
    first.write_text(f"{head}[1/2] 2026-11-23 08:00:00 1vwyDG-0003aB-1X => paul@far.exa\n")
    second.write_text(f"{head}[2/2] mple R=dnslookup T=remote_smtp H=mx.far.example [192.0.2.7]\n")
    status, out, err = read(capsys, first, second)
    assert (status, out) == (0, "")
    assert err.count("unreadable (an entry of which a piece is missing): ") == 2
    assert "2 lines = 0 events + 0 ignored + 2 unreadable; 0 rows" in err
