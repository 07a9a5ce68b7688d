"""Postfix's lines: how each is read, and that strangers' words are never read as facts."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postwatch.streams.contracts.outcome import BOUNCED, CANCELLED, DEFERRED, DELIVERED, DISCARDED, EXPIRED, REJECTED
from postwatch.streams.parsers.events import (
    CLIENT,
    FILTER,
    FORWARD,
    HELD,
    MESSAGE_ID,
    OWN_NOTICE,
    PARENT,
    QUEUE,
    SUBJECT,
    Arrival,
    Attempt,
    Ignored,
    LifecycleEvent,
    Parsed,
    Refusal,
    Unreadable,
)
from postwatch.streams.parsers.postfix.daemons import parse_message

from tests.cpu import is_linear


def read(agent: str, message: str) -> Parsed:
    return parse_message(f"postfix/{agent}", message, 0, 1000, message)


def attempt(agent: str, message: str) -> Attempt:
    parsed = read(agent, message)
    assert isinstance(parsed, Attempt), parsed
    return parsed


def arrival(agent: str, message: str) -> Arrival:
    parsed = read(agent, message)
    assert isinstance(parsed, Arrival), parsed
    return parsed


def refusal(agent: str, message: str) -> Refusal:
    parsed = read(agent, message)
    assert isinstance(parsed, Refusal), parsed
    return parsed


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("7F00AA: client=unknown[192.0.2.1]", ("", "192.0.2.1", "", "", "")),
        ("7F00AA: client=a.example[192.0.2.1]:3300", ("a.example", "192.0.2.1", "", "", "")),
        (
            "4jYCZM64N0z6HRR: client=a.example[2001:db8::1], sasl_method=PLAIN, sasl_username=ann@here.example",
            ("a.example", "2001:db8::1", "PLAIN", "ann@here.example", ""),
        ),
        (
            "7F00AA: client=localhost[127.0.0.1], orig_queue_id=3C00BB11, orig_client=b.example[192.0.2.9]",
            ("b.example", "192.0.2.9", "", "", "3C00BB11"),
        ),
        (
            "7F00AA: client=a.example[192.0.2.1], sasl_method=LOGIN, sasl_username=x, sasl_username=root@here.example",
            ("a.example", "192.0.2.1", "LOGIN", "x", ""),
        ),
    ],
)
def test_who_handed_it_in(message: str, wanted: tuple[str, ...]) -> None:
    found = arrival("smtpd", message)
    assert found.part == CLIENT
    assert (
        found.client_host, found.client_ip, found.auth_method, found.authenticated_as, found.earlier_queue_id,
    ) == wanted  # fmt: skip


def test_a_local_submitter_is_whom_the_system_knows() -> None:
    found = arrival("pickup", "7F00AA: uid=1007 from=<root@here.example> orig_id=3C00BB11")
    assert (found.part, found.system_user, found.sender, found.earlier_queue_id) == (CLIENT, "uid1007", "", "3C00BB11")


def test_message_id_sender_and_subject() -> None:
    assert arrival("cleanup", "7F00AA: message-id=<a@b.example>").message_id == "a@b.example"
    assert arrival("cleanup", "7F00AA: message-id=<>").part == MESSAGE_ID
    queued = arrival(
        "qmgr", '7F00AA: from=<"x>, size=1, nrcpt=1 (queue active)"@b.example>, size=12, nrcpt=2 (queue active)'
    )
    assert (queued.part, queued.sender, queued.size_bytes) == (
        QUEUE, '"x>, size=1, nrcpt=1 (queue active)"@b.example', 12,
    )  # fmt: skip
    subject = arrival(
        "cleanup",
        "7F00AA: warning: header Subject: hi from x[192.0.2.6]; from=<root@here.example> to=<a@here.example> proto=ESMTP"
        " helo=<x>: done from local; from=<eve@far.example> to=<b@far.example>",
    )
    assert (subject.part, subject.sender) == (SUBJECT, "")
    assert subject.subject.startswith("hi from x[192.0.2.6]; from=<root@here.example>")
    encoded = (
        "7F00AA: info: header Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= from local; from=<a@b.example> to=<c@d.example>"
    )
    assert arrival("cleanup", encoded).subject == "Grüße"


@pytest.mark.parametrize(
    ("header", "subject"),
    [
        ("warning: header Subject:Bill 7", "Bill 7"),
        ("info: header SUBJECT : Bill 7", "Bill 7"),
        ("prepend: header subject:  Bill 7", "Bill 7"),
        ("replace: header Subject:? Bill 7", "Bill 7"),
        ("pass: header Subject:??Bill 7", "Bill 7"),
        ("filter: header Subject: ?? Bill 7", "?? Bill 7"),
        ("warning: header Subject:", ""),
        ("warning: header Subject: ", ""),
        ("warning: header Subject: =?utf-8?q?Gr=C3=BC?=? =?utf-8?q?=C3=9Fe?=", "Grüße"),
    ],
)
def test_subjects_of_header_checks(header: str, subject: str) -> None:
    line = f"7F00AA: {header} from a.example[192.0.2.1]; from=<a@b.example> to=<c@d.example> proto=ESMTP helo=<x>: Subject: y"
    found = arrival("cleanup", line)
    assert (found.part, found.subject) == (SUBJECT, subject)


def test_a_header_that_only_looks_like_a_subject_is_a_note() -> None:
    tail = "from a.example[192.0.2.1]; from=<a@b.example> to=<c@d.example> proto=ESMTP helo=<x>"
    for header in ("X-Subject: Bill", "X: Subject: Bill", "Subject-Old: Bill"):
        assert isinstance(read("cleanup", f"7F00AA: warning: header {header} {tail}"), Ignored)


@pytest.mark.parametrize(
    ("logged", "tls"),
    [
        ("may", "may"),
        ("dane:halfdane", "dane:halfdane"),
        ("dane-only", "dane-only"),
        ("secure/requiretls", "secure/requiretls"),
        ("encrypt/requiretls:nocertmatch", "encrypt/requiretls:nocertmatch"),
        ("may/requiretls:none", "may/requiretls:none"),
        ("secure/!requiretls:none", "secure/!requiretls:none"),
        ("none", ""),
        ("may:none", ""),
        ("dane:none", ""),
        ("may?", ""),
        ("unknown", ""),
        ("unknown?", ""),
        ("!encrypt:none", ""),
        ("none/requiretls:none", ""),
        ("may:none/requiretls:none", ""),
        ("may?/requiretls?", ""),
        ("may/!requiretls:nostarttls", ""),
        ("none/!requiretls:noencryption", ""),
    ],
)
def test_tls_features_that_mean_in_the_clear(logged: str, tls: str) -> None:
    found = attempt(
        "smtp",
        "7F00AA: to=<b@far.example>, relay=mx.far.example[192.0.2.1]:25, delay=1, delays=0/0/0/1, "
        f"tls={logged}, dsn=2.0.0, status=sent (250 Ok)",
    )
    assert found.tls == tls


def test_our_login_that_a_smarthost_refuses_has_its_codes() -> None:
    found = attempt(
        "smtp",
        "7F00AA: to=<b@far.example>, relay=s.example[192.0.2.1]:587, delay=1, delays=0/0/0/1, dsn=4.7.8, "
        "status=deferred (SASL authentication failed; server s.example[192.0.2.1] said: 535 5.7.8 Bad credentials)",
    )
    assert (found.smtp_code, found.enhanced_code, found.response) == (535, "5.7.8", "535 5.7.8 Bad credentials")
    assert found.status == DEFERRED


def test_what_cleanup_removes_never_was_in_the_queue() -> None:
    for word, status in (("canceled", CANCELLED), ("discarded", DISCARDED)):
        found = read("cleanup", f"7F00AA: removed ({word})")
        assert isinstance(found, LifecycleEvent)
        assert (found.status, found.closes, found.is_before_queue) == (status, True, True)


def test_endings_and_notices() -> None:
    assert read("qmgr", "7F00AA: removed") == LifecycleEvent("7F00AA", 1000, "7F00AA: removed", closes=True)
    expired = read("qmgr", "7F00AA: from=<a@b.example>, status=expired, returned to sender")
    assert isinstance(expired, LifecycleEvent)
    assert (expired.status, expired.closes) == (EXPIRED, False)
    cancelled = read("postsuper", "7F00AA: removed")
    assert isinstance(cancelled, LifecycleEvent)
    assert (cancelled.status, cancelled.closes) == (CANCELLED, True)
    notice = arrival("bounce", "7F00AA: sender non-delivery notification: 8E00CC")
    assert (notice.queue_id, notice.part, notice.parent_queue_id) == ("8E00CC", PARENT, "7F00AA")
    for words, sender in (("sender delay notification", ""), ("postmaster non-delivery notification", OWN_NOTICE)):
        assert arrival("bounce", f"7F00AA: {words}: 8E00CC").sender == sender


HEAD = "7F00AA: to=<ann@far.example>, relay=mx.far.example[198.51.100.1]:25, delay=1, delays=0/0/0/1, "


@pytest.mark.parametrize(
    ("agent", "message", "wanted"),
    [
        ("smtp", HEAD + "dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 8C1D22)", (DELIVERED, 250, "2.0.0", "8C1D22", "")),
        ("smtp", HEAD + "dsn=2.0.0, status=sent (250 OK id=1wtYVW-0000000GFxD-3Ryp)",
         (DELIVERED, 250, "2.0.0", "1wtYVW-0000000GFxD-3Ryp", "")),
        ("smtp", HEAD + "dsn=5.1.1, status=bounced (host mx.far.example[198.51.100.1] said: 550 5.1.1 no (in reply to RCPT TO command))",
         (BOUNCED, 550, "5.1.1", "", "")),
        ("smtp", HEAD + "dsn=4.7.1, status=deferred (host mx.far.example[198.51.100.1] refused to talk to me: 421 4.7.0 later)",
         (DEFERRED, 421, "4.7.1", "", "")),
        ("smtp", "7F00AA: to=<a@b.example>, relay=none, delay=46, status=deferred (connect to x[192.0.2.1]: No route to host)",
         (DEFERRED, 0, "", "", "")),
        ("local", "7F00AA: to=root@h.example, orig_to=root, relay=local, delay=0.1, delays=0/0/0/0, dsn=2.0.0, status=sent (delivered to command: procmail)",
         (DELIVERED, 0, "2.0.0", "", "")),
        ("local", "7F00AA: to=<a@b.example>, relay=local, delay=0, dsn=2.0.0, status=sent (forwarded as 8C1D22)",
         (DELIVERED, 0, "2.0.0", "8C1D22", FORWARD)),
        ("discard", "7F00AA: to=<a@b.example>, relay=none, delay=0, dsn=2.0.0, status=sent (b.example)",
         (DISCARDED, 0, "2.0.0", "", "")),
        ("smtp", "7F00AA: to=<a@b.example>, relay=127.0.0.1[127.0.0.1]:10024, conn_use=2, delay=1, delays=0/0/0/1, dsn=2.0.0, "
         "status=sent (250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 8C1D22)",
         (DELIVERED, 250, "2.0.0", "8C1D22", FILTER)),
        ("smtp", "7F00AA: to=<a@b.example>, relay=127.0.0.1[127.0.0.1]:10024, delay=1, dsn=2.7.0, status=sent (250 2.7.0 Ok, discarded, id=1-2 - spam)",
         (DISCARDED, 250, "2.7.0", "", "")),
        ("smtp", "7F00AA: to=<a@b.example>, relay=127.0.0.1[127.0.0.1]:10024, delay=1, dsn=2.5.0, status=sent (250 2.5.0 Ok, id=1-2, DISCARDED(bounce.suppressed))",
         (DISCARDED, 250, "2.5.0", "", "")),
        ("smtp", "7F00AA: to=<a@b.example>, relay=127.0.0.1[127.0.0.1]:10024, delay=1, dsn=2.5.0, status=sent (250 2.5.0 Ok, id=1-2, BOUNCE)",
         (BOUNCED, 250, "2.5.0", "", "")),
        ("smtp", "7F00AA: to=<a@b.example>, relay=127.0.0.1[127.0.0.1]:2525, delay=1, dsn=2.0.0, status=sent (250 2.0.0 Ok: nothing is discarded)",
         (DELIVERED, 250, "2.0.0", "", "")),
        ("smtp", "7F00AA: to=<a@b.example>, relay=mx.far.example[192.0.2.9]:25, delay=1, dsn=2.7.0, status=sent (250 2.7.0 Ok, discarded, id=1-2 - spam)",
         (DELIVERED, 250, "2.7.0", "", "")),
        ("lmtp", "7F00AA: to=<a@b.example>, relay=mx[private/dovecot-lmtp], delay=1, dsn=2.0.0, status=sent (250 2.0.0 <a@b.example> x Saved)",
         (DELIVERED, 250, "2.0.0", "", "")),
    ],
)  # fmt: skip
def test_deliveries(agent: str, message: str, wanted: tuple[object, ...]) -> None:
    found = attempt(agent, message)
    assert (found.status, found.smtp_code, found.enhanced_code, found.next_queue_id, found.handover) == wanted
    assert found.transport == agent


def test_what_is_suspended_was_not_tried() -> None:
    message = (
        "7F00AA: to=<a@b.example>, relay=none, delay=9, dsn=4.4.2, status=deferred (delivery temporarily suspended: x)"
    )
    assert not attempt("error", message).is_attempt


def test_a_probe_is_no_delivery() -> None:
    assert read("smtp", HEAD + "dsn=2.1.5, status=deliverable (250 Ok)") == Ignored("probe")


REFUSED = "reject: RCPT from a.example[192.0.2.1]: 450 4.7.1 <b@here.example>: Greylisted; from=<s@far.example> to=<b@here.example> proto=ESMTP helo=<x>"


def test_refusals() -> None:
    found = refusal("smtpd", f"NOQUEUE: {REFUSED}")
    assert found.queue_id.startswith("r:")
    assert (found.sender, found.recipient, found.smtp_code, found.enhanced_code, found.status, found.closes) == (
        "s@far.example", "b@here.example", 450, "4.7.1", REJECTED, False,
    )  # fmt: skip
    assert refusal("smtpd", f"7F00AA: {REFUSED}").queue_id == "7F00AA"
    commas = "NOQUEUE: reject: RCPT from [192.0.2.1]:999: 550 5.7.1 no; from=<s@f.example>, to=<b@h.example>, proto=SMTP, helo=<x>"
    assert refusal("postscreen", commas).recipient == "b@h.example"
    milter = "7F00AA: milter-reject: END-OF-MESSAGE from a.example[192.0.2.1]: 5.7.1 spam; from=<s@f.example> to=<b@h.example> proto=ESMTP helo=<x>"
    assert refusal("cleanup", milter).closes
    header = "7F00AA: reject: header Subject: pills from a.example[192.0.2.1]; from=<s@f.example> to=<b@h.example> proto=ESMTP helo=<x>: 5.7.1 no pills"
    assert refusal("cleanup", header).response == "5.7.1 no pills"
    assert refusal("cleanup", header).client_ip == "192.0.2.1"
    assert (refusal("cleanup", header).subject, refusal("cleanup", header).has_content) == ("pills", True)
    coded = header.replace("reject: header Subject: pills", "discard: header SUBJECT:?=?utf-8?q?Gr=C3=BC=C3=9Fe?=")
    assert (refusal("cleanup", coded).subject, refusal("cleanup", coded).status) == ("Grüße", DISCARDED)
    body = header.replace("header Subject: pills", "body Subject: pills")
    assert (refusal("cleanup", body).subject, refusal("cleanup", body).has_content) == ("", True)
    thrown = "NOQUEUE: discard: RCPT from a.example[192.0.2.1]: <b@h.example>: silently; from=<s@f.example> to=<b@h.example> proto=ESMTP helo=<x>"
    assert refusal("smtpd", thrown).status == DISCARDED


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        ("smtpd", "hold: RCPT from a.example[192.0.2.1]: <b@h.example>: look at it; from=<s@f.example> to=<B@h.example> proto=ESMTP helo=<x>"),
        ("cleanup", "hold: header X-Odd: a; from=<v@h.example> from a.example[192.0.2.1]; from=<s@f.example> to=<b@h.example> proto=ESMTP helo=<x>"),
        ("cleanup", "milter-hold: END-OF-MESSAGE from a.example[192.0.2.1]: milter triggers HOLD action; from=<s@f.example> to=<b@h.example> proto=ESMTP helo=<x>"),
    ],
)  # fmt: skip
def test_what_is_put_on_hold_names_sender_and_recipient(agent: str, message: str) -> None:
    held = read(agent, f"7F00AA: {message}")
    assert isinstance(held, list)
    sender, waits = held[:2]
    assert isinstance(sender, Arrival)
    assert isinstance(waits, Attempt)
    assert (sender.queue_id, sender.part, sender.sender) == ("7F00AA", HELD, "s@f.example")
    assert (waits.recipient, waits.status, waits.is_attempt, waits.transport) == ("b@h.example", DEFERRED, False, "")
    assert read(agent, f"NOQUEUE: {message}") == Ignored("note")


def test_a_subject_for_which_a_message_is_put_on_hold_is_read() -> None:
    line = "7F00AA: hold: header Subject: Bill 7 from a.example[192.0.2.1]; from=<s@f.example> to=<b@h.example> proto=ESMTP helo=<x>"
    held = read("cleanup", line)
    assert isinstance(held, list)
    assert [one.subject for one in held if isinstance(one, Arrival)] == ["Bill 7"]


@pytest.mark.parametrize(
    "message",
    [
        "NOQUEUE: reject_warning: RCPT from a[192.0.2.1]: 450 x; from=<a@b.example> to=<c@d.example> proto=ESMTP helo=<x>",
        "7F00AA: filter: header X-Odd: yes from local; from=<a@b.example> to=<c@d.example>",
        "NOQUEUE: reject: CONNECT from unknown[192.0.2.1]: 554 5.7.1 no; proto=SMTP",
        "connect from a[192.0.2.1]",
        "7F00AA: replace: header Received: from x; from=<a@b.example> to=<c@d.example>",
    ],
)
def test_what_is_of_no_interest(message: str) -> None:
    assert isinstance(read("smtpd", message), Ignored)


def test_what_claims_to_matter_and_is_cut_is_unreadable() -> None:
    assert isinstance(read("smtpd", f"NOQUEUE: {REFUSED.partition('> proto')[0]}"), Unreadable)
    assert isinstance(read("smtp", "7F00AA: to=<ann@far"), Unreadable)
    assert isinstance(read("qmgr", "7F00AA: from=<ann@far"), Unreadable)


FORGERIES = (
    "to=<root@here.example>, relay=none, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250 Ok)",
    "> status=sent (250 2.0.0 Ok)",
    "; from=<root@here.example> to=<root@here.example> proto=ESMTP helo=<x>",
    ") to=<root@here.example>, relay=local, delay=0, dsn=2.0.0, status=sent (delivered to mailbox)",
    "7F00AB: removed",
    "sasl_username=root@here.example",
    '"@here.example>, relay=none, delay=0, status=sent (',
    "queued as 8C1D22",
    "from local; from=<root@here.example>",
)
WORDS = st.lists(st.sampled_from(FORGERIES) | st.text("abc <>()[]\"\\;:,=@/'", max_size=8), max_size=6).map(" ".join)
LOCAL_PARTS = WORDS.map(lambda words: '"' + words.replace("\\", "\\\\").replace('"', '\\"') + '"')


@given(LOCAL_PARTS, WORDS, st.sampled_from(["sent", "bounced", "deferred"]))
def test_no_local_part_or_answer_changes_recipient_or_status(local: str, answer: str, word: str) -> None:
    line = f"7F00AA: to=<{local}@far.example>, orig_to=<{local}@here.example>, relay=mx.far.example[198.51.100.1]:25, delay=1, delays=0/0/0/1, dsn=2.0.0, status={word} (host mx.far.example[198.51.100.1] said: 550 {answer})"
    found = attempt("smtp", line)
    assert (found.queue_id, found.recipient, found.original_recipient) == (
        "7F00AA", f"{local}@far.example".lower(), f"{local}@here.example".lower(),
    )  # fmt: skip
    assert found.status == {"sent": DELIVERED, "bounced": BOUNCED, "deferred": DEFERRED}[word]
    assert (found.remote_ip, found.response) == ("198.51.100.1", f"550 {answer}")


@given(LOCAL_PARTS, LOCAL_PARTS, st.text("abcdefgh?.:-", max_size=20))
def test_no_stranger_changes_whom_a_refusal_is_about(sender: str, recipient: str, helo: str) -> None:
    line = f"NOQUEUE: reject: RCPT from a.example[192.0.2.1]: 550 5.1.1 <{recipient}@here.example>: unknown; from=<{sender}@far.example> to=<{recipient}@here.example> proto=ESMTP helo=<{helo}>"
    parsed = read("smtpd", line)
    if isinstance(parsed, Refusal):
        assert (parsed.sender, parsed.recipient) == (f"{sender}@far.example", f"{recipient}@here.example".lower())
    else:
        assert isinstance(parsed, Unreadable)


@pytest.mark.parametrize(
    "helo",
    [
        "a>b",
        "<",
        "x> ; from=<v@f.example> to=<w@h.example> proto=SMTP helo=<y",
        "; from=<v@f.example> to=<w@h.example>",
    ],
)
@pytest.mark.parametrize("command", ["RCPT", "EHLO", "MAIL"])
def test_no_greeting_hides_or_forges_a_refusal(command: str, helo: str) -> None:
    envelope = "from=<s@far.example> to=<b@here.example> " if command == "RCPT" else ""
    parsed = read(
        "smtpd",
        f"NOQUEUE: reject: {command} from a[192.0.2.1]: 450 4.7.1 <{helo}>: Helo command rejected: no; {envelope}proto=ESMTP helo=<{helo}>",
    )
    if isinstance(parsed, Refusal):
        assert (command, parsed.sender, parsed.recipient) == ("RCPT", "s@far.example", "b@here.example")
    elif command == "EHLO":
        assert isinstance(parsed, Ignored)
    else:
        assert isinstance(parsed, Unreadable) == ("helo=" in helo)


def test_a_recipient_that_reads_like_the_end_of_the_line_is_only_a_recipient() -> None:
    recipient = '"a; from=<v@far.example> to=<w@here.example>: x"@here.example'
    line = (
        f"NOQUEUE: reject: RCPT from a.example[192.0.2.1]: 550 5.1.1 <{recipient}>: unknown; "
        f"from=<s@far.example> to=<{recipient}> proto=ESMTP helo=<h>"
    )
    parsed = read("smtpd", line)
    assert isinstance(parsed, Refusal)
    assert (parsed.sender, parsed.recipient) == ("s@far.example", recipient)


@given(LOCAL_PARTS, WORDS)
def test_no_sender_or_subject_changes_the_account(sender: str, subject: str) -> None:
    queued = arrival("qmgr", f"7F00AA: from=<{sender}@far.example>, size=12, nrcpt=1 (queue active)")
    assert (queued.sender, queued.authenticated_as, queued.system_user) == (f"{sender}@far.example", "", "")
    line = f"7F00AA: info: header Subject: {subject} from a.example[192.0.2.1]; from=<{sender}@far.example> to=<b@c.example> proto=ESMTP helo=<x>"
    found = arrival("cleanup", line)
    assert found.part == SUBJECT
    assert (found.sender, found.authenticated_as, found.client_ip, found.parent_queue_id) == ("", "", "", "")


WORD = st.from_regex(r"[A-Za-z0-9.+_-]{1,12}", fullmatch=True)
ADDRESSES = st.builds("{}@{}.example".format, WORD | LOCAL_PARTS, st.from_regex(r"[a-z]{1,10}", fullmatch=True))
IDS = st.from_regex(r"[0-9A-F]{6,12}", fullmatch=True) | st.from_regex(
    r"[0-9BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz]{10}z[0-9BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz]{1,4}",
    fullmatch=True,
)
DSN = st.sampled_from(["2.0.0", "4.7.1", "5.1.1", "5.7.606"])


@given(
    st.sampled_from(["smtp", "lmtp", "local", "virtual", "pipe", "error"]), IDS, ADDRESSES, st.none() | ADDRESSES,
    st.sampled_from(["none", "local", "mx.far.example[198.51.100.1]:25", "mx.far.example[2001:db8::1]:25", "h[private/lmtp]"]),
    st.booleans(), DSN, st.sampled_from(["sent", "bounced", "deferred"]), st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
)  # fmt: skip
def test_a_delivery_survives_print_and_parse(
    agent: str, queue_id: str, to: str, original: str | None, relay: str, is_old: bool, dsn: str, word: str, words: str
) -> None:
    times = "delay=1.5, " if is_old else "conn_use=2, delay=1.5, delays=0.1/0/0.9/0.5, "
    shown = f"{queue_id}: to=<{to}>, {f'orig_to=<{original}>, ' if original else ''}relay={relay}, {times}dsn={dsn}, status={word} ({words})"
    found = attempt(agent, shown)
    assert (found.queue_id, found.recipient, found.transport, found.enhanced_code) == (queue_id, to.lower(), agent, dsn)
    assert found.original_recipient == ("" if not original or original.lower() == to.lower() else original.lower())
    assert {"sent": (DELIVERED, DISCARDED), "bounced": (BOUNCED,), "deferred": (DEFERRED,)}[word].count(found.status)
    assert found.remote_host == ("" if relay in ("none", "local") else relay.partition("[")[0])
    assert found.remote_ip == ("" if "[" not in relay or "/" in relay else relay.partition("[")[2].partition("]")[0])
    assert found.response == words


@given(IDS, ADDRESSES, st.integers(0, 10**9), WORD, ADDRESSES)
def test_an_arrival_survives_print_and_parse(queue_id: str, sender: str, size: int, host: str, login: str) -> None:
    queued = arrival("qmgr", f"{queue_id}: from=<{sender}>, size={size}, nrcpt=2 (queue active)")
    assert (queued.queue_id, queued.sender, queued.size_bytes) == (queue_id, sender, size)
    handed_in = arrival("smtpd", f"{queue_id}: client={host}[192.0.2.7], sasl_method=PLAIN, sasl_username={login}")
    assert (handed_in.queue_id, handed_in.client_host, handed_in.client_ip) == (
        queue_id,
        "" if host == "unknown" else host,
        "192.0.2.7",
    )
    assert (handed_in.auth_method, handed_in.authenticated_as) == ("PLAIN", login)


@given(st.just("NOQUEUE") | IDS, ADDRESSES, ADDRESSES, WORD, DSN)
def test_a_refusal_survives_print_and_parse(queue_id: str, sender: str, recipient: str, helo: str, dsn: str) -> None:
    tail = f"from=<{sender}> to=<{recipient}> proto=ESMTP helo=<{helo}>"
    parsed = read("smtpd", f"{queue_id}: reject: RCPT from h.example[192.0.2.7]: 550 {dsn} no; {tail}")
    if isinstance(parsed, Unreadable):
        assert "; from=<" in sender + recipient
        return
    assert isinstance(parsed, Refusal)
    assert (parsed.sender, parsed.recipient, parsed.client_ip) == (sender, recipient.lower(), "192.0.2.7")
    assert (parsed.smtp_code, parsed.enhanced_code, parsed.response) == (550, dsn, f"550 {dsn} no")


@pytest.mark.parametrize("agent", ["smtp", "smtpd", "cleanup", "qmgr", "pickup", "bounce"])
@pytest.mark.parametrize(
    "worst",
    [
        "7F00AA: to=<" + '"a' * 32_000,
        HEAD + "status=sent (" + "queued as " * 6_000,
        "7F00AA: reject: RCPT from a[1.1.1.1]: " + "; from=<" * 8_000,
        "7F00AA: reject: header Subject: " + " from a[1.1.1.1]; from=<a> to=<b>" * 2_000,
        "7F00AA: warning: header Subject: " + " from local; from=<" * 3_000,
        "7F00AA: reject: RCPT from a[1.1.1.1]: 550" + "; from=<a> to=<b> proto=E helo=<" * 2_000,
        "7F00AA: reject: header Subject: " + " from a[1.1.1.1]; from=<a> to=<b> helo=<" * 1_600,
        "NOQUEUE: proxy-reject: RCPT: 550" + "; from=<a> to=<b> proto=E helo=<" * 2_000 + ">",
        "7F00AA: client=a[1.1.1.1]" + ", sasl_username=x" * 4_000,
        "7F00AA: from=<" + '"\\' * 32_000,
        "7F00AA: message-id=" + "<" * 64_000,
        "A" * 64_000,
        "NOQUEUE: reject: " + "A-" * 32_000,
    ],
    ids=range(13),
)
def test_the_worst_line_costs_little(agent: str, worst: str) -> None:
    assert is_linear(partial(read, agent), worst)
