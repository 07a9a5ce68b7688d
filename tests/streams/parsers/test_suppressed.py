"""Lines that the logger threw away are counted where the logger itself says so, and nowhere else."""

from __future__ import annotations

import pytest
from postwatch.streams.parsers.events import Ignored
from postwatch.streams.parsers.lines import LineCounts, LineTally, parse_lines
from postwatch.streams.parsers.registry import FORMATS, make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

HEAD = "Nov 23 08:03:00 mx2"
LIMITED = "lost due to rate-limiting"


def lost_lines(*lines: str, log_format: str = "auto") -> int:
    counts = LineCounts()
    stamps = StampReader(find_zone("UTC", "test"), sent_ms=1_795_500_000_000)
    parsed = parse_lines(make_parser(log_format, stamps), lines, counts)
    assert parsed.unreadable == []
    assert counts.lines == counts.events + counts.ignored.total()
    return counts.suppressed_lines


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("systemd-journald[301]: Suppressed 412 messages from postfix.service", 412),
        ("systemd-journald[301]: Suppressed 1 messages from /system.slice/exim4.service", 1),
        ("systemd-journal[301]: Suppressed 10 messages from /user.slice/user-1000.slice", 10),
        ("journal: Suppressed 7 messages from /system.slice/postfix.service", 7),
        ("rsyslogd-2177: imuxsock lost 516 messages from pid 159386 due to rate-limiting", 516),
        ("rsyslogd: imuxsock lost 432 messages from pid 9832 due to rate-limiting", 432),
        (f"rsyslogd: imjournal: 84667 messages {LIMITED}", 84667),
        (f"rsyslogd[3336]: imjournal: 63528 messages {LIMITED} (20000 allowed within 600 seconds)", 63528),
        (f"rsyslogd: imuxsock[pid: 811, name: postfix/smtpd]: 9 messages {LIMITED} [v8.2102.0 try x ]", 9),
        (f"rsyslogd[801]: imuxsock: 12 messages from pid 811 {LIMITED}", 12),
        ("rsyslogd: imjournal: begin to drop messages due to rate-limiting", 0),
        ("rsyslogd-2177: imuxsock begins to drop messages from pid 159386 due to rate-limiting", 0),
        ("systemd-journald[301]: Suppressed 99999999999999 messages from x.service", 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("log_format", ["auto", *(each.name for each in FORMATS if each.programs)])
def test_the_loggers_tell_how_many_lines_are_lost(words: str, count: int, log_format: str) -> None:
    assert lost_lines(f"{HEAD} {words}", log_format=log_format) == count


def test_the_journals_own_records_tell_too() -> None:
    assert lost_lines(
        '{"__REALTIME_TIMESTAMP":"1793726832000000","SYSLOG_IDENTIFIER":"systemd-journald",'
        '"MESSAGE":"Suppressed 5 messages from postfix.service"}'
    ) == 5  # fmt: skip


@pytest.mark.parametrize(
    "words",
    ["Suppressed 412 messages from postfix.service", f"imjournal: 84667 messages {LIMITED}",
     "systemd-journald[301]: Suppressed 412 messages from postfix.service"],
)  # fmt: skip
def test_a_stranger_and_another_program_lose_no_lines(words: str) -> None:
    assert lost_lines(
        f"{HEAD} postfix/smtpd[7]: {words}",
        f"{HEAD} postfix/cleanup[7]: 7F00AA: warning: header Subject: {words} from local; from=<a@b.example>",
        f"{HEAD} dovecot: {words}",
        f"{HEAD} exim[7]: {words}",
        f"2026-11-23 08:03:00 1xVOz8-0003aB-1X <= a@b.example U=web7 P=local S=7 T=\"{words}\"",
        f"{HEAD} systemd-journald[301]: a word, and Suppressed 412 messages from postfix.service",
        f"{HEAD} rsyslogd: action 'x' said: imjournal: 7 messages {LIMITED}",
        words,
    ) == 0  # fmt: skip


def test_the_line_itself_is_of_no_interest() -> None:
    stamps = StampReader(find_zone("UTC", "test"), sent_ms=1_795_500_000_000)
    line = f"{HEAD} systemd-journald[301]: Suppressed 412 messages from postfix.service"
    assert make_parser("auto", stamps).parse(line) == Ignored("suppressed", 412)


def test_lost_lines_add_up() -> None:
    tally = LineTally()
    for name in ("auto", "postfix"):
        tally.of("mx2", name).suppressed_lines += 5
    assert tally.total().suppressed_lines == 10
