"""Which attempt decides where a mailbox has others beside it, and what an event says where there is no attempt."""

from __future__ import annotations

import itertools

import pytest
from postwatch.streams.contracts.outcome import Outcome
from postwatch.streams.enrichment.accounts import AccountBook
from postwatch.streams.joining.joiner import Joiner
from postwatch.streams.parsers.lines import LineCounts, parse_lines
from postwatch.streams.parsers.registry import make_parser
from postwatch.streams.parsers.timestamps import StampReader, find_zone

_ID = "1wtbOW-00000001Aaa-0001"
_ARRIVAL = "08 <= a@far.example H=mx.far.example [192.0.2.4] P=esmtps S=900 for sales@bakery.example"
_FAILED = "09 ** sales <sales@bakery.example> R=virtual_user T=lmtp: LMTP error after DATA: 552 5.2.2 over quota"
_DEFERRED = (
    "09 == sales <sales@bakery.example> R=virtual_user T=lmtp defer (-44): LMTP error after DATA: 452 4.2.2 full"
)
_DELIVERED = '09 => sales <sales@bakery.example> R=virtual_user T=lmtp C="250 2.0.0 Saved"'
_LATER = '29 => sales <sales@bakery.example> R=virtual_user T=lmtp C="250 2.0.0 Saved"'
_DONE = "30 Completed"
_BESIDE = (
    "09 => |/usr/local/cpanel/bin/autorespond sales@bakery.example <sales@bakery.example> R=aliases T=pipe",
    "09 => >a@far.example <sales@bakery.example> R=reply T=address_reply",
    "09 => sales <sales@bakery.example> R=uservacation T=uservacation",
    "09 => |/usr/bin/store <sales@bakery.example> R=aliases T=pipe",
    "09 => /var/archive/mbox <sales@bakery.example> R=archive T=address_file",
    "09 => /dev/null <sales@bakery.example> R=archive T=**bypassed**",
    "09 => :blackhole: <sales@bakery.example> R=aliases",
    "09 ** |/usr/bin/store <sales@bakery.example> R=aliases T=pipe: it returned 1",
)


_LOCAL = "postfix/local[7]: AAAA000001: to=<sales@bakery.example>, relay=local, delay=1, delays=0/0/0/1, "
_ARRIVED = (
    "07 postfix/smtpd[7]: AAAA000001: client=mx.far.example[192.0.2.4]",
    "08 postfix/qmgr[7]: AAAA000001: from=<a@far.example>, size=900, nrcpt=1 (queue active)",
)
_FULL = "cannot update mailbox /var/mail/sales for user sales. error writing message: File too large"
_MAILBOX_FAILS = (
    f"09 {_LOCAL}dsn=5.2.2, status=bounced ({_FULL})",
    "09 postfix/lmtp[7]: AAAA000001: to=<sales@bakery.example>, relay=mx1[private/dovecot-lmtp], delay=1, "
    "delays=0/0/0/1, dsn=5.2.2, status=bounced (host mx1[private/dovecot-lmtp] said: 552 5.2.2 <sales@bakery.example> "
    "Quota exceeded (in reply to end of DATA command))",
    "09 postfix/virtual[7]: AAAA000001: to=<sales@bakery.example>, relay=virtual, delay=1, delays=0/0/0/1, dsn=5.2.2, "
    "status=bounced (maildir delivery failed: error writing message: Disk quota exceeded)",
)
_BESIDE_IN_POSTFIX = (
    f"09 {_LOCAL}dsn=2.0.0, status=sent (delivered to command: /usr/bin/vacation sales)",
    f"09 {_LOCAL}dsn=2.0.0, status=sent (delivered to command: exec /usr/bin/perl -w /home/sales/autoreply.pl)",
    f"09 {_LOCAL}dsn=2.0.0, status=sent (delivered to command: /usr/local/bin/ticket)",
    f"09 {_LOCAL}dsn=2.0.0, status=sent (delivered to file: /var/archive/sales)",
    f'09 {_LOCAL}dsn=5.3.0, status=bounced (Command died with status 1: "/usr/local/bin/ticket". Command output: no)',
    f"09 {_LOCAL}dsn=5.6.0, status=bounced (data format error. Command output: no such ticket)",
    "09 postfix/pipe[7]: AAAA000001: to=<sales@bakery.example>, relay=vacation, delay=1, delays=0/0/0/1, dsn=2.0.0, "
    "status=sent (delivered via vacation service)",
    "09 postfix/pipe[7]: AAAA000001: to=<sales#bakery.example@autoreply.example>, orig_to=<sales@bakery.example>, "
    "relay=vacation, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (delivered via vacation service)",
)
_REMOVED = "30 postfix/qmgr[7]: AAAA000001: removed"


def told(*entries: str, is_gone: bool = False) -> Outcome:
    """The row that a table shows, in whichever order lines of one second come and however they are cut."""
    seconds = [list(lines) for _, lines in itertools.groupby(entries, key=lambda entry: entry[:2])]
    orders = itertools.product(*(list(itertools.permutations(lines)) for lines in seconds))
    shown = {
        tuple((name, _newest(order, cut)[name]) for name in ("status", "smtp_code", "response", "is_deleted"))
        for order in (tuple(itertools.chain(*one)) for one in orders)
        for cut in (1, len(order))
    }
    assert len(shown) == 1, shown
    assert dict(next(iter(shown)))["is_deleted"] == is_gone
    return Outcome(**_newest(entries, 1))  # type: ignore[arg-type]


def _newest(entries: tuple[str, ...], cut: int) -> dict[str, object]:
    is_syslog = entries[0][3:].startswith(("postfix/", "sm-mta["))
    parser = make_parser("auto" if is_syslog else "exim-main", StampReader(find_zone("UTC", "test")))
    joiner = Joiner(AccountBook(None))
    newest: Outcome | None = None
    for start in range(0, len(entries), cut):
        lines = [
            f"2026-08-11T01:35:{entry[:2]}+00:00 mx1 {entry[3:]}"
            if is_syslog
            else f"2026-08-11 01:35:{entry[:2]} {_ID} {entry[3:]}"
            for entry in entries[start : start + cut]
        ]
        joiner.add("mx1", parse_lines(parser, lines, LineCounts()).events)
        for row in joiner.take_dirty()[0]:
            if (
                row.recipient == "sales@bakery.example"
                and row.account
                and (newest is None or row.version >= newest.version)
            ):
                newest = row
    assert newest is not None
    return newest._asdict()


@pytest.mark.parametrize("beside", _BESIDE)
def test_the_mailbox_decides(beside: str) -> None:
    assert told(_ARRIVAL, _FAILED, beside).status == "bounced"
    assert told(_ARRIVAL, _DEFERRED, beside).status == "deferred"
    assert told(_ARRIVAL, _DELIVERED, beside).response == "250 2.0.0 Saved"
    assert told(_ARRIVAL, _FAILED, beside, _DONE).response == "552 5.2.2 over quota"
    assert told(_ARRIVAL, _DEFERRED, beside, _LATER).status == "delivered"


@pytest.mark.parametrize("pipe", _BESIDE[3:6])
@pytest.mark.parametrize("reply", _BESIDE[:3])
def test_an_automatic_reply_is_the_last_to_decide(pipe: str, reply: str) -> None:
    assert told(_ARRIVAL, pipe, reply).status == ("discarded" if "bypassed" in pipe else "delivered")
    assert "reply" not in told(_ARRIVAL, pipe, reply).transport


def test_two_programs_and_a_mailbox() -> None:
    assert told(_ARRIVAL, _DEFERRED, _BESIDE[0], _BESIDE[3]).smtp_code == 452


def test_an_address_whose_routing_was_deferred_may_be_a_command_after_all() -> None:
    routing = "09 == sales@bakery.example R=aliases defer (-1): failed to open /etc/aliases"
    later = "29 => |/usr/bin/mailman post sales <sales@bakery.example> R=aliases T=pipe"
    assert told(_ARRIVAL, routing, later).status == "delivered"


def test_a_mailbox_that_became_a_command() -> None:
    later = "29 => |/usr/bin/store <sales@bakery.example> R=aliases T=pipe"
    assert told(_ARRIVAL, _DEFERRED, later).status == "deferred"
    assert told(_ARRIVAL, _DEFERRED, later, _DONE).status == "delivered"


def test_what_is_cancelled_beside_an_automatic_reply() -> None:
    assert told(_ARRIVAL, _DEFERRED, _BESIDE[0], "30 removed by root").status == "cancelled"


def test_who_gives_up_keeps_the_last_answer() -> None:
    waited = "19 == sales <sales@bakery.example> R=virtual_user T=lmtp defer (-53): Retry time not yet reached"
    given_up = "29 ** sales@bakery.example: retry timeout exceeded"
    row = told(_ARRIVAL, _DEFERRED, waited, given_up)
    assert (row.status, row.smtp_code, row.enhanced_code, row.response) == ("expired", 452, "4.2.2", "452 4.2.2 full")
    row = told(_ARRIVAL, _DEFERRED, _BESIDE[0], given_up, _DONE)
    assert (row.status, row.smtp_code, row.transport) == ("expired", 452, "lmtp")


def test_who_never_was_tried_gives_up_with_the_words_of_that() -> None:
    assert told(_ARRIVAL, "29 ** sales@bakery.example: retry timeout exceeded").response == "retry timeout exceeded"


def test_words_for_one_recipient_of_the_data_refuse_him_if_nothing_else_is_told() -> None:
    words = "08 PRDR sales@bakery.example looks odd"
    arrival = f"{_ARRIVAL} other@bakery.example"
    other = "09 => other <other@bakery.example> R=virtual_user T=lmtp"
    assert told(words).status == "rejected"
    assert _newest((words, arrival), 1)["status"] == "pending"
    assert told(words, arrival, other, _DONE).response == "looks odd"
    assert told(words, arrival, _DELIVERED, _DONE).status == "delivered"
    assert told(words, arrival, _FAILED, _DONE).smtp_code == 552
    assert told(words, arrival, _DEFERRED).status == "deferred"


def test_a_refusal_in_exims_own_words_needs_no_end() -> None:
    assert told("08 PRDR R=<sales@bakery.example> temporary refusal", _ARRIVAL).smtp_code == 450


def test_a_system_filter_that_fails_bounces_whom_it_names_no_further() -> None:
    row = told(_ARRIVAL, "09 cancelled by system filter: 550 5.7.1 no such files", _DONE)
    assert (row.status, row.smtp_code, row.enhanced_code) == ("bounced", 550, "5.7.1")


def test_what_a_system_filter_put_in_place_of_the_recipients_is_not_thrown_away() -> None:
    ignored = "09 original recipients ignored (system filter)"
    assert told(_ARRIVAL, ignored, _DONE).status == "discarded"
    made = "09 == sales@bakery.example <system-filter> R=virtual_user T=lmtp defer (-22): full"
    assert told(_ARRIVAL.replace("sales@", "other@"), ignored, made).status == "deferred"


@pytest.mark.parametrize("beside", _BESIDE_IN_POSTFIX)
@pytest.mark.parametrize("failed", _MAILBOX_FAILS)
def test_the_mailbox_decides_in_postfix(failed: str, beside: str) -> None:
    deferred = failed.replace("bounced", "deferred").replace("5.2.2", "4.2.2").replace("552", "452")
    delivered = f"09 {_LOCAL}dsn=2.0.0, status=sent (delivered to mailbox)"
    assert told(*_ARRIVED, failed, beside, _REMOVED).status == "bounced"
    assert told(*_ARRIVED, deferred, beside).status == "deferred"
    assert told(*_ARRIVED, deferred, beside, delivered.replace("09", "29", 1)).status == "delivered"
    assert told(*_ARRIVED, delivered, beside, _REMOVED).response == "delivered to mailbox"


def test_a_command_that_is_the_mailbox_decides_before_a_reply() -> None:
    failed = f"09 {_LOCAL}dsn=4.3.0, status=deferred (temporary failure. Command output: lda: Error: quota)"
    assert told(*_ARRIVED, failed, _BESIDE_IN_POSTFIX[0]).status == "deferred"
    for beside in _BESIDE_IN_POSTFIX[:6]:
        assert told(*_ARRIVED, failed, beside).status == "deferred"
    assert told(*_ARRIVED, failed, _BESIDE_IN_POSTFIX[3], _REMOVED).status == "delivered"
    stored = f"09 {_LOCAL}dsn=2.0.0, status=sent (delivered to command: /usr/lib/dovecot/dovecot-lda -f a@far.example)"
    assert "dovecot-lda" in told(*_ARRIVED, stored, _BESIDE_IN_POSTFIX[0], _BESIDE_IN_POSTFIX[2]).response


def test_a_reply_alone_is_what_became_of_the_message() -> None:
    assert told(*_ARRIVED, _BESIDE_IN_POSTFIX[7], _REMOVED).status == "delivered"
    assert told(_ARRIVAL, _BESIDE[0], _DONE).status == "delivered"


def test_a_reply_is_no_row_of_an_address_that_goes_on_elsewhere() -> None:
    elsewhere = (
        "09 postfix/smtp[7]: AAAA000001: to=<sales@other.example>, orig_to=<sales@bakery.example>, "
        "relay=mx.other.example[192.0.2.9]:25, delay=1, delays=0/0/0/1, dsn=5.1.1, status=bounced (host "
        "mx.other.example[192.0.2.9] said: 550 5.1.1 no such user (in reply to RCPT TO command))"
    )
    for reply in _BESIDE_IN_POSTFIX[6:]:
        assert told(*_ARRIVED, elsewhere, reply, _REMOVED, is_gone=True)
        assert told(*_ARRIVED, elsewhere, reply, _MAILBOX_FAILS[1], _REMOVED).status == "bounced"
        deferred = _MAILBOX_FAILS[1].replace("bounced", "deferred")
        assert told(*_ARRIVED, elsewhere, reply, deferred).status == "deferred"
    exim = "09 ** sales@other.example <sales@bakery.example> R=dnslookup T=smtp: 550 no such user"
    for reply in _BESIDE[:2]:
        assert told(_ARRIVAL, exim, reply, _DONE, is_gone=True)
        assert told(_ARRIVAL, exim, reply, _DEFERRED).status == "deferred"
        assert told(_ARRIVAL, exim, reply, _DEFERRED, _LATER, _DONE).status == "delivered"


def test_a_reply_beside_a_forward_of_postfix() -> None:
    lines = (
        *_ARRIVED,
        "08 postfix/cleanup[7]: AAAA000002: message-id=<m1@far.example>",
        "08 postfix/qmgr[7]: AAAA000002: from=<a@far.example>, size=950, nrcpt=1 (queue active)",
        f"09 {_LOCAL}dsn=2.0.0, status=sent (forwarded as AAAA000002)",
        _BESIDE_IN_POSTFIX[0],
        "10 postfix/smtp[7]: AAAA000002: to=<sales@other.example>, orig_to=<sales@bakery.example>, "
        "relay=mx.other.example[192.0.2.9]:25, delay=1, delays=0/0/0/1, dsn=5.1.1, status=bounced (no such user)",
    )
    assert told(*lines, is_gone=True)
    assert told(*lines, _MAILBOX_FAILS[0]).status == "bounced"


_ID_IN_SENDMAIL = "sm-mta[7]: 6AN81K0g002033: "
_ARRIVED_IN_SENDMAIL = (
    f"08 {_ID_IN_SENDMAIL}from=<a@far.example>, size=900, class=0, nrcpts=1, msgid=<m1@far.example>, proto=ESMTP, "
    "daemon=MTA, relay=mx.far.example [192.0.2.4]"
)
_MADE = "ctladdr=<sales@bakery.example> (1000/1000), delay=00:00:01, xdelay=00:00:00"
_VACATION = f'09 {_ID_IN_SENDMAIL}to="|/usr/bin/vacation sales", {_MADE}, mailer=prog, pri=61200, dsn=2.0.0, stat=Sent'


@pytest.mark.parametrize(
    "mailbox",
    [
        f"09 {_ID_IN_SENDMAIL}to=\\\\sales, {_MADE}, mailer=local, pri=1, dsn=4.2.2, stat=Deferred: mailbox full",
        f"09 {_ID_IN_SENDMAIL}to=\\sales, {_MADE}, mailer=local, pri=1, dsn=4.2.2, stat=Deferred: mailbox full",
        f"09 {_ID_IN_SENDMAIL}to=<sales@bakery.example>, delay=00:00:01, mailer=lmtp, dsn=4.2.2, stat=Deferred: full",
    ],
)
def test_the_mailbox_decides_in_sendmail(mailbox: str) -> None:
    failed = mailbox.replace("4.2.2", "5.2.2").replace("Deferred: ", "User ")
    delivered = mailbox.replace("4.2.2", "2.0.0").replace("09", "29", 1).partition(" stat=")[0] + " stat=Sent"
    assert told(_ARRIVED_IN_SENDMAIL, mailbox, _VACATION).status == "deferred"
    assert told(_ARRIVED_IN_SENDMAIL, failed, _VACATION).status == "bounced"
    assert told(_ARRIVED_IN_SENDMAIL, mailbox, _VACATION, delivered).status == "delivered"


def test_a_reply_of_sendmail_is_no_row_of_its_own() -> None:
    away = f"09 {_ID_IN_SENDMAIL}to=ann@phone.example, {_MADE}, mailer=esmtp, dsn=5.1.1, stat=User unknown"
    assert told(_ARRIVED_IN_SENDMAIL, _VACATION).status == "delivered"
    assert told(_ARRIVED_IN_SENDMAIL, _VACATION, away, is_gone=True)
