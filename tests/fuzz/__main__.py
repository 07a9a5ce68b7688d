"""`make fuzz SECONDS=1800`: coverage-guided lines through every parser and the joiner, until something raises.

A line may be anything at all. Whatever it is, parsing and joining must not raise nor take more than 50 ms, and each
line must be counted once.
"""

from __future__ import annotations

import sys
import time

import atheris  # installed by `make fuzz` alone

with atheris.instrument_imports(include=["postwatch.streams"]):
    from postwatch.streams.enrichment.accounts import AccountBook
    from postwatch.streams.joining.joiner import Joiner
    from postwatch.streams.parsers.lines import LineCounts, decode_lines, parse_lines
    from postwatch.streams.parsers.log_format import LineParser
    from postwatch.streams.parsers.registry import make_parser
    from postwatch.streams.parsers.timestamps import StampReader, find_zone

MOST_SECONDS = 0.05
SENT_MS = 1_796_000_000_000
HEADS = (
    b"",
    b"2026-11-23 08:00:00 1vwyDI-0003aB-1X ",
    b"Nov 23 08:00:00 mx7 postfix/smtp[7]: 7F00AA: to=<",
    b"Nov 23 08:00:00 mx7 postfix/smtpd[7]: NOQUEUE: reject: RCPT from ",
    b"Nov 23 08:00:00 mx7 postfix/cleanup[7]: 7F00AA: ",
    b"Nov 23 08:00:00 mx7 postfix/qmgr[7]: 7F00AA: from=<",
    b"2026-11-23T08:00:00+00:00 mx7 exim[7]: ",
    b"Nov 23 08:00:00 mx7 sm-mta[7]: 6AN8010W002013: to=<",
    b"Nov 23 08:00:00 mx7 sm-mta[7]: 6AN8010W002013: from=<a@b.example>, size=12, class=0, nrcpts=1",
    b"Nov 23 08:00:00 mx7 sm-mta[7]: 6AN8010W002013: ruleset=check_rcpt, arg1=<",
    b"<22>1 2026-11-23T08:00:00Z mx7 ",
    b"Nov 23 08:00:00 mx7 smtpd[7]: 5df87c903d709601 smtp ",
    b"Nov 23 08:00:00 mx7 smtpd[7]: 5df87c903d709601 mta delivery evpid=c405e301d6bbc64f from=<",
    b"Nov 23 08:00:00 mx7 postfix/smtpd[7]: 7F00AA: client=",
    b"Nov 23 08:00:00 mx7 postfix/cleanup[7]: 7F00AA: reject: header Subject: ",
    b"Nov 23 08:00:00 mx7 postfix/smtpd[7]: proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok: queued as 7F00AA; from=<",
    b"Nov 23 08:00:00 mx7 postfix/smtpd[7]: NOQUEUE: client=",
    b"Nov 23 08:00:00 mx7 sm-mta[7]: AUTH=server, relay=",
    b"Nov 23 08:00:00 mx7 nullmailer-send[7]: From: <",
    b"2026-11-23T08:00:00.123Z [NOTICE] [086D80CD-4FAD-4BD7-AC47-9920D7867D7E.1] [core] recipient <",
    b"2026-11-23T08:00:00.123Z level=NOTICE uuid=086D80CD-4FAD-4BD7-AC47-9920D7867D7E.1.1 origin=outbound message=",
    b'2026-11-23T08:00:00.123Z {"level":"NOTICE","uuid":"086D80CD-4FAD-4BD7-AC47-9920D7867D7E.1.1","origin":"core",',
    b"Nov 23 08:00:00 mx7 nullmailer-send[7]: Starting delivery: host: x protocol: smtp file: 1795420002.7",
    b"2026-11-23 08:00:00 H=(",
    b"2026-11-23T08:00:01.1Z Nov 23 08:00:00 mx7 ",
    b'{"log":"Nov 23 08:00:00 mx7 postfix/smtp[7]: 7F00AA: to=<a@b.example>, ',
    b'{"__REALTIME_TIMESTAMP":"1795420800000000","SYSLOG_IDENTIFIER":"exim","MESSAGE":"',
    b"mail_1  | ",
    b"{",
    b'{"type":"Delivery","id":"e22a1681e71311f19f42020000000001","timestamp":1795420801,"',
)


def _parser() -> LineParser:
    stamps = StampReader(find_zone("UTC", "fuzz"))
    stamps.shipped(SENT_MS)
    return make_parser("auto", stamps)


PARSER = _parser()


def try_lines(value: bytes) -> None:
    if not value:
        return
    head = HEADS[value[0] % len(HEADS)]
    lines = decode_lines(head + value[1:])
    start = time.process_time()
    joiner = Joiner(AccountBook(None))
    counts = LineCounts()
    parsed = parse_lines(PARSER, lines, counts)
    assert all(line.error is None for line in parsed.unreadable), parsed.unreadable
    joiner.add("fuzz.example", parsed.events)
    joiner.take_dirty()
    for message in joiner.open_messages():
        joiner.pending_rows(message)
    took = time.process_time() - start
    assert counts.lines == counts.events + counts.ignored.total() + counts.unreadable.total()
    if took > MOST_SECONDS * max(len(lines), 1):
        raise AssertionError(f"{took * 1000:.0f} ms for {len(lines)} lines")


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_lines)
    atheris.Fuzz()
