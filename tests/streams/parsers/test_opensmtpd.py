"""OpenSMTPD's lines: how each is read, and that strangers' words are never read as facts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.streams.contracts.outcome import BOUNCED, CANCELLED, DEFERRED, DELIVERED, EXPIRED
from postwatch.streams.parsers.events import (
    CLIENT,
    ENVELOPE,
    FILTER,
    LOGIN,
    QUEUE,
    Arrival,
    Attempt,
    Ignored,
    LifecycleEvent,
    Parsed,
    Refusal,
    Unreadable,
)
from postwatch.streams.parsers.opensmtpd import parse_message
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

from tests.cpu import is_linear

SESSION = "5df87c903d709601"
ENVELOPE_WORDS = "evpid=c405e301d6bbc64f from=<ann@here.example> to=<Bob@far.example> "
MTA = f'{SESSION} mta delivery {ENVELOPE_WORDS}rcpt=<-> source="192.0.2.5" relay="198.51.100.25 (mx.far.example)" delay=2s '


def read(message: str) -> Parsed:
    return parse_message(message, 0, 1000, message)


def attempt(message: str) -> Attempt:
    parsed = read(message)
    assert isinstance(parsed, Attempt), parsed
    return parsed


def arrival(message: str) -> Arrival:
    parsed = read(message)
    assert isinstance(parsed, Arrival), parsed
    return parsed


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("smtp connected address=192.0.2.1 host=h.example", ("h.example", "192.0.2.1")),
        ("smtp connected address=[2001:db8::1] host=<unknown>", ("", "2001:db8::1")),
        ("smtp event=connected address=192.0.2.1 host=h.example", ("h.example", "192.0.2.1")),
        ("smtp connected address=local host=mx5.here.example", ("", "")),
    ],
)
def test_a_connection(words: str, wanted: tuple[str, str]) -> None:
    found = arrival(f"{SESSION} {words}")
    assert (found.queue_id, found.part) == (f"s:{SESSION}", CLIENT)
    assert (found.client_host, found.client_ip) == wanted


@pytest.mark.parametrize(
    "words",
    [
        "authentication user=ann@here.example",
        "event=authentication user=ann@here.example address=192.0.2.1 host=h.example",
    ],
)
def test_a_login(words: str) -> None:
    found = arrival(f"{SESSION} smtp {words} result=ok")
    assert (found.queue_id, found.part, found.authenticated_as) == (f"s:{SESSION}", LOGIN, "ann@here.example")


def test_an_arrival() -> None:
    found = arrival(f"{SESSION} smtp message msgid=c405e301 size=303 nrcpt=2 proto=ESMTP")
    assert (found.queue_id, found.part, found.size_bytes, found.recipient_count, found.session_id) == (
        "c405e301", QUEUE, 303, 2, f"s:{SESSION}",
    )  # fmt: skip
    found = arrival(f"{SESSION} smtp envelope evpid=c405e301d6bbc64f from=<> to=<Bob@far.example>")
    assert (found.queue_id, found.part, found.sender, found.recipients) == (
        "c405e301",
        ENVELOPE,
        "",
        ("bob@far.example",),
    )
    for words in (
        f"{SESSION} smtp event=message address=192.0.2.1 host=h msgid=c405e301 from=<a@b.example> to=<c@d.example> size=1 ndest=2 proto=SMTP",
        f"smtp-in: Accepted message c405e301 on session {SESSION}: from=<a@b.example>, to=<c@d.example>, size=1, ndest=2, proto=SMTP",
        f"smtp-in: session {SESSION}: msgid=c405e301, status=Ok, from=<a@b.example>, to=<c@d.example>, size=1, ndest=2, proto=SMTP",
    ):
        parsed = read(words)
        assert isinstance(parsed, list)
        queued, envelope = parsed
        assert isinstance(queued, Arrival)
        assert isinstance(envelope, Arrival)
        assert (queued.part, queued.recipient_count, queued.session_id, queued.size_bytes) == (
            QUEUE,
            1,
            f"s:{SESSION}",
            1,
        )
        assert (envelope.part, envelope.sender, envelope.recipients) == (ENVELOPE, "a@b.example", ("c@d.example",))
    oldest = arrival(
        f"smtp-in: Accepted message c405e301 on session {SESSION}: from=<a@b.example>, size=1, nrcpts=2, proto=SMTP"
    )
    assert (oldest.sender, oldest.recipient_count, oldest.session_id) == ("a@b.example", 2, f"s:{SESSION}")
    for words in (
        f"smtp-in: Accepted authentication for user ann@shop.example on session {SESSION}",
        f"smtp-in: session {SESSION}: authentication successful for user ann@shop.example ",
    ):
        assert (arrival(words).queue_id, arrival(words).authenticated_as) == (f"s:{SESSION}", "ann@shop.example")
    assert (
        arrival(f"smtp-in: session {SESSION}: connection from host h.example [192.0.2.1] established").client_ip
        == "192.0.2.1"
    )
    assert arrival(f"smtp-in: New session {SESSION} from host h.example [192.0.2.1]").client_ip == "192.0.2.1"
    for words in (
        f"{SESSION} smtp disconnected reason=quit",
        f"smtp-in: Closing session {SESSION}",
        f"smtp-in: Received disconnect from session {SESSION}",
        f"smtp-in: session {SESSION}: connection from host h.example [192.0.2.1] closed (client sent QUIT)",
    ):
        ended = read(words)
        assert isinstance(ended, LifecycleEvent)
        assert (ended.queue_id, ended.status, ended.closes) == (f"s:{SESSION}", "", True)


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (MTA + 'result="Ok" stat="250 2.0.0 Ok: queued as 8C1D22E0"', (DELIVERED, 250, "2.0.0", "8C1D22E0")),
        (MTA + 'result="TempFail" stat="451 4.7.1 later"', (DEFERRED, 451, "4.7.1", "")),
        (MTA + 'result="PermFail" stat="550 no such user"', (BOUNCED, 550, "", "")),
        (MTA + 'result="Expire" stat="Envelope expired"', (EXPIRED, 0, "", "")),
        (MTA + 'result="Remove" stat="Removed by administrator"', (CANCELLED, 0, "", "")),
        (f'{SESSION} mta event=delivery {ENVELOPE_WORDS}rcpt=<-> source="192.0.2.5" relay="198.51.100.25 (mx.far.example)" delay=1s result="Ok" stat="250 ok"',
         (DELIVERED, 250, "", "")),
        (f"relay: PermFail for c405e301dcce4408: session={SESSION}, from=<a@b.example>, to=<bob@far.example>, rcpt=<->, source=192.0.2.5, relay=198.51.100.25 (mx.far.example), delay=0s, stat=550 Invalid recipient",
         (BOUNCED, 550, "", "")),
        (f"smtp-out: session {SESSION}: evpid=c405e301dcce4408, status=PermFail, from=<a@b.example>, to=<bob@far.example>, rcpt=<->, source=192.0.2.5, relay=198.51.100.25 (mx.far.example), delay=0s, stat=550 Invalid recipient",
         (BOUNCED, 550, "", "")),
    ],
)  # fmt: skip
def test_what_came_of_it(message: str, wanted: tuple[object, ...]) -> None:
    found = attempt(message)
    assert (found.queue_id, found.recipient, found.original_recipient) == ("c405e301", "bob@far.example", "")
    assert (found.remote_host, found.remote_ip) == ("mx.far.example", "198.51.100.25")
    assert (found.status, found.smtp_code, found.enhanced_code, found.next_queue_id) == wanted


def test_a_mailbox_and_an_alias() -> None:
    found = attempt(
        f"{SESSION} mda delivery {ENVELOPE_WORDS}rcpt=<sales@here.example> user=vmail delay=1s result=Ok stat=Delivered"
    )
    assert (found.original_recipient, found.is_expanded, found.remote_ip) == ("sales@here.example", True, "")
    found = attempt(
        f"{SESSION} mda delivery {ENVELOPE_WORDS}rcpt=<bob@far.example> user=vmail delay=1s result=Ok stat=Delivered"
    )
    assert (found.original_recipient, found.is_expanded) == ("", False)


def test_a_filter_of_this_server() -> None:
    found = attempt(
        f'{SESSION} mta delivery {ENVELOPE_WORDS}rcpt=<-> source="127.0.0.1" relay="127.0.0.1 (localhost)" delay=0s result="Ok" stat="250 2.0.0: f6e94209 Message accepted for delivery"'
    )
    assert (found.next_queue_id, found.handover) == ("f6e94209", FILTER)


def test_refusals() -> None:
    found = read(
        f'{SESSION} smtp failed-command command="RCPT TO:<Bob@here.example> " result="550 5.1.1 Invalid recipient"'
    )
    assert isinstance(found, Refusal)
    assert (found.queue_id, found.recipient, found.smtp_code, found.enhanced_code) == (
        f"s:{SESSION}", "bob@here.example", 550, "5.1.1",
    )  # fmt: skip
    found = read(f'{SESSION} smtp failed-command command="MAIL FROM:<a@x.example> SIZE=3" result="451 later"')
    assert isinstance(found, Refusal)
    assert (found.sender, found.recipient, found.smtp_code) == ("a@x.example", "", 451)


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ('"RCPT TO:<Bob@here.example>" => 550 Invalid recipient', ("", "bob@here.example", 550, "550 Invalid recipient")),
        ('"rcpt to: <b@here.example> NOTIFY=NEVER" => 451 4.3.0: later', ("", "b@here.example", 451, "451 4.3.0: later")),
        ('"MAIL FROM:<a@x.example>  " => 421 4.3.0: Temporary Error', ("a@x.example", "", 421, "421 4.3.0: Temporary Error")),
        ('"MAIL FROM:<>" => 550 "no"', ("", "", 550, '550 "no"')),
    ],
)  # fmt: skip
def test_refusals_of_version_5(message: str, wanted: tuple[str, str, int, str]) -> None:
    found = read(f"smtp-in: Failed command on session {SESSION}: {message}")
    assert isinstance(found, Refusal)
    assert found.queue_id == f"s:{SESSION}"
    assert (found.sender, found.recipient, found.smtp_code, found.response) == wanted


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (f"{SESSION} smtp authentication user=root result=permfail", Ignored("login-failed")),
        (f"{SESSION} smtp authentication user=root result=ok result=permfail", Ignored("login-failed")),
        (f"{SESSION} smtp authentication user=eve result=permfail x result=ok", Unreadable("a login that can be read in two ways")),
        (f'{SESSION} smtp failed-command command="DATA" result="451 Try again later"', Ignored("refused-command")),
        (f'{SESSION} smtp failed-command command="RCPT TO:<a@b.example>" result="250 ok" result="550 no"',
         Unreadable("a refusal that can be read in two ways")),
        (f'smtp-in: Failed command on session {SESSION}: "DATA" => 451 later', Ignored("refused-command")),
        (f'smtp-in: Failed command on session {SESSION}: "AUTH PLAIN (...)" => 535 no', Ignored("refused-command")),
        (f'smtp-in: Failed command on session {SESSION}: "RCPT TO:<a@b.example> " => 250 x" => 550 no',
         Unreadable("a refusal that can be read in two ways")),
        (f"{SESSION} mta connected", Ignored("connection")),
        (f"{SESSION} smtp tls ciphers=TLSv1.3:x:256", Ignored("connection")),
        ("info: OpenSMTPD 7.4.0 starting", Ignored("other")),
        (f"{SESSION} mta delivery evpid=c405", Unreadable("a delivery whose fields make no sense")),
        (MTA + 'result="Maybe" stat="x"', Unreadable("a delivery with a result that is not known")),
        (f"{SESSION} smtp message msgid=c405e301", Unreadable("an arrival whose fields make no sense")),
        (f"{SESSION} smtp envelope evpid=c405e301d6bbc64f from=<a b> to=<c>", Unreadable("an envelope whose fields make no sense")),
    ],
)  # fmt: skip
def test_lines_that_are_no_events(message: str, wanted: Parsed) -> None:
    assert read(message) == wanted


def test_auto_knows_its_program() -> None:
    stamps = StampReader(find_zone("UTC", "test"))
    stamps.shipped(1_795_500_000_000)
    line = f"Nov 23 08:00:01 mx5 smtpd[2013]: {SESSION} smtp connected address=192.0.2.1 host=h"
    for name in ("auto", "opensmtpd"):
        assert isinstance(make_parser(name, stamps).parse(line), Arrival)
    assert make_parser("sendmail", stamps).parse(line) == Ignored("other-program")


FORGERIES = (
    '" result="Ok" stat="250 ok"',
    "from=<root@here.example> to=<root@here.example>",
    "rcpt=<root@here.example> user=root delay=0s result=Ok stat=Delivered",
    " result=ok",
    "user=root result=ok",
    "user=root address=192.0.2.1 host=h.example result=ok",
    "250 2.0.0 f6e94209 Message accepted for delivery",
)
WORDS = st.lists(st.sampled_from(FORGERIES) | st.text("abc <>()[]\"\\;:,=@/'", max_size=8), max_size=6).map(" ".join)
LOCAL_PARTS = WORDS.map(lambda words: '"' + words.replace("\\", "\\\\").replace('"', '\\"') + '"')


@pytest.mark.parametrize(
    ("relay", "host", "ip"),
    [
        ("far.example", "far.example", ""),
        ("fe.de", "fe.de", ""),
        ("198.51.100.25", "", "198.51.100.25"),
        ("[2001:db8::beef]", "", "2001:db8::beef"),
        ("198.51.100.25 (mx.far.example)", "mx.far.example", "198.51.100.25"),
        ("-", "", ""),
    ],
)
def test_a_domain_of_which_no_server_was_reached_is_no_address(relay: str, host: str, ip: str) -> None:
    found = attempt(
        f'{SESSION} mta delivery {ENVELOPE_WORDS}rcpt=<-> source="-" relay="{relay}" delay=1s result="TempFail" '
        'stat="Network error on destination MXs"'
    )
    assert (found.remote_host, found.remote_ip) == (host, ip)


@given(LOCAL_PARTS, WORDS, st.sampled_from(["Ok", "TempFail", "PermFail"]))
def test_no_local_part_or_answer_changes_recipient_or_status(local: str, answer: str, result: str) -> None:
    found = attempt(
        f'{SESSION} mta delivery evpid=c405e301d6bbc64f from=<> to=<{local}@far.example> rcpt=<-> source="-" relay="198.51.100.25 (mx)" delay=2s result="{result}" stat="550 {answer}"'
    )
    assert (found.recipient, found.original_recipient) == (f"{local}@far.example".lower(), "")
    assert found.status == {"Ok": DELIVERED, "TempFail": DEFERRED, "PermFail": BOUNCED}[result]
    assert (found.queue_id, found.remote_ip, found.handover) == ("c405e301", "198.51.100.25", "")


@given(WORDS)
def test_no_name_that_failed_to_log_in_is_logged_in(name: str) -> None:
    assert not isinstance(read(f"{SESSION} smtp authentication user={name} result=permfail"), Arrival)


@given(LOCAL_PARTS, WORDS)
def test_no_stranger_changes_whom_a_refusal_is_about(local: str, words: str) -> None:
    found = read(
        f'{SESSION} smtp failed-command command="RCPT TO:<{local}@here.example> {words}" result="550 no {words}"'
    )
    if isinstance(found, Refusal):
        assert found.recipient == f"{local}@here.example".lower()
    else:
        assert isinstance(found, Unreadable)


@pytest.mark.parametrize(
    "worst",
    [
        f"{SESSION} mta delivery evpid=c405e301d6bbc64f from=<" + '"' * 64_000,
        f"{SESSION} mta delivery evpid=c405e301d6bbc64f from=<" + '"\\' * 32_000,
        MTA + 'result="Ok" stat="' + "queued as " * 6_000,
        f"{SESSION} mda delivery {ENVELOPE_WORDS}" + "user=a " * 9_000,
        f'{SESSION} smtp failed-command command="RCPT TO:<a@b>' + '" result="' * 6_000,
        f'{SESSION} smtp failed-command command="RCPT TO:<' + '"a' * 32_000,
        f'smtp-in: Failed command on session {SESSION}: "RCPT TO:<a@b>' + '" => ' * 9_000,
        f"{SESSION} smtp authentication user=" + "a result=ok " * 5_000,
        f"{SESSION} smtp message msgid=c405e301 from=<" + "a" * 64_000,
        "relay: Ok for c405e301dcce4408: from=<" + '"a' * 32_000,
        "relay: Ok for c405e301dcce4408: from=<a>, to=<b>, " + "user=a, " * 8_000,
        "smtp-in: New session " * 3_000,
        "a" * 64_000,
    ],
    ids=range(13),
)
def test_the_worst_line_costs_little(worst: str) -> None:
    assert is_linear(read, worst)


@pytest.mark.parametrize(
    ("source", "expected"), [("192.0.2.5", "192.0.2.5"), ("[IPv6:2001:db8::5]", "2001:db8::5"), ("-", "")]
)
@pytest.mark.parametrize(
    "entry",
    [
        f'{SESSION} mta delivery {ENVELOPE_WORDS}rcpt=<-> source="{{}}" relay="-" delay=1s result="TempFail" stat="no MX"',
        "relay: Ok for c405e301dcce4408: session=1f55bdcdf16e2802, from=<a@b.example>, to=<bob@far.example>, rcpt=<->, "
        "source={}, relay=198.51.100.25 (mx.far.example), delay=0s, stat=250 source=198.51.100.9 OK",
    ],
)
def test_the_address_that_an_attempt_was_made_from(entry: str, source: str, expected: str) -> None:
    found = read(entry.format(source))
    assert isinstance(found, Attempt)
    assert found.source_ip == expected
