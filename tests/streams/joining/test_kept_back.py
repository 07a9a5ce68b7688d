"""What a filter kept back, told by its own lines where the MTA's line names one recipient alone or another fate."""

from __future__ import annotations

import itertools

from postwatch.streams.contracts.outcome import BOUNCED, DELIVERED, DISCARDED, REJECTED, Outcome

from tests.streams.joining.test_passages import table

CLIENT = "Nov 24 08:00:01 mx postfix/smtpd[7]: NOQUEUE: client=mx.far.example[192.0.2.99]"
QUEUED = (
    "Nov 24 08:00:01 mx postfix/smtpd[1]: 7D31C0A84F: client=mx.far.example[192.0.2.99]",
    "Nov 24 08:00:01 mx postfix/cleanup[2]: 7D31C0A84F: message-id=<one@far.example>",
)
SENDER = "Nov 24 08:00:01 mx postfix/qmgr[3]: 7D31C0A84F: from=<carl@far.example>, size=900, nrcpt=2 (queue active)"
REMOVED = "Nov 24 08:00:05 mx postfix/qmgr[3]: 7D31C0A84F: removed"
ALL_DISCARDED = [("anna@bakery.example", DISCARDED), ("bob@bakery.example", DISCARDED)]


def told(rows: list[Outcome]) -> list[tuple[str, str]]:
    return sorted((row.account, row.status) for row in rows)


def proxied(answer: str, second: int = 4) -> str:
    verb = "accept" if answer.startswith("250") else "reject"
    return (
        f"Nov 24 08:00:0{second} mx postfix/smtpd[7]: proxy-{verb}: END-OF-MESSAGE: {answer}; "
        "from=<carl@far.example> to=<anna@bakery.example> proto=ESMTP helo=<mx.far.example>"
    )


def blocked(actions: str, recipients: str, queue_id: str = "", own_id: str = "00401-11") -> str:
    named = f"Queue-ID: {queue_id}, " if queue_id else ""
    return (
        f"Nov 24 08:00:03 mx amavis[401]: ({own_id}) Blocked SPAM {{{actions}}}, [192.0.2.99]:4000 [192.0.2.99] "
        f"<carl@far.example> -> {recipients}, quarantine: q/spam-q.gz, {named}Message-ID: <one@far.example>, "
        "mail_id: qX2, Hits: 22, size: 900, 640 ms"
    )


def rspamd(action: str, queue_id: str = "7D31C0A84F", message_id: str = "one@far.example") -> str:
    return (
        f"Nov 24 08:00:02 mx rspamd[5]: <4fa76d>; task; rspamd_task_write_log: id: <{message_id}>, qid: <{queue_id}>, "
        f"ip: 192.0.2.99, from: <carl@far.example>, (default: T ({action}): [21.50/15.00] [BAYES_SPAM(5.10){{99%;}}]), "
        "len: 900, time: 210ms, dns req: 12, digest: <0e1f>, rcpts: <anna@bakery.example,Bob@bakery.example>, "
        "mime_rcpts: <anna@bakery.example,>"
    )


def milter(action: str, words: str, queue_id: str = "7D31C0A84F") -> str:
    return (
        f"Nov 24 08:00:02 mx postfix/cleanup[2]: {queue_id}: milter-{action}: END-OF-MESSAGE from "
        f"mx.far.example[192.0.2.99]: {words}; from=<carl@far.example> to=<bob@bakery.example> proto=ESMTP helo=<x>"
    )


BOTH = "<anna@bakery.example>,<Bob@bakery.example>"


def test_amavis_before_the_queue_names_every_recipient() -> None:
    for answer, actions, expected in (
        ("250 2.7.0 Ok, discarded, id=00401-11 - spam", "DiscardedInbound,Quarantined", DISCARDED),
        ("554 5.7.0 Reject, id=00401-11 - spam", "RejectedInbound", REJECTED),
    ):
        for order in itertools.permutations((proxied(answer), blocked(actions, BOTH))):
            for blocks in ([[CLIENT, *order]], [[line] for line in (CLIENT, *order, *order)]):
                assert told(table(blocks)) == [(name, expected) for name, _ in ALL_DISCARDED]


def test_a_report_of_another_message_or_another_day_names_nobody() -> None:
    answer = proxied("250 2.7.0 Ok, discarded, id=00401-11 - spam")
    other = blocked("DiscardedInbound", BOTH, own_id="00401-12")
    earlier = blocked("DiscardedInbound", BOTH).replace("08:00:03", "05:00:03")
    assert told(table([[CLIENT, other, earlier, answer]])) == ALL_DISCARDED[:1]


def test_amavis_passes_some_recipients_before_the_queue_and_keeps_others() -> None:
    behind = [
        line.replace("mx.far.example[192.0.2.99]", "localhost[127.0.0.1], orig_client=mx.far.example[192.0.2.99]")
        for line in (*QUEUED, SENDER)
    ]
    passed = (
        "Nov 24 08:00:03 mx amavis[401]: (00401-11) Passed CLEAN {RelayedInbound}, [192.0.2.99]:4000 [192.0.2.99] "
        "<carl@far.example> -> <anna@bakery.example>, Message-ID: <one@far.example>, mail_id: qX2, Hits: 1, "
        "size: 900, queued_as: 7D31C0A84F, 640 ms"
    )
    kept = blocked("DiscardedInbound", "<bob@bakery.example>")
    answer = proxied("250 2.0.0 from MTA(smtp:[127.0.0.1]:10026): 250 2.0.0 Ok: queued as 7D31C0A84F")
    delivered = (
        "Nov 24 08:00:04 mx postfix/virtual[4]: 7D31C0A84F: to=<anna@bakery.example>, relay=virtual, delay=1, "
        "delays=0/0/0/1, dsn=2.0.0, status=sent (delivered to maildir)"
    )
    for order in ((passed, kept, answer, delivered), (kept, passed, delivered, answer)):
        lines = [CLIENT, *behind, *order, REMOVED]
        for blocks in ([lines], [[line] for line in lines]):
            assert told(table(blocks)) == [("anna@bakery.example", DELIVERED), ("bob@bakery.example", DISCARDED)]


def test_amavis_behind_the_queue_keeps_some_back_though_its_answer_names_the_next_queue_id() -> None:
    answers = [
        f"Nov 24 08:00:04 mx postfix/smtp[4]: 7D31C0A84F: to=<{to}@bakery.example>, relay=127.0.0.1[127.0.0.1]:10024, "
        "delay=2, delays=0/0/0/2, dsn=2.0.0, status=sent (250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: "
        "queued as 8E42D1B960)"
        for to in ("anna", "bob", "dora")
    ]
    behind = [
        line.replace("7D31C0A84F", "8E42D1B960").replace("mx.far.example[192.0.2.99]", "localhost[127.0.0.1]")
        for line in (*QUEUED, SENDER)
    ]
    delivered = (
        "Nov 24 08:00:04 mx postfix/virtual[4]: 8E42D1B960: to=<anna@bakery.example>, relay=virtual, delay=1, "
        "delays=0/0/0/1, dsn=2.0.0, status=sent (delivered to maildir)"
    )
    kept = [blocked("BouncedInbound,RelayedInbound", "<bob@bakery.example>,<dora@bakery.example>", "7D31C0A84F")]
    end = [REMOVED, delivered, REMOVED.replace("7D31C0A84F", "8E42D1B960")]
    for lines in (
        [*QUEUED, SENDER, *behind, *kept, *answers, *end],
        [*QUEUED, SENDER, *kept, *answers, *behind, *end],
        [*QUEUED, SENDER, *answers, *kept, *behind, *end],
        [*QUEUED, SENDER, *behind, *answers, *kept, *end],
    ):
        for blocks in ([lines], [[line] for line in lines], [lines, lines]):
            rows = table(blocks)
            assert told(rows) == [
                ("anna@bakery.example", DELIVERED),
                ("bob@bakery.example", BOUNCED),
                ("dora@bakery.example", BOUNCED),
            ]
            assert {row.queue_id for row in rows} == {"7D31C0A84F"}


def test_rspamd_names_every_recipient_of_what_a_milter_refused_or_threw_away() -> None:
    for action, done, words, expected in (
        ("reject", "reject", "5.7.1 Spam message rejected", REJECTED),
        ("soft reject", "reject", "4.7.1 Try again later", REJECTED),
        ("discard", "discard", "milter triggers DISCARD action", DISCARDED),
        ("reject", "discard", "milter triggers DISCARD action", DISCARDED),
        ("quarantine", "hold", "milter triggers HOLD action", DISCARDED),
        ("reject", "hold", "milter triggers HOLD action", DISCARDED),
    ):
        for order in itertools.permutations((rspamd(action), milter(done, words))):
            lines = [*QUEUED, *order]
            for blocks in ([lines], [[line] for line in lines], [lines, lines]):
                rows = table(blocks)
                assert told(rows) == [(name, expected) for name, _ in ALL_DISCARDED]
                if expected == DISCARDED:
                    assert {row.response for row in rows} == {f"default: T ({action}): [21.50/15.00]"}


def test_rspamds_advice_alone_decides_nothing() -> None:
    delivered = (
        "Nov 24 08:00:04 mx postfix/virtual[4]: 7D31C0A84F: to=<anna@bakery.example>, relay=virtual, delay=1, "
        "delays=0/0/0/1, dsn=2.0.0, status=sent (delivered to maildir)"
    )
    rows = table([[*QUEUED, SENDER, rspamd("reject"), rspamd("quarantine"), delivered, REMOVED]])
    assert told(rows) == [("anna@bakery.example", DELIVERED)]


def test_what_an_operator_lets_go_from_quarantine_is_delivered() -> None:
    delivered = (
        "Nov 24 09:00:04 mx postfix/virtual[4]: 7D31C0A84F: to=<{}@bakery.example>, relay=virtual, delay=1, "
        "delays=0/0/0/1, dsn=2.0.0, status=sent (delivered to maildir)"
    )
    lines = [*QUEUED, rspamd("quarantine"), milter("hold", "milter triggers HOLD action")]
    lines += [SENDER.replace("08:00:01", "09:00:01"), delivered.format("anna"), delivered.format("bob")]
    assert told(table([[line] for line in lines])) == [(name, DELIVERED) for name, _ in ALL_DISCARDED]


def test_no_message_id_names_a_recipient_to_rspamd() -> None:
    """A stranger whose Message-ID looks like the fields behind it makes the line ambiguous, and it tells nothing."""
    forged = (
        "x>, qid: <8E42D1B960>, ip: 192.0.2.99, from: <a@b.example>, (default: T (reject): [9/1] []), len: 1, time: "
        "1ms, dns req: 1, digest: <00>, rcpts: <victim@bakery.example>, mime_rcpts: <x"
    )
    refused = milter("reject", "5.7.1 Spam message rejected", "8E42D1B960")
    rows = table([[*QUEUED, rspamd("reject", message_id=forged), refused]])
    assert told(rows) == [("bob@bakery.example", REJECTED)]


def test_clamsmtp_before_the_queue_names_every_recipient() -> None:
    found = (
        "Nov 24 08:00:03 mx clamsmtpd: 100004: from=carl@far.example, to=anna@bakery.example, to=Bob@bakery.example, "
        "status=VIRUS:Eicar-Signature"
    )
    answer = proxied("250 Virus Detected; Discarded Email")
    for order in itertools.permutations((answer, found)):
        assert told(table([[CLIENT, *order]])) == ALL_DISCARDED
        assert told(table([[line] for line in (CLIENT, *order, *order)])) == ALL_DISCARDED
    for other in (
        found.replace("08:00:03", "08:00:13"),
        found.replace("from=carl", "from=eve"),
        found.replace("status=VIRUS:Eicar-Signature", "status=CLEAN"),
    ):
        assert told(table([[CLIENT, other, answer]])) == ALL_DISCARDED[:1]


def test_two_messages_of_one_sender_at_once_are_not_told_apart_by_clamsmtp() -> None:
    found = (
        "Nov 24 08:00:03 mx clamsmtpd: 10000{}: from=carl@far.example, to=anna@bakery.example, to={}@bakery.example, "
        "status=VIRUS:Eicar-Signature"
    )
    answer = proxied("250 Virus Detected; Discarded Email")
    lines = [CLIENT, found.format(4, "bob"), found.format(5, "bob"), answer]
    assert told(table([lines])) == ALL_DISCARDED[:1]


def test_mailscanner_names_every_recipient_that_it_does_not_deliver_to() -> None:
    held = (
        "Nov 24 08:00:01 mx postfix/cleanup[2]: 7D31C0A84F: hold: header Received: from mx.far.example from "
        "mx.far.example[192.0.2.99]; from=<carl@far.example> to=<bob@bakery.example> proto=ESMTP helo=<x>"
    )
    kept = (
        "Nov 24 08:00:03 mx MailScanner[28]: Non-delivery of spam: message 7D31C0A84F.A2F40 from carl@far.example to "
        "anna@bakery.example,bob@bakery.example with subject to dora@bakery.example with subject x"
    )
    actions = "Nov 24 08:00:03 mx MailScanner[28]: Spam Actions: message 7D31C0A84F.A2F40 actions are store"
    for lines in ([*QUEUED, held, kept, actions], [*QUEUED, held, actions, kept]):
        assert told(table([lines])) == ALL_DISCARDED
        assert told(table([[line] for line in lines])) == ALL_DISCARDED


SAVED = (
    "Nov 24 08:00:04 mx postfix/lmtp[4]: 7D31C0A84F: to=<anna@bakery.example>, relay=10.0.0.5[10.0.0.5]:24, delay=2, "
    "delays=0/0/0/2, dsn=2.0.0, status=sent (250 2.0.0 <anna@bakery.example> yDNOLv6NCmucAAAAZnZaXw:T2 Saved)"
)
SIEVE = (
    "Nov 24 08:00:04 mx dovecot: lmtp(anna@bakery.example)<156><yDNOLv6NCmucAAAAZnZaXw:T2>: sieve: "
    "msgid=<one@far.example>: "
)
THROWN = f"{SIEVE}discard action: Marked message to be discarded if not explicitly delivered (discard action)"
STORED = f"{SIEVE}fileinto action: stored mail into mailbox 'Orders'"


def test_what_a_script_of_dovecots_did_counts_over_the_answer() -> None:
    refused = f"{SIEVE}reject action: rejected message from <carl@far.example> (reject)"
    for line, expected in (
        (THROWN, DISCARDED),
        (THROWN.replace("discard action: Marked", "marked"), DISCARDED),
        (refused, BOUNCED),
        (STORED, DELIVERED),
        (f"{SIEVE}redirect action: forwarded to <friend@far.example>", DELIVERED),
    ):
        for order in ((SAVED, REMOVED, line), (line, SAVED, REMOVED), (SAVED, line, REMOVED)):
            lines = [*QUEUED, SENDER, *order]
            for blocks in ([lines], [[line] for line in lines], [lines, lines]):
                assert told(table(blocks)) == [("anna@bakery.example", expected)], order


def test_a_script_that_discards_what_it_also_stores_delivers_it() -> None:
    for order in ((THROWN, STORED, SAVED, REMOVED), (THROWN, SAVED, STORED, REMOVED), (SAVED, REMOVED, THROWN, STORED)):
        lines = [*QUEUED, SENDER, *order]
        for blocks in ([lines], [[line] for line in lines], [lines, lines]):
            assert told(table(blocks)) == [("anna@bakery.example", DELIVERED)], order


def test_a_script_of_another_delivery_changes_nothing() -> None:
    forged = THROWN.partition("dovecot: ")[2].replace("Saved", "")
    arrival = [line.replace("one@far.example", f"x {forged}") for line in QUEUED]
    for other in (THROWN.replace(":T2>", ":T3>"), THROWN.replace("dovecot:", "imap-login:"), forged):
        assert told(table([[*arrival, SENDER, other, SAVED, REMOVED]])) == [("anna@bakery.example", DELIVERED)]
    far = SAVED.replace("10.0.0.5[10.0.0.5]", "mx.far.example[192.0.2.99]")
    assert told(table([[*QUEUED, SENDER, THROWN, far, REMOVED]])) == [("anna@bakery.example", DELIVERED)]
