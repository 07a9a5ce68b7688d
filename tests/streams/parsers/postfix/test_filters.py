"""What Postfix logs of a filter before the queue, and amavisd-new of one behind it."""

from __future__ import annotations

import pytest
from postwatch.streams.contracts.outcome import BOUNCED, DISCARDED, REJECTED
from postwatch.streams.parsers.events import LINK, LOGIN, Arrival, Attempt, Ignored, Parsed, Refusal, Unreadable
from postwatch.streams.parsers.postfix.daemons import parse_message
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

ENVELOPE = "; from=<s@far.example> to=<Ann@here.example> proto=ESMTP helo=<mail.far.example>"
LOGGED_IN = f"{ENVELOPE} sasl_username=<bob@here.example>"
QUEUED = "250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 4A1B2C3D4E"


TAG = "postfix/smtpd[303]: "


def read(message: str) -> Parsed:
    return parse_message("postfix/smtpd", TAG + message, len(TAG), 1000, message)


def read_line(message: str) -> Parsed:
    stamps = StampReader(find_zone("UTC", "test"))
    stamps.shipped(1_796_000_000_000)
    return make_parser("postfix", stamps).parse(f"Nov 25 23:00:01 mx2 amavis[20]: (00020-01) {message}")


def read_amavis(message: str) -> list[tuple[str, str, str]]:
    """Queue id behind the filter, part, queue id before it."""
    parsed = read_line(message)
    if not isinstance(parsed, list):
        assert parsed == Ignored("filter"), parsed
        return []
    assert all(isinstance(event, Arrival) for event in parsed)
    return [(event.queue_id, event.part, event.earlier_queue_id) for event in parsed if isinstance(event, Arrival)]


@pytest.mark.parametrize("opening", ["", "NOQUEUE: "])
def test_what_a_filter_before_the_queue_let_pass_is_whose_it_was_there(opening: str) -> None:
    """Postfix 3 leaves NOQUEUE out, and either names the login, which the message itself does not show.

    It is believed where the process has told the same (test_joiner.py): a HELO name may end in these words, too.
    """
    found = read(f"{opening}proxy-accept: END-OF-MESSAGE: {QUEUED}{LOGGED_IN}")
    assert isinstance(found, Arrival)
    assert (found.queue_id, found.part, found.authenticated_as) == ("4A1B2C3D4E", LOGIN, "bob@here.example")
    assert found.session_id == "l:303"
    elsewhere = parse_message("postfix/smtpd", f"proxy-accept: END-OF-MESSAGE: {QUEUED}{LOGGED_IN}", 0, 1000, "")
    assert isinstance(elsewhere, Arrival)
    assert elsewhere.authenticated_as == ""
    nobody = read(f"{opening}proxy-accept: END-OF-MESSAGE: {QUEUED}{ENVELOPE}")
    assert isinstance(nobody, Arrival)
    assert (nobody.queue_id, nobody.part, nobody.authenticated_as) == ("4A1B2C3D4E", LOGIN, "")


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ("reject: END-OF-MESSAGE: 554 5.7.0 Reject, id=1-2 - spam", REJECTED, (554, "5.7.0")),
        ("reject: END-OF-MESSAGE: 451 4.5.0 Error in processing, id=1-2", REJECTED, (451, "4.5.0")),
        ("reject: RCPT: 550 5.1.1 no such user", REJECTED, (550, "5.1.1")),
        ("accept: END-OF-MESSAGE: 250 2.7.0 Ok, discarded, id=1-2 - spam", DISCARDED, (250, "2.7.0")),
        ("accept: END-OF-MESSAGE: 250 2.5.0 Ok, id=1-2, BOUNCE", BOUNCED, (250, "2.5.0")),
    ],
)
def test_what_a_filter_before_the_queue_kept_back(answer: str, status: str, code: tuple[int, str]) -> None:
    for line in (f"proxy-{answer}{LOGGED_IN}", f"NOQUEUE: proxy-{answer}{LOGGED_IN}"):
        found = read(line)
        assert isinstance(found, Refusal)
        assert (found.sender, found.recipient, found.authenticated_as) == (
            "s@far.example", "ann@here.example", "bob@here.example",
        )  # fmt: skip
        assert (found.status, (found.smtp_code, found.enhanced_code)) == (status, code)
        assert found.queue_id.startswith("r:")


def test_whom_a_process_serves_before_it_hands_the_message_over() -> None:
    found = read("NOQUEUE: client=h.example[192.0.2.1], sasl_method=PLAIN, sasl_username=bob@here.example")
    assert isinstance(found, list)
    client = found[0]
    assert isinstance(client, Arrival)
    assert (client.queue_id, client.part, client.client_ip, client.authenticated_as) == (
        "l:303", LOGIN, "192.0.2.1", "bob@here.example",
    )  # fmt: skip


def test_no_stranger_logs_in_with_an_address() -> None:
    forged = "; from=<a@far.example> to=<b@here.example> proto=ESMTP helo=<x> sasl_username=<root@here.example"
    sender = f'"{forged}>"@far.example'
    found = read(f"proxy-accept: END-OF-MESSAGE: {QUEUED}; from=<{sender}> to=<ann@here.example> proto=ESMTP helo=<h>")
    assert isinstance(found, Unreadable)
    twice = read(f"proxy-reject: END-OF-MESSAGE: 554 5.7.0 {ENVELOPE}{ENVELOPE}")
    assert isinstance(twice, Refusal | Unreadable)
    assert not isinstance(twice, Refusal) or twice.authenticated_as == ""


def test_an_answer_that_names_no_id_is_a_note() -> None:
    assert read(f"proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok{LOGGED_IN}") == Ignored("note")


FIELDS = "Message-ID: <m1@far.example>, mail_id: AbC123dEf_x, Hits: -1.2, size: 900, queued_as: {}, 1000 ms"
WAY = "[192.0.2.10]:4000 [192.0.2.10] <s@far.example> -> <ann@here.example>,<bob@here.example>"


@pytest.mark.parametrize(
    ("message", "behind"),
    [
        (f"Passed CLEAN {{RelayedInbound}}, {WAY}, Queue-ID: 3C00BB11, {FIELDS.format('4A1B2C3D4E')}", ["4A1B2C3D4E"]),
        (
            f"Passed BAD-HEADER-7 {{RelayedInbound,Quarantined}}, LOCAL {WAY}, quarantine: k/spam.gz, "
            f"Queue-ID: 3C00BB11, {FIELDS.format('4A1B2C3D4E/4jYCZM64N0z6HRR')}",
            ["4A1B2C3D4E", "4jYCZM64N0z6HRR"],
        ),
        (f"Passed SPAMMY, {WAY}, Queue-ID: 3C00BB11, {FIELDS.format('250 Ok')}", []),
        ("Checking: AbC123dEf_x [192.0.2.10] <s@far.example> -> <ann@here.example>", []),
    ],
)
def test_amavis_names_the_ids_before_and_behind_it(message: str, behind: list[str]) -> None:
    assert read_amavis(message) == [(queue_id, LINK, "3C00BB11") for queue_id in behind]


def test_no_message_id_or_address_links_a_message_to_another() -> None:
    forged = "a>, mail_id: x, Hits: -, size: 1, queued_as: 4A1B2C3D4E, <"
    fields = FIELDS.format("5B1B2C3D4E").replace("m1@far.example", forged)
    assert read_amavis(f"Passed CLEAN, {WAY}, Queue-ID: 3C00BB11, {fields}") == []
    sender = f'"> -> <x@here.example>, Queue-ID: 6666BB11, {FIELDS.format("4A1B2C3D4E")}"@far.example'
    way = WAY.replace("s@far.example", sender)
    assert read_amavis(f"Passed CLEAN, {way}, Queue-ID: 3C00BB11, {FIELDS.format('5B1B2C3D4E')}") == []


KEPT_BACK = "Message-ID: <m1@far.example>, mail_id: AbC123dEf_x, Hits: 22, size: 900, 1000 ms"


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Blocked SPAM {DiscardedInbound,Quarantined}, %s, quarantine: q/a.gz, Queue-ID: 3C00BB11, ", "discarded"),
        ("Blocked INFECTED (Eicar-Signature) {DiscardedInbound}, %s, Queue-ID: 3C00BB11, ", "discarded"),
        ("Blocked SPAM {NoBounceInbound,Quarantined}, %s, Queue-ID: 3C00BB11, ", "discarded"),
        ("Blocked BANNED (.exe,a.exe) {BouncedOutbound}, LOCAL %s, Queue-ID: 3C00BB11, ", "bounced"),
        ("Blocked SPAM {RejectedInbound}, %s, Queue-ID: 3C00BB11, ", ""),
        ("Blocked MTA-BLOCKED {TempFailedInbound}, %s, Queue-ID: 3C00BB11, ", ""),
        ("Blocked SPAM {BouncedInbound,DiscardedInbound,RelayedInbound}, %s, Queue-ID: 3C00BB11, ", "discarded"),
        ("Blocked SPAM {DiscardedInbound,RejectedInbound}, %s, Queue-ID: 3C00BB11, ", ""),
        ("Blocked SPAM, %s, Queue-ID: 3C00BB11, ", ""),
    ],
)
def test_amavis_names_whom_it_kept_back(message: str, told: str) -> None:
    parsed = read_line(message % WAY + KEPT_BACK)
    if not told:
        assert parsed == Ignored("filter")
        return
    assert isinstance(parsed, list)
    assert [(one.queue_id, one.recipient, one.status, one.handover) for one in parsed if isinstance(one, Attempt)] == [
        ("3C00BB11", "ann@here.example", told, "judged"),
        ("3C00BB11", "bob@here.example", told, "judged"),
    ]


def test_no_name_of_a_file_or_a_message_id_tells_whom_amavis_kept_back() -> None:
    forged = "x) {DiscardedInbound}, <a@b.example> -> <victim@here.example>, Queue-ID: 6666BB11, Message-ID: (y"
    assert read_line(f"Blocked BANNED ({forged}) {{DiscardedInbound}}, {WAY}, {KEPT_BACK}") == Ignored("filter")
    forged_id = KEPT_BACK.replace("m1@far.example", "x>, Queue-ID: 6666BB11, Message-ID: <y")
    assert read_line(f"Blocked SPAM {{DiscardedInbound}}, {WAY}, {forged_id}") == Ignored("filter")
    sender = '"> -> <victim@here.example>, Queue-ID: 6666BB11, Message-ID: <y"@far.example'
    way = WAY.replace("s@far.example", sender)
    parsed = read_line(f"Blocked SPAM {{DiscardedInbound}}, {way}, Queue-ID: 3C00BB11, {KEPT_BACK}")
    assert parsed == Ignored("filter")


_CLIENT = "NOQUEUE: client=h.example[192.0.2.1], sasl_method=PLAIN, sasl_username=bob@here.example"
_ACCEPTED = (
    "proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok: queued as 4ABCDE1; from=<bob@here.example> to=<a@far.example> "
    "proto=ESMTP helo=<h> sasl_username=<bob@here.example>"
)
_JOURNAL = '{"__REALTIME_TIMESTAMP":"1795420801000000","SYSLOG_IDENTIFIER":"postfix/smtpd",%s"MESSAGE":"%s"}'


@pytest.mark.parametrize(
    ("form", "process"),
    [
        ("<22>1 2026-11-23T08:00:01Z mx postfix/smtpd 303 - - %s", "303"),
        ("<22>1 2026-11-23T08:00:01Z mx postfix/smtpd - - - %s", ""),
        (_JOURNAL % ('"SYSLOG_PID":"303","_PID":"1",', "%s"), "303"),
        (_JOURNAL % ('"_PID":"303",', "%s"), "303"),
        (_JOURNAL % ("", "%s"), ""),
        ("Nov 23 08:00:01 mx postfix/smtpd[303]: %s", "303"),
    ],
)
def test_the_process_of_a_login_is_a_field_of_the_record(form: str, process: str) -> None:
    parser = make_parser("auto", StampReader(find_zone("UTC", "test"), sent_ms=1_795_500_000_000))
    client, accepted = parser.parse(form % _CLIENT), parser.parse(form % _ACCEPTED)
    if not process:
        assert isinstance(client, Ignored)
        assert "l:" not in str(accepted)
        return
    assert isinstance(client, list)
    assert getattr(client[0], "queue_id", "") == f"l:{process}"
    assert f"session_id='l:{process}'" in str(accepted)
