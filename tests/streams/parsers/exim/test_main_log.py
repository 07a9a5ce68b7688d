"""Exim's main log: every flag and every log_selector, in lines of our own."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postwatch.producers.record import CUT_MARK
from postwatch.streams.parsers.events import (
    Arrival,
    Attempt,
    Event,
    Ignored,
    LifecycleEvent,
    Parsed,
    Refusal,
    Step,
    Unreadable,
)
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

SHORT, LONG = "1vwyE4-0003aC-2Y", "1vyRLk-000000014EG-3KpW"
STAMP = "2026-03-02 08:02:00"


def parse(line: str) -> Parsed:
    return make_parser("exim-main", StampReader(find_zone("UTC", "test"))).parse(line)


def parse_entry(entry: str, queue_id: str = SHORT) -> Parsed:
    return parse(f"{STAMP} {queue_id} {entry}")


def told(parsed: Parsed) -> dict[str, object]:
    """What an event says beyond where and when."""
    assert isinstance(parsed, Arrival | Attempt | LifecycleEvent | Refusal), parsed
    fields = msgspec.structs.asdict(parsed)
    return {name: value for name, value in fields.items() if value and name not in ("queue_id", "at", "line")}


FULL = {
    "sender": "anna@bakery.example",
    "client_host": "laptop.home.example",
    "client_ip": "198.51.100.7",
    "auth_method": "dovecot_login",
    "authenticated_as": "anna@bakery.example",
    "size_bytes": 2210,
    "message_id": "order-17@bakery.example",
}
_SIMPLE = "anna@bakery.example H=laptop.home.example (laptop) [198.51.100.7]"
_LOGIN = "A=dovecot_login:anna@bakery.example"
_REST = "S=2210 id=order-17@bakery.example"
ARRIVALS = {
    "default": f"{_SIMPLE} P=esmtpa {_LOGIN} {_REST}",
    "incoming_port": f"{_SIMPLE}:50122 P=esmtpa {_LOGIN} {_REST}",
    "incoming_interface": f"{_SIMPLE}:50122 I=[192.0.2.10]:587 P=esmtpa {_LOGIN} {_REST}",
    "dnssec": f"{_SIMPLE} DS P=esmtpa {_LOGIN} {_REST}",
    "connection_id": f"{_SIMPLE} Ci=4711 P=esmtpa {_LOGIN} {_REST}",
    "pipelining": f"{_SIMPLE} P=esmtpa L {_LOGIN} {_REST}",
    "pipelining not used": f"{_SIMPLE} P=esmtpa L- {_LOGIN} {_REST}",
    "pipelining early": f"{_SIMPLE} P=esmtpa L* {_LOGIN} {_REST}",
    "pipelining advertised early, not used": f"{_SIMPLE} P=esmtpa L.- {_LOGIN} {_REST}",
    "pipelining early, then not": f"{_SIMPLE} P=esmtpa L*- {_LOGIN} {_REST}",
    "pipelining advertised early": f"{_SIMPLE} P=esmtpa L. {_LOGIN} {_REST}",
    "tls_cipher": f"{_SIMPLE} P=esmtpsa X=TLS1.3:TLS_AES_256_GCM_SHA384:256 {_LOGIN} {_REST}",
    "tls_certificate_verified": f"{_SIMPLE} P=esmtpsa X=TLS1.2:AES:256 CV=no {_LOGIN} {_REST}",
    "tls_peerdn": f'{_SIMPLE} P=esmtpsa X=TLS1.2:AES:256 CV=yes DN="C=DE,O=A \\"B\\",CN=x" {_LOGIN} {_REST}',
    "tls_sni": f'{_SIMPLE} P=esmtpsa X=TLS1.2:AES:256 CV=no SNI="mail.bakery.example" {_LOGIN} {_REST}',
    "tls_sni without quotes": f"{_SIMPLE} P=esmtpsa X=TLS1.2:AES:256 CV=no SNI=mail.bakery.example {_LOGIN} {_REST}",
    "smtp_mailauth": f"{_SIMPLE} P=esmtpa {_LOGIN}:other@bakery.example {_REST}",
    "proxy": f"{_SIMPLE} P=esmtpa {_LOGIN} PRX=203.0.113.250 {_REST}",
    "chunking": f"{_SIMPLE} P=esmtpa {_LOGIN} K {_REST}",
    "PRDR": f"{_SIMPLE} P=esmtpa {_LOGIN} PRDR {_REST}",
    "SPF": f"{_SIMPLE} P=esmtpa {_LOGIN} SPF=pass {_REST}",
    "8bitmime": f"{_SIMPLE} P=esmtpa {_LOGIN} S=2210 M8S=8 id=order-17@bakery.example",
    "DKIM": f"{_SIMPLE} P=esmtpa {_LOGIN} S=2210 DKIM=bakery.example id=order-17@bakery.example",
    "ARC and DMARC": f"{_SIMPLE} P=esmtpa {_LOGIN} S=2210 ARC DMARC=accept id=order-17@bakery.example",
    "receive_time": f"{_SIMPLE} P=esmtpa {_LOGIN} S=2210 RT=0.250s id=order-17@bakery.example",
    "named queue": f"{_SIMPLE} P=esmtpa {_LOGIN} S=2210 Q=slow id=order-17@bakery.example",
    "msg_id_created": f"{_SIMPLE} P=esmtpa {_LOGIN} S=2210 id*=order-17@bakery.example",
    "received_sender": f"{_SIMPLE} P=esmtpa {_LOGIN} {_REST} from <anna@bakery.example>",
    "all": f'{_SIMPLE}:50122 DS I=[192.0.2.10]:587 Ci=9 P=esmtpsa L X=TLS1.3:AES:128 CV=no DN="CN=a" '
    f'SNI="m.example" {_LOGIN} PRX=203.0.113.250 K S=2210 M8S=0 RT=1s Q=slow id=order-17@bakery.example '
    "from <anna@bakery.example>",
}


@pytest.mark.parametrize("selector", ARRIVALS)
@pytest.mark.parametrize("queue_id", [SHORT, LONG])
def test_an_arrival_is_the_same_with_every_selector(selector: str, queue_id: str) -> None:
    assert told(parse_entry(f"<= {ARRIVALS[selector]}", queue_id)) == FULL


@pytest.mark.parametrize("selector", ARRIVALS)
def test_subject_and_recipients_follow_every_selector(selector: str) -> None:
    tail = "" if "from <" in ARRIVALS[selector] else " from <anna@bakery.example>"
    entry = ARRIVALS[selector].replace(" from <", ' T="Your order \\303\\274 \\"17\\"" from <')
    if tail:
        entry = f'{ARRIVALS[selector]} T="Your order \\303\\274 \\"17\\""'
    found = told(parse_entry(f"<= {entry} for Paul@customer.example x@y.example"))
    recipients = ("paul@customer.example", "x@y.example")
    assert found == {**FULL, "subject": 'Your order ü "17"', "recipients": recipients}


DELIVERED = {
    "status": "delivered",
    "is_attempt": True,
    "recipient": "paul@customer.example",
    "smtp_code": 250,
    "enhanced_code": "2.0.0",
    "response": "250 2.0.0 Ok: queued as 4Qx1Z2abc",
    "remote_host": "mx1.customer.example",
    "remote_ip": "203.0.113.5",
    "router": "dnslookup",
    "transport": "remote_smtp",
    "next_queue_id": "4Qx1Z2abc",
}
_TO = "paul@customer.example"
_BY = "R=dnslookup T=remote_smtp"
_HOST = "H=mx1.customer.example [203.0.113.5]"
_ANSWER = 'C="250 2.0.0 Ok: queued as 4Qx1Z2abc"'
DELIVERIES = {
    "default": f"=> {_TO} {_BY} {_HOST} {_ANSWER}",
    "second recipient": f"-> {_TO} {_BY} {_HOST} {_ANSWER}",
    "cutthrough": f">> {_TO} {_BY} {_HOST} {_ANSWER}",
    "sender_on_delivery": f"=> {_TO} F=<anna@bakery.example> {_BY} {_HOST} {_ANSWER}",
    "return_path_on_delivery": f"=> {_TO} F=<a@b> P=<a+x@b> {_BY} {_HOST} {_ANSWER}",
    "named queue": f"=> {_TO} Q=slow {_BY} {_HOST} {_ANSWER}",
    "SRS": f"=> {_TO} SRS=<SRS0=abc=de=x.example=a@b> {_BY} {_HOST} {_ANSWER}",
    "delivery_size": f"=> {_TO} {_BY} S=812 {_HOST} {_ANSWER}",
    "outgoing_port": f"=> {_TO} {_BY} {_HOST}:25 {_ANSWER}",
    "outgoing_interface": f"=> {_TO} {_BY} {_HOST}:25 I=[192.0.2.10]:49152 {_ANSWER}",
    "dnssec": f"=> {_TO} {_BY} H=mx1.customer.example DS [203.0.113.5] {_ANSWER}",
    "kept connection": f"=> {_TO} {_BY} {_HOST}* {_ANSWER}",
    "proxy": f"=> {_TO} {_BY} {_HOST} PRX=[203.0.113.9]:1080 {_ANSWER}",
    "TCP fast open": f"=> {_TO} {_BY} {_HOST} TFO* {_ANSWER}",
    "early pipelining": f"=> {_TO} {_BY} {_HOST} L* {_ANSWER}",
    "pipelined at the start": f"=> {_TO} {_BY} {_HOST} PS=ea {_ANSWER}",
    "chunking": f"=> {_TO} {_BY} {_HOST} K {_ANSWER}",
    "PRDR": f"=> {_TO} {_BY} {_HOST} PRDR {_ANSWER}",
    "DKIM": f"=> {_TO} {_BY} {_HOST} K DKIM=bakery.example:s1 {_ANSWER}",
    "smtp authentication": f"=> {_TO} {_BY} {_HOST} A=login:relay@x.example {_ANSWER}",
    "deliver_time": f"=> {_TO} {_BY} {_HOST} {_ANSWER} DT=0.400s",
    "queue_time": f"=> {_TO} {_BY} {_HOST} {_ANSWER} QT=1s DT=0.400s",
}


@pytest.mark.parametrize("selector", DELIVERIES)
@pytest.mark.parametrize("queue_id", [SHORT, LONG])
def test_a_delivery_is_the_same_with_every_selector(selector: str, queue_id: str) -> None:
    source = {"source_ip": "192.0.2.10"} if selector == "outgoing_interface" else {}
    assert told(parse_entry(DELIVERIES[selector], queue_id)) == DELIVERED | source


@pytest.mark.parametrize("address", ["192.0.2.10", "2001:db8::5"])
@pytest.mark.parametrize("port", ["", ":49152"])
@pytest.mark.parametrize(
    "entry",
    [
        '=> a@far.example R=r T=t H=mx [203.0.113.5] {} C="250 OK"',
        '-> a@far.example <b@far.example> R=r T=t H=mx [203.0.113.5] {} X=TLS1.3:AES:256 CV=yes C="250 OK" DT=1s',
        "** a@far.example R=r T=t H=mx [203.0.113.5] {}: SMTP error from remote mail server after RCPT TO:<a>: 550 no",
        "** a@far.example R=r T=t H=mx [203.0.113.5] {} X=TLS1.3:AES:256 CV=yes: SMTP error from remote mail server "
        "after end of data: 550 no",
        "== a@far.example R=r T=t defer (-44) H=mx [203.0.113.5] {}: SMTP error from remote mail server after "
        "RCPT TO:<a@far.example>: 451 I=[198.51.100.9] later",
        "== a@far.example R=r T=t defer (0): Connection refused H=mx [203.0.113.5] {}",
        '== "a b"@far.example R=r T=t defer (-44) H=mx [203.0.113.5] {}: SMTP error from remote mail server after '
        "end of data: 451 later",
    ],
)
def test_the_interface_that_a_message_left_by(entry: str, address: str, port: str) -> None:
    """As Exim 4.96 writes it with `+incoming_interface +outgoing_interface`; of what a server says nothing counts."""
    found = parse_entry(entry.format(f"I=[{address}]{port}"))
    assert isinstance(found, Attempt)
    assert (found.source_ip, found.remote_ip) == (address, "203.0.113.5")
    without = parse_entry(entry.format("").replace("  ", " ").replace(" :", ":"))
    assert isinstance(without, Attempt)
    assert without.source_ip == ""


def test_an_answer_of_several_lines_to_a_delivery_while_it_came_in() -> None:
    """Exim 4.96 writes its line breaks as they are."""
    entry = '>> carl@far.example R=r T=t H=mx [203.0.113.5] C="250-2.0.0 first R=x'
    found = parse_entry(entry)
    assert isinstance(found, Attempt)
    assert (found.status, found.recipient, found.router, found.smtp_code) == ("delivered", "carl@far.example", "r", 250)
    assert found.line.endswith(entry)
    assert parse("250-second") == parse('250 2.0.0 Ok: queued as 1A2B"') == Ignored("no-stamp")


@pytest.mark.parametrize("error", ["", " (No such file or directory: creating lock file /x/y (euid=8 egid=8))"])
def test_a_shadow_transport_beside_a_delivery(error: str) -> None:
    found = parse_entry(f"=> carl <carl@far.example> R=r T=t S=519 ST=copy{error} QT=0.1s DT=0.0s")
    assert isinstance(found, Attempt)
    assert (found.status, found.recipient, found.transport) == ("delivered", "carl@far.example", "t")


@pytest.mark.parametrize("tls", ["X=TLS1.3:AES:256 CV=yes", 'X=TLS1.3:AES:256 CV=dane DN="CN=mx, O=\\"x\\""'])
def test_a_delivery_over_tls(tls: str) -> None:
    assert told(parse_entry(f"=> {_TO} {_BY} {_HOST} {tls} {_ANSWER}")) == {**DELIVERED, "tls": "TLS1.3:AES:256"}


@pytest.mark.parametrize(
    ("head", "at"),
    [
        (f"{STAMP} ", 1772438520000),
        (f"{STAMP}.712 ", 1772438520712),
        (f"{STAMP} +0200 ", 1772431320000),
        (f"{STAMP}.712 -0530 [4711] ", 1772458320712),
        (f"{STAMP} [4711] ", 1772438520000),
    ],
)
def test_stamps_with_fraction_zone_and_pid(head: str, at: int) -> None:
    parsed = parse(f"{head}{SHORT} Completed QT=2s")
    assert isinstance(parsed, LifecycleEvent)
    assert (parsed.at, parsed.queue_id, parsed.closes) == (at, SHORT, True)


LOCAL = {"is_attempt": True, "router": "r", "transport": "t"}


@pytest.mark.parametrize(
    ("entry", "status", "recipient", "original"),
    [
        ("=> bert <bert@bakery.example> R=r T=t", "delivered", "bert@bakery.example", ""),
        ("=> bert <sales@bakery.example> R=r T=t", "delivered", "bert@bakery.example", "sales@bakery.example"),
        ("-> b@x.example (list@x.example) <l@x.example> R=r T=t", "delivered", "b@x.example", "l@x.example"),
        ('=> |/usr/bin/procmail -a "x" <bert@bakery.example> R=r T=t', "delivered", "bert@bakery.example", ""),
        ("=> /home/b/mail/My Folder/ <bert@bakery.example> R=r T=t", "delivered", "bert@bakery.example", ""),
        ("=> >anna@bakery.example <bert@bakery.example> R=r T=t", "delivered", "bert@bakery.example", ""),
        ("=> xn--spe-12-cta3b@x.example <Späße-12@x.example> R=r T=t", "delivered", "späße-12@x.example", ""),
        ("=> a@xn--n3h.example <a@\N{SNOWMAN}.example> R=r T=t", "delivered", "a@\N{SNOWMAN}.example", ""),
        (
            "=> xn--a@x.example <xn--\N{SNOWMAN}@x.example> R=r T=t",
            "delivered",
            "xn--a@x.example",
            "xn--\N{SNOWMAN}@x.example",
        ),
        ("=> bert <system-filter> R=r T=t", "delivered", "bert", ""),
        ("=> 他@例え.example R=r T=t", "delivered", "他@例え.example", ""),
        ("=> o'brien+tag@x.example R=r T=t", "delivered", "o'brien+tag@x.example", ""),
        ("** save inbox <bert@bakery.example> R=r T=t: forbidden", "bounced", "bert@bakery.example", ""),
        ("==bert@bakery.example R=r T=t defer (-1): later", "deferred", "bert@bakery.example", ""),
        ('->  foo@bar.example <" foo"@baz.example> R=r T=t', "delivered", "foo@bar.example", '" foo"@baz.example'),
    ],
)
def test_whose_mailbox_it_was(entry: str, status: str, recipient: str, original: str) -> None:
    found = parse_entry(entry)
    assert isinstance(found, Attempt)
    assert (found.status, found.recipient, found.original_recipient) == (status, recipient, original)
    assert (found.router, found.transport) == ("r", "t")


@pytest.mark.parametrize(
    ("entry", "status", "is_attempt"),
    [
        ("** a@b.example: Unrouteable address", "bounced", True),
        ("** a@b.example F=<x@y.example>: Unrouteable address", "bounced", True),
        (
            "** a@b.example R=r T=t H=mx [203.0.113.5] : SMTP error from remote mail server after DATA: 554 no",
            "bounced",
            True,
        ),
        ("** a@b.example R=r T=t H=mx [203.0.113.5]: PRDR error after DATA: 550 no", "bounced", True),
        ("** a@b.example: retry timeout exceeded", "expired", True),
        ("** a@b.example: retry timeout exceeded DT=0.001s", "expired", True),
        ("** a@b.example: delivery cancelled by administrator", "cancelled", True),
        (
            "** a@b.example R=enforce_mail_permissions: Domain b has exceeded the max defers. Message discarded.",
            "discarded",
            True,
        ),
        ("** a@b.example mua_wrapper forced failure for deferred delivery", "bounced", True),
        (
            "== a@b.example R=r T=t defer (-44): SMTP error from remote mail server after RCPT TO:<a@b.example>: 450 x",
            "deferred",
            True,
        ),
        ("== a@b.example R=r T=t defer (110): Connection timed out", "deferred", True),
        ("== a@b.example R=enforce_mail_permissions defer (-1): Message will be reattempted later", "deferred", True),
        ("== a@b.example T=smtp defer", "deferred", True),
        ("== a@b.example routing defer (-51): retry time not reached", "deferred", False),
        ("== a@b.example R=r T=t defer (-52): retry time not reached", "deferred", False),
        ("== a@b.example R=r T=t defer (-53): retry time not reached for any host", "deferred", False),
        ("=> :blackhole: <a@b.example> R=r", "discarded", True),
        ("=> /dev/null <a@b.example> R=r T=**bypassed**", "discarded", True),
        ("=> discarded <a@b.example> R=r", "discarded", True),
    ],
)
def test_status_words(entry: str, status: str, is_attempt: bool) -> None:
    found = parse_entry(entry)
    assert isinstance(found, Attempt)
    assert (found.status, found.is_attempt, found.recipient) == (status, is_attempt, "a@b.example")


@pytest.mark.parametrize(
    "between", [": after EHLO", ":25 I=[192.0.2.10]:40022 DT=3.1s: after EHLO", ": after EHLO DT=3s"]
)
def test_the_host_behind_an_error_of_the_system_is_told(between: str) -> None:
    found = parse_entry(
        "== a@b.example R=r T=t defer (110): Connection timed out H=mx.b.example [203.0.113.5]" + between
    )
    assert isinstance(found, Attempt)
    assert (found.remote_host, found.remote_ip) == ("mx.b.example", "203.0.113.5")
    assert found.response == "Connection timed out: after EHLO"


@pytest.mark.parametrize(
    ("host", "answer", "next_id", "handover"),
    [
        ("mx [203.0.113.5]", f"250 OK id={SHORT}", SHORT, ""),
        ("127.0.0.1 [127.0.0.1]:10025", f"250 OK id={SHORT}", SHORT, "filter"),
        ("localhost [::1]", f"250- 319 byte chunk\\n250 OK id={LONG}", LONG, "filter"),
        ("127.0.0.1 [127.0.0.1]", "250 2.0.0 Ok: queued as 4Qx1Z2abc", "4Qx1Z2abc", ""),
        ("mx [203.0.113.5]", "250 id=not an id at all", "", ""),
    ],
)
def test_the_next_hop_is_this_server_only_over_the_loopback(
    host: str, answer: str, next_id: str, handover: str
) -> None:
    found = parse_entry(f'=> a@b.example R=r T=t H={host} C="{answer}"')
    assert isinstance(found, Attempt)
    assert (found.next_queue_id, found.handover) == (next_id, handover)


@pytest.mark.parametrize(
    ("entry", "status", "closes"),
    [
        ("Completed", "", True),
        ("Completed QT=2s", "", True),
        ("removed by root", "cancelled", True),
        ("cancelled by anna", "cancelled", False),
        ("cancelled by timeout_frozen_after", "expired", False),
        ("cancelled by timeout_frozen_after_all", "cancelled", False),
        ("cancelled by system filter: local deliveries only", "bounced", False),
        ("cancelled by system filter", "bounced", False),
        ("cancelled by system", "cancelled", False),
        ("original recipients ignored (system filter)", "discarded", False),
        ("=> discarded (system filter)", "discarded", False),
        ("frozen by ACL", "deferred", False),
        ("Frozen by the system filter: looks odd", "deferred", False),
        ("Frozen by the system filter", "deferred", False),
        ("=> blackhole (DATA ACL discarded recipients)", "discarded", False),
        ("=> blackhole (non-SMTP ACL discarded recipients): unwanted", "discarded", False),
        ("** mua_wrapper is set but recipients cannot all be delivered in one transaction", "bounced", False),
    ],
)
def test_endings(entry: str, status: str, closes: bool) -> None:
    found = parse_entry(entry)
    assert isinstance(found, LifecycleEvent)
    assert (found.status, found.closes, found.recipient) == (status, closes, "")


@pytest.mark.parametrize("address", ["Ann@B.example", '"a> marked delivered by x"@b.example'])
def test_one_recipient_taken_off_by_an_administrator(address: str) -> None:
    found = parse_entry(f"address <{address}> marked delivered by root")
    assert isinstance(found, LifecycleEvent)
    assert (found.status, found.closes, found.recipient) == ("cancelled", False, address.lower())


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f"{STAMP} Start queue run: pid=812", "queue-run"),
        (f"{STAMP} End 'slow' queue run: pid=812 -q15m", "queue-run"),
        (f"{STAMP} cwd=/var/spool/exim 3 args: /usr/sbin/exim -Mc {SHORT}", "arguments"),
        (f"{STAMP} {SHORT} Frozen (delivery error message)", "frozen"),
        (f"{STAMP} {SHORT} Message is frozen", "frozen"),
        (f"{STAMP} {SHORT} Unfrozen by forced delivery", "frozen"),
        (f"{STAMP} {SHORT} *> a <a@b.example> R=r T=t", "suppressed-delivery"),
        (f"{STAMP} {SHORT} SMTP connection outbound 1772438520 {SHORT} b.example a@b.example", "note"),
        (
            f'{STAMP} {SHORT} U=bakery Warning: "SpamAssassin as bakery detected OUTGOING not smtp message as spam"',
            "note",
        ),
        (f"{STAMP} {SHORT} Sender identification U=-remote- D=-remote- S=a@b.example", "sender-not-identified"),
        (f"{STAMP} {SHORT} Sender identification U=nobody D=-system- S=a@b.example", "sender-not-identified"),
        (f"{STAMP} {SHORT} Spool file is locked (another process is handling this message)", "note"),
        (f"{STAMP} {SHORT} H=mx.b.example [203.0.113.5] Connection refused", "note"),
        (f"{STAMP} {SHORT} => blackhole (RCPT ACL discarded recipients)", "note"),
        (f"{STAMP} no host name found for IP address 198.51.100.7", "other"),
        (f"{STAMP} SMTP connection from (x) [198.51.100.7] lost", "other"),
        (f"{STAMP} H=(x) [198.51.100.7] Warning: would have rejected RCPT <a@b.example>: listed", "other"),
        (f'{STAMP} H=[192.0.2.66] rejected connection in "connect" ACL: 550 no', "refused-session"),
        (f"{STAMP} rejected EHLO from (x) [192.0.2.66]: syntactically invalid argument(s): (x)", "refused-session"),
        ("no stamp at all", "no-stamp"),
        ("", "no-stamp"),
    ],
)
def test_lines_of_no_interest(line: str, kind: str) -> None:
    assert parse(line) == Ignored(kind)


@pytest.mark.parametrize("entry", ["<= ", "=> ", "** ", "=> a@b.example", "<= a@b.example H=(x) nowhere P=esmtp"])
def test_what_claims_to_matter_and_can_not_be_read_is_told(entry: str) -> None:
    assert isinstance(parse_entry(entry), Unreadable)


def test_an_impossible_time_is_told() -> None:
    assert isinstance(parse(f"2026-02-30 08:00:00 {SHORT} Completed"), Unreadable)


def test_a_line_that_the_shipper_cut_is_read_as_far_as_it_goes() -> None:
    line = f'{STAMP} {SHORT} => {_TO} {_BY} {_HOST} C="250 2.0.0 very long words that go on and o'
    found = parse(line + CUT_MARK.decode())
    assert isinstance(found, Attempt)
    assert (found.status, found.recipient) == ("delivered", _TO)


def test_the_parent_of_a_bounce() -> None:
    found = told(parse_entry(f"<= <> R={LONG} U=mailnull P=local S=2400"))
    assert found == {"parent_queue_id": LONG, "system_user": "mailnull", "size_bytes": 2400}


_word = st.text("abcdefghijklmnopqrstuvwxyz0123456789.-_+=#", min_size=1, max_size=12).map(lambda word: f"a{word}a")
_address = st.builds("{}@{}.example".format, _word, st.from_regex(r"[a-z]{1,10}", fullmatch=True))
_subject = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


@settings(max_examples=200, deadline=None)
@given(_address, st.lists(_address, max_size=3), _address, _address, _subject, st.integers(0, 10**9))
def test_an_arrival_survives_print_and_parse(
    sender: str, recipients: list[str], login: str, message_id: str, subject: str, size: int
) -> None:
    escaped = subject.replace("\\", "\\\\").replace('"', '\\"')
    listed = f" for {' '.join(recipients)}" if recipients else ""
    found = parse_entry(
        f'<= {sender} H=(x) [198.51.100.7] P=esmtpa A=plain:{login} S={size} id={message_id} T="{escaped}"{listed}'
    )
    assert isinstance(found, Arrival)
    assert (found.sender, found.authenticated_as, found.message_id) == (sender, login, message_id)
    assert (found.subject, found.size_bytes, found.recipients) == (subject, size, tuple(recipients))


@settings(max_examples=200, deadline=None)
@given(_address, st.none() | _address, _word, st.sampled_from(["=>", "->", "**", "=="]), _subject)
def test_an_attempt_survives_print_and_parse(
    final: str, original: str | None, router: str, flag: str, words: str
) -> None:
    router = router.replace("=", "")
    shown = f"{final} <{original}>" if original else final
    peer = f"R={router} T=smtp"
    printed = {
        "=>": f'{peer} H=mx [203.0.113.5] C="250 {words}"',
        "->": f'{peer} H=mx [203.0.113.5] C="250 {words}"',
        "**": f"{peer} H=mx [203.0.113.5]: {words}",
        "==": f"{peer} defer (-1) H=mx [203.0.113.5]: {words}",
    }[flag]
    found = parse_entry(f"{flag} {shown} {printed}")
    assert isinstance(found, Attempt)
    assert found.recipient == final
    assert found.original_recipient == (original if original and original != final else "")
    assert (found.router, found.transport, found.remote_ip) == (router, "smtp", "203.0.113.5")


def test_events_are_what_the_joiner_takes() -> None:
    events: tuple[type, ...] = Event.__args__
    assert set(events) == {Arrival, Attempt, LifecycleEvent, Refusal, Step}


@pytest.mark.parametrize("sender", ["anna@bakery.example", 'U=mill D=mill.example S="x', ""])
def test_the_control_panel_tells_the_account_of_a_submission(sender: str) -> None:
    found = parse(f"{STAMP} {SHORT} Sender identification U=bakery D=bakery.example S={sender}")
    assert isinstance(found, Arrival)
    assert (found.part, found.queue_id, found.system_user, found.sender) == ("identity", SHORT, "bakery", "")


def test_an_identification_in_another_form_is_a_dead_letter() -> None:
    assert isinstance(parse(f"{STAMP} {SHORT} Sender identification U= bakery"), Unreadable)
