"""Sendmail's lines: how each is read, and that strangers' words are never read as facts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.streams.contracts.outcome import BOUNCED, DEFERRED, DELIVERED, DISCARDED, EXPIRED, REJECTED
from postwatch.streams.parsers.events import (
    FILTER,
    LINK,
    LOGIN,
    Arrival,
    Attempt,
    Event,
    Ignored,
    LifecycleEvent,
    Parsed,
    Refusal,
    Unreadable,
)
from postwatch.streams.parsers.queue_ids import queued_at
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.sendmail import parse_message
from postwatch.streams.parsers.timestamps import StampReader, find_zone

from tests.cpu import is_linear

ID = "6AN8010W002013"
FROM = f"{ID}: from=<ann@here.example>, size=12, class=0, nrcpts=2, "
TO = f"{ID}: to=<bob@far.example>, delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=30310, "
MX = "relay=mx.far.example. [198.51.100.1], "


def read(message: str) -> Parsed:
    return parse_message(message, 0, 1000, message)


def attempts(message: str) -> list[Attempt]:
    parsed = read(message)
    found = parsed if isinstance(parsed, list) else [parsed]
    assert all(isinstance(one, Attempt) for one in found), found
    return [one for one in found if isinstance(one, Attempt)]


def read_two(message: str) -> tuple[Event, Event]:
    parsed = read(message)
    assert isinstance(parsed, list)
    first, second = parsed
    return first, second


def arrival(message: str) -> Arrival:
    parsed = read(message)
    assert isinstance(parsed, Arrival), parsed
    return parsed


def refusal(message: str) -> Refusal:
    parsed = read(message)
    assert isinstance(parsed, Refusal), parsed
    return parsed


@pytest.mark.parametrize(
    ("rest", "wanted"),
    [
        ("msgid=<a@b.example>, proto=ESMTPSA, daemon=MTA, relay=h.example [192.0.2.1]", ("h.example", "192.0.2.1", "", "a@b.example")),
        ("msgid=<a@b.example>, bodytype=8BITMIME, proto=ESMTP, daemon=MTA, tls_verify=NONE, auth=PLAIN, relay=h.example [IPv6:2001:db8::1]",
         ("h.example", "2001:db8::1", "", "a@b.example")),
        ("proto=SMTP, daemon=MTA, relay=h.example [192.0.2.1] (may be forged)", ("", "192.0.2.1", "", "")),
        ("msgid=<a@b.example>, relay=webshop@localhost", ("", "", "webshop", "a@b.example")),
        ("proto=SMTP, daemon=MTA, relay=root@localhost [192.0.2.1]", ("localhost", "192.0.2.1", "", "")),
        ("msgid=<a, proto=SMTP, daemon=MTA, relay=root@localhost>, proto=SMTP, daemon=MTA, relay=[192.0.2.1]",
         ("", "192.0.2.1", "", "a, proto=SMTP, daemon=MTA, relay=root@localhost")),
        ("relay=[RESPONSE]", ("", "", "", "")),
    ],
)  # fmt: skip
def test_who_handed_it_in(rest: str, wanted: tuple[str, ...]) -> None:
    found = arrival(FROM + rest)
    assert (found.sender, found.size_bytes, found.recipient_count) == ("ann@here.example", 12, 2)
    assert (found.client_host, found.client_ip, found.system_user, found.message_id) == wanted


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (TO + MX + "dsn=2.0.0, stat=Sent (Ok: queued as 8C1D22E0)", (DELIVERED, 0, "2.0.0", "8C1D22E0", True)),
        (TO + MX + "dsn=4.7.1, stat=Deferred: 451 4.7.1 later", (DEFERRED, 451, "4.7.1", "", True)),
        (TO + "dsn=4.0.0, stat=Deferred: Name server: far.example.: host name lookup failure", (DEFERRED, 0, "4.0.0", "", True)),
        (TO + MX + "dsn=5.1.1, stat=User unknown", (BOUNCED, 0, "5.1.1", "", True)),
        (TO + "dsn=5.1.2, stat=Host unknown (Name server: far.example: host not found)", (BOUNCED, 0, "5.1.2", "", True)),
        (TO + MX + "dsn=5.0.0, stat=Service unavailable", (BOUNCED, 0, "5.0.0", "", True)),
        (TO + MX + "stat=Remote host said: 550 no such user", (BOUNCED, 550, "", "", True)),
        (TO + MX + "dsn=5.1.1, reply=550 5.1.1 <b@x.example>... no, stat=User unknown", (BOUNCED, 550, "5.1.1", "", True)),
        (TO + MX + "dsn=4.3.0, reply=451 4.3.0 later, stat=Deferred: 451 4.3.0 later", (DEFERRED, 451, "4.3.0", "", True)),
        (TO + MX + "dsn=5.1.1, reply=550 no, stat=Deferred: x, stat=User unknown", (BOUNCED, 550, "5.1.1", "", True)),
        (TO + MX + "dsn=5.0.0, reply=554 5.7.1 left over, stat=Deferred: 451 4.3.0 later", (DEFERRED, 451, "", "", True)),
        (TO + MX + "dsn=4.4.2, reply=421 4.4.1 Connection reset by x, stat=Deferred", (DEFERRED, 421, "4.4.2", "", True)),
        (TO + MX + "dsn=5.0.0, reply=550 no, stat=Sent (ok), stat=Service unavailable", (BOUNCED, 550, "5.0.0", "", True)),
        (TO + "stat=queued", (DEFERRED, 0, "", "", False)),
        (TO + MX + "dsn=4.4.7, stat=Message could not be delivered for 5 days", (DEFERRED, 0, "4.4.7", "", True)),
        (TO + MX + "dsn=5.4.7, stat=Cannot send message for 5 days", (EXPIRED, 0, "5.4.7", "", True)),
        (f"{ID}: to=<bob@far.example>, delay=00:00:01, pri=30310, stat=Blocked", (REJECTED, 0, "", "", True)),
        (f"{ID}: to=<bob@far.example>, delay=2+15:56:56, xdelay=00:00:00, mailer=esmtp, pri=35319380, relay=mx., dsn=4.0.0, stat=Deferred",
         (DEFERRED, 0, "4.0.0", "", True)),
    ],
)  # fmt: skip
def test_what_came_of_it(message: str, wanted: tuple[object, ...]) -> None:
    [found] = attempts(message)
    assert found.recipient == "bob@far.example"
    assert (found.status, found.smtp_code, found.enhanced_code, found.next_queue_id, found.is_attempt) == wanted


@pytest.mark.parametrize(
    ("listed", "wanted"),
    [
        ("<A@x.example>,<b@x.example>", [("a@x.example", "", False), ("b@x.example", "", False)]),
        ("<a@x.example>,<b@x.example>, [more]", [("a@x.example", "", False), ("b@x.example", "", False)]),
        ("ann,kalle@x.example, ctladdr=webshop (33/33)", [("ann", "", False), ("kalle@x.example", "", False)]),
        ("ann@x.example, ctladdr=<sales@y.example> (8/0)", [("ann@x.example", "sales@y.example", True)]),
        ('"|/usr/bin/procmail -a b, c", ctladdr=<ann@y.example> (1/1)', [('"|/usr/bin/procmail -a b, c"', "ann@y.example", True)]),
        ("<a@x.example>, ctladdr=<webshop@y.example> (33/33)", [("a@x.example", "", False)]),
        ('"Smith, Joe" <joe@x.example>,Ann (a, b) <ann@x.example>, ctladdr=webshop (33/33)',
         [("joe@x.example", "", False), ("ann@x.example", "", False)]),
    ],
)  # fmt: skip
def test_whom_it_was_for(listed: str, wanted: list[tuple[str, str, bool]]) -> None:
    found = attempts(f"{ID}: to={listed}, delay=00:00:01, xdelay=00:00:00, mailer=local, pri=3, dsn=2.0.0, stat=Sent")
    assert [(one.recipient, one.original_recipient, one.is_expanded) for one in found] == wanted


LOGIN_LINE = "AUTH=server, relay=h.example [192.0.2.1], authid=ann, mech=PLAIN, bits=0"


def test_who_logged_in_at_a_process() -> None:
    """The login is logged without a queue id; the number of its process ends the ids of what comes in there."""
    parser = make_parser("auto", StampReader(find_zone("UTC", "test"), sent_ms=1_795_500_000_000))
    found = parser.parse(f"Nov 23 08:00:01 mx9 sm-mta[2013]: {LOGIN_LINE}")
    assert isinstance(found, list)
    login, ending = found
    assert isinstance(login, Arrival)
    assert (login.part, login.authenticated_as, login.auth_method) == (LOGIN, "ann", "PLAIN")
    taken = arrival(FROM + "msgid=<a@b.example>, proto=ESMTPSA, daemon=MTA, relay=h.example [192.0.2.1]")
    assert login.queue_id == ending.queue_id == taken.session_id == "l:2013@192.0.2.1"


JOURNAL = '{"__REALTIME_TIMESTAMP":"1795420801000000","SYSLOG_IDENTIFIER":"sm-mta",%s"MESSAGE":"%s"}'


@pytest.mark.parametrize(
    ("line", "process"),
    [
        (f"<22>1 2026-11-23T08:00:01.25+01:00 mx9 sm-mta 2013 - - {LOGIN_LINE}", "2013"),
        (f'<22>1 2026-11-23T08:00:01Z mx9 sm-mta 0452 ID7 [a@1 b="c"] {LOGIN_LINE}', "452"),
        (f"<22>1 2026-11-23T08:00:01Z mx9 sm-mta - - - {LOGIN_LINE}", ""),
        (f"<22>1 2026-11-23T08:00:01Z mx9 sm-mta x17 - - {LOGIN_LINE}", ""),
        (JOURNAL % ('"SYSLOG_PID":"2013","_PID":"1",', LOGIN_LINE), "2013"),
        (JOURNAL % ('"_PID":"2013",', LOGIN_LINE), "2013"),
        (JOURNAL % ('"SYSLOG_PID":["5","6"],"_PID":"2013",', LOGIN_LINE), "2013"),
        (JOURNAL % ('"SYSLOG_PID":5,"_PID":null,', LOGIN_LINE), ""),
        (JOURNAL % ("", LOGIN_LINE), ""),
        (JOURNAL % ("", "sm-mta[2013]: " + LOGIN_LINE), ""),
        (JOURNAL % ('"_PID":"2013",', "EHLO [7]: " + LOGIN_LINE), ""),
    ],
)
def test_the_process_of_a_login_is_a_field_of_the_record(line: str, process: str) -> None:
    parser = make_parser("auto", StampReader(find_zone("UTC", "test"), sent_ms=1_795_500_000_000))
    found = parser.parse(line)
    if not process:
        assert isinstance(found, Ignored)
        return
    assert isinstance(found, list)
    assert isinstance(found[0], Arrival)
    assert (found[0].queue_id, found[0].authenticated_as) == (f"l:{process}@192.0.2.1", "ann")


@pytest.mark.parametrize(
    "rest",
    [
        "msgid=<a@b.example>, proto=ESMTPS, daemon=MTA, relay=h.example [192.0.2.1]",
        "msgid=a, proto=ESMTPSA, proto=ESMTP, daemon=MTA, relay=h.example [192.0.2.1]",
        "msgid=<a@b.example>, relay=ann@localhost",
    ],
)
def test_a_message_without_a_login_claims_none(rest: str) -> None:
    assert arrival(FROM + rest).session_id == ""


def test_a_login_without_process_or_address_tells_nothing() -> None:
    assert read(LOGIN_LINE) == Ignored("login")
    assert read(f"sm-mta[2013]: {LOGIN_LINE}"[14:]) == Ignored("login")


def test_a_bare_name_is_an_alias_of_the_daemon_but_as_given_to_the_submission_program() -> None:
    for mailer, is_expanded in (("local", True), ("relay", False)):
        [found] = attempts(f"{ID}: to=root, delay=00:00:00, mailer={mailer}, pri=3, dsn=2.0.0, stat=Sent")
        assert (found.recipient, found.is_expanded) == ("root", is_expanded)


def test_a_message_that_goes_to_this_servers_daemon_goes_on_there() -> None:
    here = "relay=[127.0.0.1] [127.0.0.1], dsn=2.0.0, stat=Sent (6AN8200i002041 Message accepted for delivery)"
    [found] = attempts(TO + here)
    assert (found.next_queue_id, found.handover, found.remote_host) == ("6AN8200i002041", FILTER, "")
    [elsewhere] = attempts(TO + MX + "dsn=2.0.0, stat=Sent (6AN8200i002041 Message accepted for delivery)")
    assert (elsewhere.next_queue_id, elsewhere.handover) == ("6AN8200i002041", "")
    [null] = attempts(
        f"{ID}: to=/dev/null, ctladdr=<a@b.example> (8/0), delay=00:00:00, mailer=*file*, pri=3, dsn=2.0.0, stat=Sent"
    )
    assert null.status == DISCARDED


@pytest.mark.parametrize(
    ("words", "made"),
    [
        ("6AN8010X002013: clone: owner=owner-staff", ["6AN8010X002013"]),
        ("split: maxrcpts=3, rcpts=5, count=1, id=6AN8010X002013", ["6AN8010X002013"]),
        ("split: count=2, ids=6AN8010X002013; 6AN8010Y002013", ["6AN8010X002013", "6AN8010Y002013"]),
        (
            "split: maxrcpts=3, rcpts=9, count=2, ids=6AN8010X002013; 6AN8010Y002013",
            ["6AN8010X002013", "6AN8010Y002013"],
        ),
    ],
)
def test_further_envelopes_of_a_message_lead_to_it(words: str, made: list[str]) -> None:
    line = f"{ID}: {words}"
    links = [Arrival(one, 1000, line, part=LINK, earlier_queue_id=ID) for one in made]
    assert read(line) == [LifecycleEvent(ID, 1000, line), *links]


@pytest.mark.parametrize("words", ["split: ids=", "split: count=1, id=x", "clone: owner=a", "x: clone: owner=a"])
def test_what_names_no_envelope_makes_none(words: str) -> None:
    assert read(f"{ID}: {words}") == Ignored("other")


def test_what_is_made_of_a_message_leads_to_it() -> None:
    bounce, found = read_two(f"{ID}: 6AN81L0g002034: DSN: User unknown")
    assert isinstance(bounce, Attempt)
    assert isinstance(found, Arrival)
    assert (bounce.queue_id, bounce.recipient, bounce.status, bounce.response) == (ID, "", BOUNCED, "User unknown")
    assert (found.queue_id, found.parent_queue_id, found.recipient_count) == ("6AN81L0g002034", ID, 1)
    assert (
        arrival(f"{ID}: 6AN81L0g002034: sender notify: Warning: could not send message for past 4 hours").sender == ""
    )
    expired = read(f"{ID}: 6AN81L0g002034: return to sender: Cannot send message for 5 days")
    assert isinstance(expired, list)
    assert isinstance(expired[0], LifecycleEvent)
    assert (expired[0].queue_id, expired[0].status, expired[0].closes) == (ID, EXPIRED, True)
    assert isinstance(expired[1], Arrival)


def test_refusals() -> None:
    found = refusal(
        f"{ID}: ruleset=check_rcpt, arg1=<Bob@x.example>, relay=h.example [192.0.2.1], reject=550 5.7.1 <bob@x.example>... Relaying denied"
    )
    assert (found.recipient, found.client_host, found.client_ip, found.smtp_code, found.enhanced_code) == (
        "bob@x.example", "h.example", "192.0.2.1", 550, "5.7.1",
    )  # fmt: skip
    found = refusal(f"{ID}: ruleset=check_mail, arg1=<a@x.example>, relay=[192.0.2.1], reject=553 5.1.8 no domain")
    assert (found.sender, found.recipient) == ("a@x.example", "")
    found = refusal("NOQUEUE: ruleset=check_rcpt, arg1=<b@x.example>, relay=[192.0.2.1], discard")
    assert found.status == DISCARDED
    [thrown] = attempts(f"{ID}: ruleset=check_rcpt, arg1=<b@x.example>, relay=[192.0.2.1], discard")
    assert (thrown.recipient, thrown.status) == ("b@x.example", DISCARDED)  # its sender and Message-ID follow
    found = refusal(f"{ID}: <nobody@x.example>... User unknown")
    assert (found.recipient, found.smtp_code, found.enhanced_code) == ("nobody@x.example", 550, "5.1.1")
    found = refusal(f"{ID}: Milter: to=<b@x.example>, reject=451 4.7.1 later")
    assert (found.recipient, found.smtp_code) == ("b@x.example", 451)
    [kept] = attempts(
        f"{ID}: to=<b@x.example>, delay=00:00:00, mailer=local, pri=9, quarantine=a virus, stat=quarantined"
    )
    assert (kept.recipient, kept.status, kept.response) == ("b@x.example", DISCARDED, "a virus")
    [told] = attempts(TO + MX + "dsn=5.0.0, stat=quarantined")
    assert told.status == BOUNCED  # the words of a far server
    discarded = read(f"{ID}: Milter: data, discard")
    assert isinstance(discarded, LifecycleEvent)
    assert discarded.status == DISCARDED


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("AUTH=server, relay=h [192.0.2.1], authid=ann, mech=PLAIN, bits=0", Ignored("login")),
        ("STARTTLS=client, relay=h., version=TLSv1.3, verify=OK", Ignored("tls")),
        ("ruleset=check_relay, arg1=h, arg2=192.0.2.1, relay=h [192.0.2.1], reject=553 5.3.0 no", Ignored("refused-client")),
        (f"{ID}: Milter add: header: X-Spam: yes", Ignored("milter")),
        (f"{ID}: timeout waiting for input from [192.0.2.1]", Ignored("other")),
        (f"{ID}: --- 250 2.0.0 ok", Ignored("protocol")),
        (f"{ID}: to=<a@x.exam", Unreadable("a delivery whose fields make no sense")),
        (TO + MX + "dsn=2.0.0, stat=Whatever", Unreadable("a delivery with a status that is not known")),
        (f"{ID}: from=<a@x.example>, size=1", Unreadable("an arrival whose fields make no sense")),
        (f"{ID}: from=<a@x.example>, size=1, class=0, nrcpts=1, relay=a b [1.2.3.4]", Unreadable("an arrival whose fields make no sense")),
        (f"{ID}: ruleset=check_rcpt, arg1=<a\"@x>, relay=[192.0.2.1], reject=550 no", Unreadable("a refusal whose fields make no sense")),
    ],
)  # fmt: skip
def test_lines_that_are_no_events(message: str, wanted: Parsed) -> None:
    assert read(message) == wanted


def test_auto_knows_its_programs() -> None:
    stamps = StampReader(find_zone("UTC", "test"))
    stamps.shipped(1_795_500_000_000)
    line = f"Nov 23 08:00:01 mx9 sm-mta[2013]: {FROM}relay=[192.0.2.1]"
    for name in ("auto", "sendmail"):
        assert isinstance(make_parser(name, stamps).parse(line), Arrival)
    assert make_parser("postfix", stamps).parse(line) == Ignored("other-program")
    postfix = "Nov 23 08:00:01 mx9 postfix/qmgr[2013]: 7F00AA: removed"
    assert make_parser("sendmail", stamps).parse(postfix) == Ignored("other-program")


def test_the_time_in_a_queue_id() -> None:
    assert queued_at("u1KEXq0M007811") == 1_455_978_832_000  # 20 February 2016, 14:33:52 UTC
    assert queued_at("6AN8010W002013") == 1_795_420_801_000
    assert queued_at("6ABCD012345678") == 0  # may be a short id of Postfix
    assert queued_at("6WN8010W002013") == 0  # no such month


FORGERIES = (
    ", ctladdr=<root@here.example> (0/0)",
    ", delay=00:00:00, xdelay=00:00:00, mailer=local, pri=1, dsn=2.0.0, stat=Sent",
    ", size=1, class=0, nrcpts=1, relay=root@localhost",
    ", relay=root@localhost",
    ", reject=550 5.1.1 <root@here.example>... no",
    "<root@here.example>,",
    "6AN8200i002041 Message accepted for delivery",
)
WORDS = st.lists(st.sampled_from(FORGERIES) | st.text("abc <>()[]\"\\;:,=@/'", max_size=8), max_size=6).map(" ".join)
LOCAL_PARTS = WORDS.map(lambda words: '"' + words.replace("\\", "\\\\").replace('"', '\\"') + '"')


@given(LOCAL_PARTS, WORDS, st.sampled_from(["Sent", "Deferred", "User unknown"]))
def test_no_local_part_or_answer_changes_recipient_or_status(local: str, answer: str, word: str) -> None:
    status, dsn = {"Sent": (DELIVERED, "2.0.0"), "Deferred": (DEFERRED, "4.0.0")}.get(word, (BOUNCED, "5.1.1"))
    [found] = attempts(
        f"{ID}: to=<{local}@far.example>, delay=00:00:01, mailer=esmtp, pri=1, {MX}dsn={dsn}, stat={word}: {answer}"
    )
    assert (found.recipient, found.original_recipient) == (f"{local}@far.example".lower(), "")
    assert (found.queue_id, found.status, found.remote_ip) == (ID, status, "198.51.100.1")


@given(LOCAL_PARTS, WORDS)
def test_no_sender_or_message_id_changes_the_account(local: str, words: str) -> None:
    found = arrival(
        f"{ID}: from=<{local}@far.example>, size=12, class=0, nrcpts=1, msgid=<{words}>, proto=SMTP, daemon=MTA, relay=h [192.0.2.1]"
    )
    assert (found.sender, found.system_user, found.authenticated_as) == (f"{local}@far.example", "", "")
    assert (found.client_host, found.client_ip, found.size_bytes) == ("h", "192.0.2.1", 12)


@given(LOCAL_PARTS, WORDS)
def test_no_stranger_changes_whom_a_refusal_is_about(local: str, words: str) -> None:
    found = refusal(
        f"{ID}: ruleset=check_rcpt, arg1=<{local}@here.example>, relay=h [192.0.2.1], reject=550 5.1.1 {words}"
    )
    assert (found.recipient, found.client_ip) == (f"{local}@here.example".lower(), "192.0.2.1")


@pytest.mark.parametrize(
    "worst",
    [
        f"{ID}: to=" + '"' * 64_000,
        f"{ID}: to=" + "a," * 32_000,
        f"{ID}: to=" + "a," * 32_000 + ", delay=00:00:00, mailer=esmtp, stat=Sent",
        f"{ID}: to=<" + '"\\' * 32_000,
        f"{ID}: to=" + "(" * 64_000,
        f"{ID}: to=" + "<a>" * 20_000 + ", delay=00:00:00, mailer=esmtp, stat=Sent",
        f"{ID}: to=a" + ", ctladdr=" * 6_000,
        TO + "stat=" + "queued as " * 6_000,
        FROM + "msgid=" + ", proto=x" * 7_000 + ", relay=[192.0.2.1]",
        FROM + "msgid=" + ", relay=a@" * 6_000,
        f"{ID}: ruleset=check_rcpt, arg1=" + "<" * 64_000,
        f"{ID}: ruleset=check_rcpt, arg1=a, relay=" + "a" * 64_000,
        f"{ID}: Milter: to=<" + '"a' * 32_000,
        f"{ID}: " * 4_000,
        f"{ID}: {ID}: " + "a " * 32_000,
        "A" * 64_000,
        "1" * 64_000,
    ],
    ids=range(17),
)
def test_the_worst_line_costs_little(worst: str) -> None:
    assert is_linear(read, worst)
