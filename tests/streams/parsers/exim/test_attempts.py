"""Words of Exim and of far servers in its lines about deliveries: answers, waits, hosts, and what is no mailbox."""

from __future__ import annotations

import pytest
from postwatch.streams.parsers.events import Arrival, Attempt, Ignored, LifecycleEvent, Unreadable

from tests.streams.parsers.exim.test_main_log import parse_entry

_ANSWER = "550 5.7.1 not from you"


@pytest.mark.parametrize(
    "command",
    [
        "MAIL FROM:<anna@bakery.example>",
        "MAIL FROM:<anna@bakery.example> SIZE=1604",
        "pipelined MAIL FROM:<anna@bakery.example> SIZE=1604 BODY=8BITMIME SMTPUTF8",
        "MAIL FROM:<> SIZE=1604 RET=HDRS ENVID=a:b+3Dc",
        'MAIL FROM:<"a> SIZE=1: 250 ok"@bakery.example> SIZE=1604',
        "RCPT TO:<paul@far.example>",
        "pipelined RCPT TO:<paul@far.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;paul@far.example",
        "initial connection",
        "EHLO mx.bakery.example",
        "EHLO [IPv6:2001:db8::1]",
        "pipelined DATA",
        "sending data block",
        "sending data block (9000 bytes written)",
        "end of data",
    ],
)
@pytest.mark.parametrize("shape", ["** a@far.example R=r T=t H=mx [192.0.2.9]* : {}", "** a@far.example R=r T=t: {}"])
def test_an_answer_has_its_codes_whatever_it_answers(command: str, shape: str) -> None:
    found = parse_entry(shape.format(f"SMTP error from remote mail server after {command}: {_ANSWER}"))
    assert isinstance(found, Attempt)
    assert (found.status, found.smtp_code, found.enhanced_code, found.response) == ("bounced", 550, "5.7.1", _ANSWER)


@pytest.mark.parametrize("words", ["PRDR error after DATA: ", "LMTP error after RCPT TO:<a@far.example>: "])
def test_an_answer_for_one_recipient(words: str) -> None:
    found = parse_entry(f"** a@far.example R=r T=t: {words}{_ANSWER}")
    assert isinstance(found, Attempt)
    assert (found.smtp_code, found.response) == (550, _ANSWER)


@pytest.mark.parametrize(
    ("number", "words", "is_attempt"),
    [
        (-51, "retry time not reached", False),
        (-52, "retry time not reached", False),
        (-52, "Retry time not yet reached", False),
        (-53, "retry time not reached for any host", False),
        (-53, "Retry time not yet reached", False),
        (-54, "retry time not reached for any host for 'far.example'", False),
        (-54, "connection limit reached for all hosts for 'far.example'", False),
        (-57, "concurrency limit reached for transport", False),
        (-51, "Tainted '/mail/a' (file or directory name for t transport) not permitted", True),
        (-52, "host is local", True),
        (-54, "all host address lookups for 'far.example' failed temporarily", True),
        (-44, "SMTP error from remote mail server after RCPT TO:<a@far.example>: 450 retry time not reached", True),
    ],
)
def test_the_words_tell_whether_it_was_tried(number: int, words: str, is_attempt: bool) -> None:
    found = parse_entry(f"== a@far.example R=r T=t defer ({number}): {words}")
    assert isinstance(found, Attempt)
    assert (found.status, found.is_attempt) == ("deferred", is_attempt)


@pytest.mark.parametrize(
    "host",
    [
        "H=mx [192.0.2.9]*",
        "H=mx [192.0.2.9]:25*",
        "H=mx DS [192.0.2.9]*",
        "H=mx [192.0.2.9]:25* PRX=[10.0.0.1]:1080 I=[10.0.0.2]:4000 TFO* DT=5s",
        "H=mx [192.0.2.9]",
    ],
)
def test_the_host_behind_an_error_of_the_system(host: str) -> None:
    found = parse_entry(f"== a@far.example R=r T=t defer (110): Connection timed out {host}: SMTP timeout after DATA")
    assert isinstance(found, Attempt)
    assert (found.remote_host, found.remote_ip) == ("mx", "192.0.2.9")
    assert found.response == "Connection timed out: SMTP timeout after DATA"


@pytest.mark.parametrize(
    ("final", "beside"),
    [
        ("|/usr/local/cpanel/bin/autorespond sales@bakery.example /home2/bak", "reply"),
        ('|"/usr/bin/vacation -a sales" anna', "reply"),
        (">paul@far.example", "reply"),
        ("|/usr/bin/procmail", "aside"),
        ("|/home/vacation/bin/store", "aside"),
        ("|/usr/bin/store autorespond", "aside"),
        ("/dev/null", "aside"),
        (":blackhole:", "aside"),
        ("sales", ""),
        ("sales@bakery.example", ""),
    ],
)
@pytest.mark.parametrize("flag", ["=>", "**", "=="])
def test_what_is_no_mailbox(final: str, beside: str, flag: str) -> None:
    if final == ":blackhole:" and flag != "=>":
        return  # it can't fail
    end = {"=>": "", "**": ": gone", "==": " defer (0): later"}[flag]
    found = parse_entry(f"{flag} {final} <sales@bakery.example> R=r T=t{end}")
    assert isinstance(found, Attempt)
    assert (found.recipient, found.beside) == ("sales@bakery.example", beside)


@pytest.mark.parametrize(
    ("entry", "recipient", "code", "is_claim"),
    [
        ("PRDR R=<a@b.example> refusal", "a@b.example", 550, False),
        ("PRDR R=<a@b.example> temporary refusal", "a@b.example", 450, False),
        ("PRDR A@b.example no", "a@b.example", 550, True),
        ("PRDR a@b.example 550 5.7.1 no", "a@b.example", 550, False),
        ("PRDR a@b.example 451 later", "a@b.example", 451, False),
        ('PRDR "R=<x@y> acceptance"@b.example no', '"r=<x@y> acceptance"@b.example', 550, True),
    ],
)
def test_a_recipient_that_was_refused_with_the_data(entry: str, recipient: str, code: int, is_claim: bool) -> None:
    found = parse_entry(entry)
    assert isinstance(found, LifecycleEvent)
    assert (found.status, found.recipient, found.smtp_code) == ("rejected", recipient, code)
    assert (found.is_claim, found.closes) == (is_claim, False)


def test_a_recipient_that_was_accepted_with_the_data() -> None:
    assert parse_entry("PRDR R=<a@b.example> acceptance") == Ignored("note")
    assert parse_entry("PRDR a@b.example 250 welcome") == Ignored("note")
    assert isinstance(parse_entry("PRDR a b c"), Unreadable)


_ARRIVED = '<= a@b.example H=(x) [192.0.2.7] P=esmtp S=1 T="s"'


@pytest.mark.parametrize(
    ("listed", "recipients"),
    [
        ("one@far.example two@far.example thr<trunc>", ("one@far.example", "two@far.example")),
        ("one@far.example two@far.example<trunc>", ("one@far.example",)),
        ("one@far.example <trunc>", ("one@far.example",)),
        ("one@f<trunc>", ()),
        ("one@far.example tw", ("one@far.example",)),
        ("one@far.example two@", ("one@far.example",)),
        ("one@far.example two@far.", ("one@far.example",)),
    ],
)
def test_an_address_that_was_cut_is_no_recipient(listed: str, recipients: tuple[str, ...]) -> None:
    found = parse_entry(f"{_ARRIVED} for {listed}")
    assert isinstance(found, Arrival)
    assert found.recipients == recipients
    assert found.line.endswith(listed)


def test_the_last_address_of_an_entry_that_fills_the_buffer_is_not_believed() -> None:
    listed = " ".join(f"reader{number:04}@far.example" for number in range(400))
    full = parse_entry(f"{_ARRIVED} for {listed}"[: 8190 - 40])
    short = parse_entry(f"{_ARRIVED} for {' '.join(listed.split()[:300])}")
    assert isinstance(full, Arrival)
    assert isinstance(short, Arrival)
    assert set(full.recipients) < set(listed.split())
    assert len(short.recipients) == 300


@pytest.mark.parametrize("entry", ["<= a@b.example H=(x) [192.0.2.7] P=esmtp S=1 for a@b <trunc> <trunc>"])
def test_an_arrival_of_which_nothing_is_left(entry: str) -> None:
    assert isinstance(parse_entry(entry), Unreadable)


def test_no_protocol_detail() -> None:
    entry = (
        '>> a@far.example F=<x@b> P=<x@b> R=r T=t S=336 H=mx [192.0.2.9]:25 I=[10.0.0.1]:4 PS= C="250 OK" QT=1s DT=0s'
    )
    found = parse_entry(entry)
    assert isinstance(found, Attempt)
    assert (found.status, found.recipient, found.remote_ip) == ("delivered", "a@far.example", "192.0.2.9")
