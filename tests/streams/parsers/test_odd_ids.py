"""A line about a message whose id its mail server could not have given is said, and never silent."""

from __future__ import annotations

import pytest
from postwatch.streams.parsers.events import Arrival, Ignored, Unreadable
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

HEAD = "Nov  3 17:27:12 mx2 "
SENT = (
    "to=<b@far.example>, relay=mx.far.example[192.0.2.1]:25, delay=2, delays=0/0/1/1, dsn=2.0.0, status=sent (250 Ok)"
)
STAT = "to=<b@far.example>, delay=00:00:01, mailer=esmtp, relay=mx.far.example. [192.0.2.1], dsn=2.0.0, stat=Sent (Ok)"
EXIM = "2026-11-03 17:27:12 "
ROUTED = "b@far.example R=dnslookup T=remote_smtp H=mx.far.example [192.0.2.7]"
EVPID = 'from=<a@b.example> to=<b@far.example> delay=2s result="Ok" stat="250 2.0.0 Ok"'


def parse(line: str) -> object:
    stamps = StampReader(find_zone("UTC", "test"), sent_ms=1_795_500_000_000)
    return make_parser("auto", stamps).parse(line)


@pytest.mark.parametrize(
    "line",
    [
        f"{HEAD}postfix/smtp[7]: 629E1C2C138XXXX: {SENT}",
        f"{HEAD}postfix/smtp[7]: 4a0000000b: {SENT}",
        f"{HEAD}postfix/local[7]: ABC: to=<b@far.example>, relay=local, delay=1, dsn=2.0.0, status=sent (x)",
        f"{HEAD}postfix/smtp[7]: {SENT}",
        f"{HEAD}postfix/qmgr[7]: ******: from=<a@b.example>, size=7, nrcpt=1 (queue active)",
        f"{HEAD}postfix/qmgr[7]: 629E1C2C138XXXX: removed",
        f"{HEAD}postfix/smtpd[7]: 629E1C2C138XXXX: client=app.example[192.0.2.3], sasl_username=a@b.example",
        f"{HEAD}sm-mta[7]: 6AN8?: {STAT}",
        f"{HEAD}sm-mta[7]: {STAT}",
        f"{HEAD}sendmail[7]: 6AN8-10W002013: from=<a@b.example>, size=7, class=0, nrcpts=1, relay=local",
        f"{EXIM}1vwyDI-0003aB => {ROUTED}",
        f"{EXIM}1vwyDI-0003aB-1X: ** {ROUTED}: SMTP error",
        f"{EXIM}xxxxxx-xxxxxx-xx-xx == {ROUTED} defer (111): Connection refused",
        f"{EXIM}=> anna <anna@b.example> R=local T=maildir",
        f"{EXIM}1vwyDI-0003aB <= a@b.example U=web P=local S=7",
        f"{EXIM}1vwyDI-0003aB Completed",
        f"{HEAD}exim[7]: 1vwyDI-0003aB => {ROUTED}",
        f"{HEAD}smtpd[7]: 5df87c9b mta delivery evpid=c405e301d6bbc64f {EVPID}",
        f"{HEAD}smtpd[7]: mta event=delivery evpid=c405e301d6bbc64f {EVPID}",
        f"{HEAD}smtpd[7]: relay: Ok for c405: session=1, from=<a@b.example>, to=<b@far.example>, delay=1s, stat=250 Ok",
    ],
)
def test_a_line_about_a_message_with_an_odd_id_is_a_dead_letter(line: str) -> None:
    assert isinstance(parse(line), Unreadable)


@pytest.mark.parametrize(
    "line",
    [
        f"{HEAD}postfix/smtpd[7]: warning: x: {SENT}",
        f"{HEAD}postfix/scache[7]: statistics: start interval Nov  3 17:24:12",
        f"{HEAD}postfix/smtp[7]: connect to mx.far.example[192.0.2.1]:25: Connection timed out",
        f"{HEAD}sm-mta[7]: STARTTLS=client, relay=mx.far.example., version=TLSv1.3, verify=OK",
        f"{EXIM}no host name found for IP address 192.0.2.7",
        f"{EXIM}SMTP connection from [192.0.2.7] closed by QUIT => x@y.example",
        f"{EXIM}exim 4.98 daemon started: pid=7, -q30m, listening for SMTP on port 25",
        f"{HEAD}smtpd[7]: info: OpenSMTPD 7.5.0 starting",
        f"{HEAD}dovecot[7]: lmtp(7): 629E1C2C138XXXX: {SENT}",
    ],
)
def test_other_lines_stay_of_no_interest(line: str) -> None:
    assert isinstance(parse(line), Ignored)


@pytest.mark.parametrize(
    ("words", "sender"),
    [
        ("from=app@web7.localdomain, size=270", "app@web7.localdomain"),
        ("from=app, size=270", "app"),
        ("from=app@web7.localdomain , size=270", "app@web7.localdomain"),
        ("from=<app@web7.localdomain >, size=270", "app@web7.localdomain"),
        ("from=<a b@web7.localdomain>, size=270", "a b@web7.localdomain"),
        ("from=<>, size=270", ""),
    ],
)
def test_senders_as_qmgr_writes_them(words: str, sender: str) -> None:
    stamps = StampReader(find_zone("UTC", "test"), sent_ms=1_795_500_000_000)
    parser = make_parser("auto", stamps)
    line = f"{HEAD}postfix/qmgr[7]: 4A1B2C3D4E: {words}, nrcpt=1 (queue active)"
    for _ in range(2):  # the second one may take the fast path
        found = parser.parse(line)
        assert isinstance(found, Arrival)
        assert (found.sender, found.size_bytes) == (sender, 270)
    forged = (
        f"{HEAD}postfix/qmgr[7]: 4A1B2C3D4E: from=x, size=1, nrcpt=1 (queue active), size=270, nrcpt=1 (queue active)"
    )
    assert isinstance(parser.parse(forged), Unreadable)
