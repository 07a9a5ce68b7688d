"""The lines of Haraka: how each is read, and who is meant where a line names nobody. Their form is that of 3.3."""

from __future__ import annotations

import pytest
from postwatch.streams.contracts.outcome import BOUNCED, DEFERRED, DELIVERED, DISCARDED, EXPIRED
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.events import (
    ANNOUNCED,
    CLIENT,
    ENVELOPE,
    QUEUE,
    Arrival,
    Ignored,
    LifecycleEvent,
    Parsed,
    Refusal,
    Step,
    Unreadable,
)
from postwatch.streams.parsers.haraka import parse_message
from postwatch.streams.parsers.lines import LineCounts, parse_lines
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

UUID = "086D80CD-4FAD-4BD7-AC47-9920D7867D7E"
MESSAGE = f"{UUID}.1"
ANN, BOB, CARL = "ann@far.example", "bob@far.example", "carl@mill.example"


def read(text: str) -> Parsed | None:
    return parse_message(text, 1000, text)


def core(words: str, uuid: str = MESSAGE) -> str:
    return f"[NOTICE] [{uuid}] [core] {words}"


def out(words: str, file: int = 1) -> str:
    return f"[INFO] [{MESSAGE}.{file}] [outbound] {words}"


def accepted(to: str, sender: str = "app@bakery.example") -> str:
    return core(f'recipient <{to}> code=OK msg="" sender={sender}')


def delivered(counts: str, file: int = 1, domain: str = "far.example", fails: int = 0) -> str:
    fields = f"file=1_2_0 domain={domain} host=mx1.{domain} ip=203.0.113.5 port=25 mode=SMTP tls=N auth=N"
    return out(f' delivered {fields} response="Ok: queued as B4579B2B16" delay=0.1 fails={fails} rcpts={counts}', file)


ANNOUNCEMENT = core('message mid=<h1@bakery.example> size=103 rcpts=3/0/0 delay=0 code=CONT msg=""')
TAKEN = core(f'queue code=CONT msg="Message Queued ({MESSAGE})"')
DELETED = "plugin responded with: 902. Not deferring. Deleting mail."
CONNECTED = core("connect ip=127.0.0.1 port=57924 local_ip=127.0.0.1 local_port=587", UUID)


def test_a_connection_tells_the_client() -> None:
    found = read(CONNECTED)
    assert isinstance(found, Arrival)
    assert (found.queue_id, found.client_ip, found.part) == (f"s:{UUID}", "127.0.0.1", CLIENT)
    closed = read(core("disconnect ip=127.0.0.1 rdns=x helo=y relay=Y", UUID))
    assert isinstance(closed, LifecycleEvent)
    assert closed.closes


def test_the_parts_of_a_transaction() -> None:
    recipient, message, queued = read(accepted("Ann@Far.Example")), read(ANNOUNCEMENT), read(TAKEN)
    assert isinstance(recipient, Arrival)
    assert (recipient.part, recipient.recipients, recipient.sender) == (ENVELOPE, (ANN,), "app@bakery.example")
    assert isinstance(message, Arrival)
    assert (message.part, message.message_id, message.size_bytes) == (ANNOUNCED, "h1@bakery.example", 103)
    assert isinstance(queued, Arrival)
    assert (queued.queue_id, queued.part, queued.session_id) == (MESSAGE, QUEUE, f"s:{UUID}")


def test_all_formats_tell_the_same() -> None:
    fields = {"file": "f", "domain": "far.example", "response": 'Ok "x"', "fails": "0", "rcpts": "1/0/0"}
    logfmt = f'level=NOTICE uuid={MESSAGE}.2 origin=outbound message="" delivered file=f domain=far.example '
    json = f'{{"level":"NOTICE","uuid":"{MESSAGE}.2","origin":"outbound","message":"","delivered file":"f",'
    forms = (
        f"[NOTICE] [{MESSAGE}.2] [outbound]  delivered file=f domain=far.example "
        'response="Ok \\"x\\"" fails=0 rcpts=1/0/0',
        logfmt + 'response="Ok \\"x\\"" fails=0 rcpts=1/0/0',
        json + '"domain":"far.example","response":"Ok \\"x\\"","fails":0,"rcpts":"1/0/0"}',
    )
    for form in forms:
        found = read(form)
        assert isinstance(found, Step), form
        assert (found.group, found.domain, found.answer, found.counts) == (
            2,
            "far.example",
            fields["response"],
            (1, 0, 0),
        )


@pytest.mark.parametrize(
    ("words", "status", "recipients", "answer"),
    [
        ("recipient <ann@far.example> rejected: 550 5.1.1 no", BOUNCED, (ANN,), "550 5.1.1 no"),
        ("recipient <ann@far.example> deferred: 450 4.2.1 busy", DEFERRED, (ANN,), "450 4.2.1 busy"),
        ("bouncing mail: 554 5.7.1 spam", BOUNCED, (), "554 5.7.1 spam"),
        ("bouncing mail: Too many failures (Tried all MXs)", EXPIRED, (), "Tried all MXs"),
        ("Temp failing 1_2_0 for 64 seconds: Tried all MXs", DEFERRED, (), "Tried all MXs"),
        (DELETED, DISCARDED, (), DELETED),
    ],
)
def test_what_came_of_a_queue_file(words: str, status: str, recipients: tuple[str, ...], answer: str) -> None:
    found = read(out(words))
    assert isinstance(found, Step)
    assert (found.queue_id, found.status, found.recipients, found.answer) == (MESSAGE, status, recipients, answer)


@pytest.mark.parametrize(
    "text",
    [
        out("bouncing mail: Some recipients failed: <ann@far.example>"),
        out("Temp failing 1_2_0 for 5 seconds: Some recipients temp failed: <ann@far.example>"),
        "[INFO] [-] [outbound] Transaction delivery for domain: far.example",
        f"[NOTICE] [{UUID}.1] [outbound]  delivered file=f domain=bakery.example fails=0 rcpts=1/0/0",
        core(' hook=queue plugin=relay function=x params="" retval=OK msg=""'),
    ],
)
def test_these_lines_change_nothing(text: str) -> None:
    assert isinstance(read(text), Ignored)


@pytest.mark.parametrize(
    "text",
    [
        core(
            'recipient <a> code=OK msg="" sender=victim@bank.example x@far.example> code=OK msg="" sender=b@c.example'
        ),
        out("recipient <a> rejected: x@far.example> deferred: 450 4.2.1 busy"),
        out(" delivered file=f domain=far.example response=x fails=0 rcpts=many"),
    ],
)
def test_what_could_be_read_in_two_ways_is_no_guess(text: str) -> None:
    assert isinstance(read(text), Unreadable)


@pytest.mark.parametrize("fields", ["", ' code=OK msg=""', ' code=OK msg="" sender="x'])
def test_a_recipient_line_without_its_fields_is_unreadable(fields: str) -> None:
    assert isinstance(read(core(f"recipient <ann@far.example>{fields}")), Unreadable)


def test_refusals() -> None:
    found = read(core('recipient <ann@far.example> code=DENY msg="no relaying" sender=app@bakery.example'))
    assert isinstance(found, Refusal)
    assert (found.recipient, found.response) == (ANN, "no relaying")
    refused = CONNECTED, accepted(ANN), ANNOUNCEMENT.replace('CONT msg=""', 'DENY msg="550 virus"')
    assert told(*refused) == {ANN: "rejected"}


def told(*texts: str) -> dict[str, str]:
    """Recipient → status, of lines that are read one by one."""
    joiner = Joiner(AccountBook(None))
    parser = make_parser("auto", StampReader(find_zone("UTC", "test")))
    newest: dict[tuple[str, str], tuple[int, bool, str]] = {}
    for number, text in enumerate(texts):
        line = f"2026-11-23T08:00:{number:02}.000Z {text}"
        joiner.add("web7", parse_lines(parser, [line], LineCounts()).events)
        for row in joiner.take_dirty()[0]:
            key = row.account, row.recipient
            if key not in newest or row.version >= newest[key][0]:
                newest[key] = row.version, bool(row.is_deleted), row.status
    return {to: status for (_, to), (_, is_deleted, status) in newest.items() if not is_deleted}


ARRIVED = (CONNECTED, accepted(ANN), accepted(BOB), accepted(CARL), ANNOUNCEMENT, TAKEN)


def test_all_of_a_domain_were_accepted() -> None:
    assert told(*ARRIVED, delivered("2/0/0"), delivered("1/0/0", 2, "mill.example")) == {
        ANN: DELIVERED,
        BOB: DELIVERED,
        CARL: DELIVERED,
    }


def test_whom_no_line_names_was_accepted() -> None:
    lines = (*ARRIVED, out("recipient <bob@far.example> rejected: 550 5.1.1 no"), delivered("1/0/1"))
    assert told(*lines) == {ANN: DELIVERED, BOB: BOUNCED}
    lines = (*ARRIVED, out("recipient <ann@far.example> deferred: 450 4.2.1 busy"), delivered("1/1/0"))
    assert told(*lines) == {ANN: DEFERRED, BOB: DELIVERED}
    assert told(*lines, delivered("1/0/0", fails=1)) == {ANN: DELIVERED, BOB: DELIVERED}


def test_where_the_numbers_do_not_fit_nothing_is_told() -> None:
    assert told(*ARRIVED, delivered("3/0/0")) == {}
    assert told(*ARRIVED, delivered("1/0/0", 2, "other.example")) == {}
    assert told(*ARRIVED, delivered("2/0/0", 3)) == {}
    lines = (*ARRIVED, out("recipient <bob@far.example> rejected: 550 5.1.1 no"), delivered("2/0/0", fails=1))
    assert told(*lines) == {BOB: BOUNCED}


def test_where_a_recipient_was_lost_a_line_without_names_tells_nothing() -> None:
    without = [line for line in ARRIVED if ANN not in line]
    assert told(*without, out("bouncing mail: 554 5.7.1 spam"), delivered("1/0/0", 2, "mill.example")) == {}


def test_with_always_split_a_file_is_of_one_recipient() -> None:
    lines = (*ARRIVED, delivered("1/0/0", 2), delivered("1/0/0", 3, "mill.example"))
    assert told(*lines) == {BOB: DELIVERED, CARL: DELIVERED}


def test_what_a_plugin_throws_away_instead_of_a_further_try_is_discarded() -> None:
    lines = (*ARRIVED, out("recipient <bob@far.example> deferred: 450 4.2.1 busy"), out(DELETED))
    assert set(told(*lines).values()) == {DISCARDED}


def test_a_refusal_of_the_whole_is_of_all_that_are_open() -> None:
    lines = (*ARRIVED, out("recipient <bob@far.example> rejected: 550 5.1.1 no"), out("bouncing mail: 554 5.7.1 spam"))
    assert told(*lines) == {ANN: BOUNCED, BOB: BOUNCED}


def test_what_a_queue_plugin_takes_has_no_row() -> None:
    taken = core(f'queue code=OK msg="250 2.0.0 Ok ({MESSAGE})"')
    assert told(*ARRIVED[:-1], taken) == {}
