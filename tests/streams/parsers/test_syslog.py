"""Heads of syslog lines, their years and their hours."""

from __future__ import annotations

import datetime
import json

import pytest
from postwatch.streams.parsers.events import Arrival, Attempt, Ignored, Refusal, Unreadable
from postwatch.streams.parsers.lines import decode_lines
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.syslog import HeaderReader
from postwatch.streams.parsers.timestamps import StampReader, find_zone

from tests.cpu import is_linear


def ms(text: str) -> int:
    return round(datetime.datetime.fromisoformat(text).timestamp() * 1000)


def stamps(zone: str = "UTC", sent: str = "2026-11-24T00:00:00+00:00") -> StampReader:
    reader = StampReader(find_zone(zone, "test"))
    reader.shipped(ms(sent))
    return reader


WORDS = "7F00AA: removed"
NOV_3 = "2026-11-03T17:27:12+00:00"


@pytest.mark.parametrize(
    ("line", "program", "time"),
    [
        (f"Nov  3 17:27:12 mx2 postfix/qmgr[77]: {WORDS}", "postfix/qmgr", NOV_3),
        (f"Nov 3 17:27:12 mx2 postfix/qmgr[77]: {WORDS}", "postfix/qmgr", NOV_3),
        (f"<22>Nov  3 17:27:12 mx2.example postfix/qmgr[77]: {WORDS}", "postfix/qmgr", NOV_3),
        (f"Nov  3 17:27:12 2001:db8::1 postfix-10.0.0.1/submission/smtpd[77]: {WORDS}",
         "postfix-10.0.0.1/submission/smtpd", NOV_3),
        (f"Nov 03 17:27:12 postfix/qmgr[77]: {WORDS}", "postfix/qmgr", NOV_3),
        (f"2026-11-03T18:27:12.712345+01:00 mx2 postfix/qmgr[77]: {WORDS}", "postfix/qmgr",
         "2026-11-03T17:27:12.712+00:00"),
        (f"2026-11-03T17:27:12Z mx2 postfix/qmgr[77] {WORDS}", "postfix/qmgr", NOV_3),
        (f"2026-11-03T18:27:12+01:00 [1:mx2:postfix/lmtp] {WORDS}", "postfix/lmtp", NOV_3),
        (f"<22>1 2026-11-03T17:27:12Z mx2 postfix/qmgr 77 - - {WORDS}", "postfix/qmgr", NOV_3),
        (f'<22>1 2026-11-03T17:27:12Z mx2 postfix/qmgr 77 ID1 [x@1 a="]\\""][y@2] {WORDS}', "postfix/qmgr", NOV_3),
        (f"2026-11-03T17:27:13.000000001Z Nov  3 17:27:12 mx2 postfix/qmgr[77]: {WORDS}", "postfix/qmgr", NOV_3),
        (f"\x1b[32mNov  3 17:27:12 mx2 postfix/qmgr[77]:\x1b[0m {WORDS}", "postfix/qmgr", NOV_3),
        (f"\ufeffNov  3 17:27:12 mx2 postfix/qmgr[77]: {WORDS}", "postfix/qmgr", NOV_3),
        (json.dumps({"__REALTIME_TIMESTAMP": "1793726832000000", "SYSLOG_IDENTIFIER": "postfix/qmgr", "_PID": "77",
                     "MESSAGE": WORDS}), "postfix/qmgr", NOV_3),
        (json.dumps({"__REALTIME_TIMESTAMP": "1793726832000000", "SYSLOG_IDENTIFIER": "postfix/qmgr",
                     "MESSAGE": list(WORDS.encode())}), "postfix/qmgr", NOV_3),
    ],
    ids=range(15),
)  # fmt: skip
def test_heads(line: str, program: str, time: str) -> None:
    header = HeaderReader(stamps()).read(line)
    assert header is not None
    assert (header.program, header.at) == (program, ms(time))
    assert header.text[header.start :].lstrip() == WORDS


DAEMONS = {
    "exim": "1vwyDI-0003aB-1X => b@far.example R=lookuphost T=remote_smtp H=m.far.example [198.51.100.7]",
    "exim4": "2026-11-03 17:27:12 1vwyDI-0003aB-1X => b@far.example R=lookuphost T=remote_smtp H=m.far.example [198.51.100.7]",
    "postfix/smtp": "7F00AA: to=<b@far.example>, relay=m.far.example[198.51.100.7]:25, delay=1, dsn=2.0.0, status=sent (250 Ok)",
    "postfix/smtpd": "NOQUEUE: reject: RCPT from a[192.0.2.1]: 550 5.1.1 no; from=<a@b.example> to=<b@far.example> proto=SMTP helo=<x>",
    "sm-mta": "6AN8010W002013: to=<b@far.example>, delay=00:00:01, mailer=esmtp, relay=m.far.example. [198.51.100.7], dsn=2.0.0, stat=Sent (Ok)",
    "smtpd": '5df87c9b982c8402 mta delivery evpid=c405e301d6bbc64f from=<a@b.example> to=<b@far.example> rcpt=<-> source="192.0.2.5" '
             'relay="198.51.100.7 (m.far.example)" delay=2s result="Ok" stat="250 2.0.0 Ok"',
}  # fmt: skip
"""Program → a line of it about b@far.example."""
RFC3164 = "Nov  3 17:27:12 mx2 {0}[77]: {1}"
WRAPPINGS = (
    RFC3164,
    RFC3164 + "\r",
    "\ufeff" + RFC3164,
    "<22>" + RFC3164,
    "Nov  3 17:27:12 2001:db8::1 {0}[77]: {1}",
    "Nov  3 17:27:12 {0}[77]: {1}",
    "Nov  3 17:27:12 <mail.info> mx2 {0}[77]: {1}",
    "Nov  3 17:27:12 mx2 mail.info {0}[77]: {1}",
    "Nov  3 17:27:12 mail.info mx2 {0}[77]: {1}",
    "Nov  3 17:27:12 mail.info {0}[77]: {1}",
    "Nov  3 17:27:12 mail.notice mail.info {0}[77]: {1}",
    "Nov  3 17:27:12 mx2 [mail.info] {0}[77]: {1}",
    "Nov  3 17:27:12 [mail.info] mx2 {0}[77]: {1}",
    "Nov  3 17:27:12 [mail.info] {0}[77]: {1}",
    "Nov  3 17:27:12 mx2 mail.info: {0}[77]: {1}",
    "Nov  3 17:27:12 mx2 mail:info {0}[77]: {1}",
    "Nov  3 17:27:12 mx2 (mail.info) {0}[77]: {1}",
    "Nov  3 17:27:12 src@mx2 {0}[77]: {1}",
    "Nov  3 17:27:12 relay/192.0.2.7/mx2 {0}[77]: {1}",
    "Nov  3 17:27:12 [{0}] {1}",
    "Nov  3 17:27:12.123456 mx2 {0}[77]: {1}",
    "Nov  3 2026 17:27:12 mx2 {0}[77]: {1}",
    "2026 Nov  3 17:27:12 mx2 {0}[77]: {1}",
    "Tue Nov  3 17:27:12 2026 mx2 {0}[77]: {1}",
    "Nov  3 17:27:12 2026 mx2 {0}[77]: {1}",
    "Tue 2026-11-03 17:27:12 UTC mx2 {0}[77]: {1}",
    "Tue 2026-11-03 18:27:12 CET mx2 {0}[77]: {1}",
    "Tue 2026-11-03 12:27:12 -05 mx2 {0}[77]: {1}",
    "2026-11-03 17:27:12 mx2 {0}[77]: {1}",
    "2026-11-03 17:27:12 {0}[77]: {1}",
    "2026-11-03 17:27:12 UTC mx2 {0}[77]: {1}",
    "2026-11-03 18:27:12.123+0100 mx2 {0}[77]: {1}",
    "2026-11-03 18:27:12,123 +01:00 mx2 {0}[77]: {1}",
    "2026-11-03 17:27:12 local0.info mx2 {0}[77]: {1}",
    "2026-11-03T09:27:12.705153-08:00 INFO    {0}[77]: {1}",
    "2026-11-03T17:27:12Z WARN {0}[77]: {1}",
    "2026-11-03 17:27:12 [info]  mx2 {0}[77]: {1}",
    "2026-11-03T17:27:12Z mx2 NOTICE  {0}[77]: {1}",
    "2026-11-03T17:27:12Z mx2 [mail.notice] {0}[77]: {1}",
    "2026-11-03T17:27:12Z mx2 mail|info {0}[77]: {1}",
    "2026-11-03T17:27:12Z level=info {0}[77]: {1}",
    "1793726832.123456 mx2 {0}[77]: {1}",
    "1 2026-11-03T17:27:12Z mx2 {0} 77 - - {1}",
    "Nov  3 17:27:12 mx2 {0}[77]: [ID 197553 mail.info] {1}",
    "2026-11-03T17:27:12.123456+00:00 mx2 {0}[77]: {1}",
    "2026-11-03T17:27:12Z mx2 {0}[77]: {1}",
    "2026-11-03T17:27:12+00:00 {0}[77]: {1}",
    "2026-11-03T17:27:12+00:00 [1:mx2:{0}] {1}",
    "<22>1 2026-11-03T17:27:12Z mx2 {0} 77 - - {1}",
    '<22>1 2026-11-03T17:27:12.5Z mx2 {0} 77 ID [x@1 a="]\\""] \ufeff{1}',
    "2026-11-03T17:27:13.000000001Z " + RFC3164,
    "2026-11-03T17:27:13.1Z 2026-11-03T17:27:12.123456+00:00 mx2 {0}[77]: {1}",
    "2026-11-03T17:27:13.000000001Z stdout F " + RFC3164,
    "2026-11-03T18:27:13.000000001+01:00 stdout F " + RFC3164,
    "mail_1  | " + RFC3164,
    "mail_postfix.1.x7k2@node-1    | " + RFC3164,
    "[pod/mail-0/postfix] " + RFC3164,
    "2026-11-03_17:27:12.12345 " + RFC3164,
    "2026-11-03T17:27:12.12345 mail.info: Nov  3 17:27:12 {0}[77]: {1}",
    "@4000000069087c1a0d6b2c84 " + RFC3164,
    "\x1b[36mmail_1  |\x1b[0m \x1b[32m" + RFC3164,
    "\x1b[32mNov  3 17:27:12\x1b[0m mx2 {0}[77]: {1}\x1b[0m",
)


def in_json(kind: str, program: str, words: str) -> str:
    if kind == "docker":
        record: dict[str, object] = {"log": RFC3164.format(program, words) + "\n", "stream": "stdout", "time": "x"}
    else:
        message = words if kind == "text" else list(words.encode())
        record = {"__REALTIME_TIMESTAMP": "1793726832000000", "SYSLOG_IDENTIFIER": program, "MESSAGE": message}
    return json.dumps(record, separators=(",", ":"))


@pytest.mark.parametrize("program", DAEMONS)
def test_every_daemon_is_read_behind_every_head(program: str) -> None:
    parser = make_parser("auto", stamps())
    lines = [wrapping.format(program, DAEMONS[program]) for wrapping in WRAPPINGS]
    lines += [in_json(kind, program, DAEMONS[program]) for kind in ("docker", "text", "bytes")]
    for whole in lines:
        [line] = decode_lines(f"{whole}\n".encode())
        found = parser.parse(line)
        assert isinstance(found, Attempt | Refusal), (line, found)
        assert found.recipient == "b@far.example", line
        assert 0 <= found.at - ms(NOV_3) < 1000, line


@pytest.mark.parametrize("program", DAEMONS)
def test_what_syslog_counts_as_a_repetition_tells_nothing_new(program: str) -> None:
    parser = make_parser("auto", stamps())
    for words in (f"message repeated 2 times: [ {DAEMONS[program]}]", "last message repeated 2 times"):
        assert parser.parse(RFC3164.format(program, words)) == Ignored("repeated")
    assert parser.parse("Nov  3 17:27:12 mx2 last message repeated 2 times") == Ignored("repeated")


@pytest.mark.parametrize("program", DAEMONS)
@pytest.mark.parametrize("head", ["Nov  3 17:27:12", "2026-11-03T17:27:12Z", "<22>1 2026-11-03T17:27:12Z mx2"])
def test_what_another_program_says_is_no_daemons_word(program: str, head: str) -> None:
    """Where the host is left out of the head, too, nothing of the message is taken for the program's name."""
    parser = make_parser("auto", stamps())
    for tag in ("rsyncd[77]: ", "dovecot: ", "mx2 dovecot[77]: "):
        if head[0] == "<":
            tag = "rsyncd 77 - - "
        for words in (f"{program}[7]: {DAEMONS[program]}", RFC3164.format(program, DAEMONS[program])):
            found = parser.parse(f"{head} {tag}{words}")
            assert found in (Ignored("other-program"), Ignored("wrapped")), found


FORGED = (
    "2026-11-03 17:27:12 {0}: ",
    "2026-11-03 17:27:12 mx2 {0}[77]: ",
    "2026-11-03T17:27:12Z INFO    {0}[77]: ",
    "Tue 2026-11-03 17:27:12 UTC mx2 {0}[77]: ",
    "Nov  3 17:27:12.123456 mail.info mx2 {0}[77]: ",
    "1793726832.123456 mx2 {0}[77]: ",
    "[  123.456789] mx2 {0}[77]: ",
    "Nov  3 17:27:12 [{0}] ",
    "Nov  3 17:27:12 mx2 [mail.info] {0}[77]: ",
    "2026-11-03T17:27:12.12345 mail.info: Nov  3 17:27:12 {0}[77]: ",
    "[pod/mail-0/x] Nov  3 17:27:12 mx2 {0}: ",
)
"""A head with a program that is no mail server's; its message is a stranger's."""


@pytest.mark.parametrize("program", DAEMONS)
@pytest.mark.parametrize("head", FORGED)
def test_a_message_that_imitates_a_head_changes_no_program(program: str, head: str) -> None:
    parser = make_parser("auto", stamps())
    for wrapping in WRAPPINGS:
        found = parser.parse(head.format("rsyncd") + wrapping.format(program, DAEMONS[program]))
        assert isinstance(found, Ignored), (wrapping, found)


@pytest.mark.parametrize(
    "words",
    [
        "INFO exim[7]: 1vwyDI-0003aB-1X => b@far.example R=x T=smtp",
        "2026-11-03 17:27:12 mx2 postfix/smtp[7]: 7F00AA: to=<b@far.example>, relay=none, delay=1, dsn=4.0.0, status=deferred (x)",
        "mail.info mx2 exim[7]: 1vwyDI-0003aB-1X Completed",
    ],
)  # fmt: skip
def test_a_subject_that_imitates_a_head_is_a_subject(words: str) -> None:
    parser = make_parser("auto", stamps())
    for head in ("2026-11-03 17:27:12 ", "2026-11-03 17:27:12 mx2 exim[77]: ", "2026-11-03 17:27:12 INFO   exim[77]: "):
        found = parser.parse(f'{head}1vwyDI-0003aB-1X <= anna@bakery.example U=web7 P=local S=7 T="{words}"')
        assert isinstance(found, Arrival)
        assert (found.subject, found.system_user, found.at) == (words, "web7", ms(NOV_3))


def test_words_of_exim_without_a_queue_id_stay_exims() -> None:
    parser = make_parser("auto", stamps())
    for words in ("exim 4.98 daemon started: pid=77, -q30m, listening", "no host name found for IP address 192.0.2.7"):
        assert parser.parse(f"2026-11-03 17:27:12 {words}") == Ignored("other")
    alone = make_parser("exim-main", stamps())
    assert alone.parse("2026-11-03 17:27:12 mx2 postfix/smtp[7]: x") == Ignored("other")


@pytest.mark.parametrize("program", DAEMONS)
@pytest.mark.parametrize(
    "stamp",
    ["[  123.456789]", "[1234567.456789]", "[  123.456789 <    0.000123 >]", "[    0.456789                ]"],
)
def test_a_stamp_without_a_date_is_said(program: str, stamp: str) -> None:
    parser = make_parser("auto", stamps())
    found = parser.parse(f"{stamp} mx2 {program}[77]: {DAEMONS[program]}")
    assert found == Unreadable("a stamp without a date: use `journalctl -o short-iso`")
    assert parser.parse(f"{stamp} mx2 rsyncd[77]: {DAEMONS[program]}") == Ignored("other-program")
    assert parser.parse("[    0.000000] Linux version 6.1.0") == Ignored("no-stamp")


def test_a_unit_in_place_of_a_program() -> None:
    parser = make_parser("auto", stamps())
    head = "Tue 2026-11-03 17:27:12 UTC mx2"
    found = parser.parse(f"{head} exim4.service[77]: {DAEMONS['exim']}")
    assert isinstance(found, Attempt)
    found = parser.parse(f"{head} opensmtpd.service[77]: {DAEMONS['smtpd']}")
    assert isinstance(found, Attempt)
    found = parser.parse(f"{head} postfix@-.service[77]: {DAEMONS['postfix/smtp']}")
    assert found == Unreadable("the name of a unit in place of the program's: use `journalctl -o short-iso`")
    assert parser.parse(f"{head} rsyncd.service[77]: x") == Ignored("other-program")


LEFT_OUT = Unreadable("a text that journalctl left out: use `journalctl --all`")


@pytest.mark.parametrize("program", DAEMONS)
@pytest.mark.parametrize(
    "head", ["Nov  3 17:27:12 mx2 {0}[77]: ", "2026-11-03T17:27:12+0000 mx2 {0}[77]: ", "Tue 2026-11-03 17:27:12 UTC mx2 {0}[77]: "]
)  # fmt: skip
def test_a_text_that_journalctl_left_out_is_said(program: str, head: str) -> None:
    """Of bytes that it can't print, a stranger's perhaps: the line may be a delivery."""
    parser = make_parser("auto", stamps())
    for size in ("59B", "1.2K"):
        line = head.format(program) + f"[{size} blob data]"
        assert parser.parse(line) == LEFT_OUT
        assert parser.parse(line + " of a stranger") != LEFT_OUT
    assert parser.parse(head.format("rsyncd") + "[59B blob data]") == Ignored("other-program")


@pytest.mark.parametrize("program", DAEMONS)
def test_a_text_that_is_too_long_for_the_journal_s_json_is_said(program: str) -> None:
    parser = make_parser("auto", stamps())
    record = in_json("text", program, "x").replace('"MESSAGE":"x"', '"MESSAGE":null')
    assert parser.parse(record) == LEFT_OUT
    assert parser.parse(record.replace(program, "rsyncd")) == Ignored("other-program")


@pytest.mark.parametrize("kind", ["json-seq", "json-sse"])
def test_records_of_the_journal_with_a_mark_in_front(kind: str) -> None:
    mark = {"json-seq": "\x1e", "json-sse": "data: "}[kind]
    found = make_parser("auto", stamps()).parse(mark + in_json("text", "postfix/smtp", DAEMONS["postfix/smtp"]))
    assert isinstance(found, Attempt)


INNER = (
    "{0}[77]: {1}",
    "Nov  3 09:27:12 mx2 {0}[77]: {1}",
    "2026-11-03T16:27:12+00:00 mx2 {0}[77]: {1}",
    "2026-11-03T09:27:12Z INFO    {0}[77]: {1}",
)


@pytest.mark.parametrize("program", DAEMONS)
@pytest.mark.parametrize("tag", ["mailcow-postfix[9]: ", "docker/mail/1a2b3c[9]: ", "1a2b3c4d5e6f[9]: "])
@pytest.mark.parametrize("inner", INNER)
def test_a_program_that_passes_lines_on(program: str, tag: str, inner: str) -> None:
    """The outer stamp counts: the container may be of another zone."""
    line = f"Nov  3 17:27:12 dockerhost {tag}" + inner.format(program, DAEMONS[program])
    assert make_parser("auto", stamps()).parse(line) == Ignored("wrapped")
    parser = make_parser("auto", stamps(), ("mailcow-*", "docker/*", "1a2b3c4d5e6f"))
    found = parser.parse(line)
    assert isinstance(found, Attempt | Refusal)
    assert (found.recipient, found.at) == ("b@far.example", ms(NOV_3))
    other = parser.parse(line.replace(tag, "rsyncd[9]: "))
    assert other == Ignored("wrapped")
    twice = f"Nov  3 17:27:12 dockerhost {tag}Nov  3 17:27:12 mx2 {tag}" + inner.format(program, DAEMONS[program])
    assert parser.parse(twice) == Ignored("wrapped")


def test_a_container_whose_exim_writes_its_own_stamp() -> None:
    parser = make_parser("auto", stamps(), ("mail",))
    found = parser.parse(f"Nov  3 17:27:12 dockerhost mail[9]: 2026-11-03 17:27:12 {DAEMONS['exim']}")
    assert isinstance(found, Attempt)


@pytest.mark.parametrize(
    "line",
    ["", "removed", "021-02-06T10:57:57+01:00 mx postfix/smtpd[1]: x", "Feb 30 00:00:00 mx postfix/qmgr[1]: x",
     "Foo  3 17:27:12 mx postfix/qmgr[1]: x", "Nov  3 25:27:12 mx postfix/qmgr[1]: x", "{", '{"MESSAGE": 7}'],
)  # fmt: skip
def test_what_has_no_head(line: str) -> None:
    assert HeaderReader(stamps()).read(line) is None


@pytest.mark.parametrize(
    ("stamp", "sent", "time"),
    [
        ("Dec 31 23:59:59", "2027-01-01T00:00:02+00:00", "2026-12-31T23:59:59+00:00"),
        ("Jan  1 00:00:01", "2026-12-31T23:59:58+00:00", "2027-01-01T00:00:01+00:00"),
        ("Nov 25 12:00:00", "2026-11-23T12:00:00+00:00", "2025-11-25T12:00:00+00:00"),
        ("Feb 29 12:00:00", "2027-01-10T12:00:00+00:00", "2024-02-29T12:00:00+00:00"),
    ],
)
def test_the_year_is_never_in_the_future(stamp: str, sent: str, time: str) -> None:
    assert stamps(sent=sent).read_without_year(stamp) == ms(time)


@pytest.mark.parametrize("second", ["1969-12-31 23:59:59", "2200-01-01 00:00:00", "2026-13-01 00:00:00"])
def test_times_that_no_row_can_have(second: str) -> None:
    with pytest.raises(ValueError, match=r"time|month"):
        stamps().read(second, None, None)


def test_the_repeated_hour_of_autumn() -> None:
    """In Berlin 02:30 comes twice on 25 October 2026; shipped just after the second, it is that."""
    reader = stamps("Europe/Berlin", "2026-10-25T00:30:02+00:00")
    assert reader.read_without_year("Oct 25 02:30:00") == ms("2026-10-25T00:30:00+00:00")
    reader.shipped(ms("2026-10-25T01:30:02+00:00"))
    assert reader.read_without_year("Oct 25 02:30:00") == ms("2026-10-25T01:30:00+00:00")
    reader.shipped(ms("2026-10-26T12:00:00+00:00"))
    assert reader.read_without_year("Oct 25 02:30:00") == ms("2026-10-25T00:30:00+00:00")


def test_a_line_that_comes_late_decides_nothing_for_another_servers_repeated_hour() -> None:
    reader = stamps("Europe/Berlin", "2026-10-25T01:05:00+00:00")
    assert reader.read_without_year("Oct 25 02:30:00") == ms("2026-10-25T00:30:00+00:00")
    reader.shipped(ms("2026-10-25T01:30:02+00:00"))
    assert reader.read_without_year("Oct 25 02:30:00") == ms("2026-10-25T01:30:00+00:00")


def test_each_line_is_read_as_what_its_head_says() -> None:
    parser = make_parser("auto", stamps())
    exim = "2026-03-02 08:01:12 1vwyDI-0003aB-1X => b@far.example R=lookuphost T=remote_smtp H=m.far.example [198.51.100.7]"
    assert isinstance(parser.parse(exim), Attempt)
    assert isinstance(parser.parse(f"Nov  3 17:27:12 mx2 exim[77]: {exim}"), Attempt)
    assert isinstance(parser.parse(f"Nov  3 17:27:12 mx2 exim[77]: {exim[20:]}"), Attempt)
    assert isinstance(
        parser.parse("Nov  3 17:27:12 mx2 postfix/cleanup[77]: 7F00AA: message-id=<a@b.example>\r"), Arrival
    )
    refused = (
        "NOQUEUE: reject: RCPT from a[192.0.2.1]: 550 5.1.1 no; from=<a@b.example> to=<c@d.example> proto=SMTP helo=<x>"
    )
    assert isinstance(parser.parse(f"Nov  3 17:27:12 mx2 postfix/smtpd[77]: {refused}"), Refusal)
    assert parser.parse(f"Nov  3 17:27:12 mx2 postfix/smtpd[77]: message repeated 2 times: [ {refused}]") == Ignored(
        "repeated"
    )
    assert parser.parse("Nov  3 17:27:12 mx2 rsyncd: lmtp(7): x") == Ignored("other-program")
    assert parser.parse("any words") == Ignored("no-stamp")
    cut = "021-02-06T10:57:57+01:00 mx postfix/smtpd[1]: 7F00AA: client=a[192.0.2.1]"
    assert parser.parse(cut) == Unreadable("a stamp that makes no sense")
    assert parser.parse("Feb 30 10:57:57 mx postfix/qmgr[1]: 7F00AA: removed") == Unreadable(
        "a stamp that makes no sense"
    )


def test_line_ends_of_windows() -> None:
    assert decode_lines(b"one\r\ntwo\r\n") == ["one", "two"]
    assert decode_lines(b"a \r b\n") == ["a \r b"]


def test_a_named_format_reads_no_other() -> None:
    line = "Nov  3 17:27:12 mx2 postfix/cleanup[77]: 7F00AA: message-id=<a@b.example>"
    assert isinstance(make_parser("postfix", stamps()).parse(line), Arrival)
    assert make_parser("exim-syslog", stamps()).parse(line) == Ignored("other-program")
    assert make_parser("exim-main", stamps()).parse(line) == Ignored("no-stamp")


def test_bytes_that_are_no_text_are_kept_as_escapes() -> None:
    [line] = decode_lines(b'2026-03-02 08:01:12 1vwyDI-0003aB-1X <= a\xff@b.example U=u P=local S=7 T="caf\xe9"\n')
    found = make_parser("auto", stamps()).parse(line)
    assert isinstance(found, Arrival)
    assert (found.sender, found.subject) == (r"a\xff@b.example", r"caf\xe9")


@pytest.mark.parametrize(
    "worst",
    [
        "Nov  3 17:27:12 " + "a" * 64_000,
        "Nov  3 17:27:12 mx2 " + "a" * 64_000,
        "Nov  3 17:27:12 mx2 a: " + "[ID 1 " * 10_000,
        "Nov  3 17:27:12 mx2 exim[77]: " + "[1\\2] " * 10_000,
        "2026-11-03T17:27:12Z " + ":" * 64_000,
        "2026-11-03T17:27:13.1Z " * 2_800,
        "<22>1 2026-11-03T17:27:12Z mx2 exim 77 ID " + "[x@1 a=\"" * 7_000,
        "<22>1 2026-11-03T17:27:12Z mx2 exim 77 ID [" + "\\" * 64_000,
        "a | " * 16_000,
        "a" + " " * 64_000,
        "\x1b[31m" * 12_000,
        "\ufeff" * 20_000,
        '{"log":"' + '{\\"log\\":\\"' * 4_000 + '"}',
        '{"__REALTIME_TIMESTAMP":"1793726832000000","SYSLOG_IDENTIFIER":"exim","MESSAGE":[' + "49," * 20_000 + "49]}",
    ],
    ids=range(14),
)  # fmt: skip
def test_the_worst_head_costs_little(worst: str) -> None:
    parser = make_parser("auto", stamps())
    assert is_linear(parser.parse, worst[: 64 * 1024])
