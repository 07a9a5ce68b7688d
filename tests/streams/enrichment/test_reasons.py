"""The words of providers, written as they write them, and the reason that each of them means."""

from __future__ import annotations

from pathlib import Path

import pytest
from postwatch.streams.contracts.outcome import (
    BOUNCED,
    CANCELLED,
    DEFERRED,
    DELIVERED,
    DISCARDED,
    EXPIRED,
    REASONS,
    REJECTED,
)
from postwatch.streams.enrichment.reasons import BUILT_IN
from postwatch.streams.parsers.smtp import reply_codes

from tests.cpu import is_linear

REPLIES = [
    ("5.1.1", "550-5.1.1 The email account that you tried to reach does not exist. - gsmtp", "unknown-user"),
    ("5.2.2", "552-5.2.2 The recipient's inbox is out of storage space. - gsmtp", "mailbox-full"),
    ("5.7.26", "550-5.7.26 This mail is blocked: the sender is unauthenticated. - gsmtp", "authentication"),
    ("5.7.1", "550-5.7.1 Our system has detected that this message is likely unsolicited mail. - gsmtp", "spam"),
    ("4.7.28", "421-4.7.28 Gmail has detected an unusual rate of mail from your IP address. - gsmtp", "rate-limit"),
    ("4.2.1", "450-4.2.1 The user you are trying to contact is receiving mail too quickly.", "rate-limit"),
    ("4.7.0", "421-4.7.0 This message does not have a PTR record. - gsmtp", "dns"),
    ("5.7.515", "550 5.7.515 Access denied, sending domain doesn't meet the required level", "authentication"),
    ("5.7.606", "550 5.7.606 Access denied, banned sending IP [192.0.2.1]", "reputation"),
    ("5.7.1", "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. part of their network is on our block "
     "list (S3140).", "reputation"),
    ("5.1.10", "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", "unknown-user"),
    ("5.4.1", "550 5.4.1 Recipient address rejected: Access denied.", "unknown-user"),
    ("4.7.0", "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume", "reputation"),
    ("", "554 delivery error: dd This user doesn't have a yahoo.example account", "unknown-user"),
    ("5.7.9", "554 5.7.9 Message not accepted for policy reasons.", "policy"),
    ("5.7.1", "550 5.7.1 [CS01] Message rejected due to local policy.", "policy"),
    ("5.7.0", "554 5.7.0 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1", "reputation"),
    ("", "550 Rejected by header based manually blocked senders", "policy"),
    ("", "554 Email rejected due to security policies", "policy"),
    ("", "550 Service unavailable; Client host [192.0.2.1] blocked using b.barracudacentral.org", "reputation"),
    ("5.7.1", "550 5.7.1 Service unavailable; client [192.0.2.1] blocked using zen.spamhaus.org", "reputation"),
    ("5.7.1", "554 5.7.1 Your access to this system is rejected due to poor reputation of a domain", "reputation"),
    ("", "554 IP=192.0.2.1 - A problem occurred. Ask your postmaster for help.", "reputation"),
    ("5.7.1", "554 5.7.1 Message rejected under suspicion of SPAM", "spam"),
    ("4.7.1", "451 4.7.1 Greylisting in action, please come back later", "greylisted"),
    ("4.7.1", "450 4.7.1 <b@far.example>: Recipient address rejected: Graylisted", "greylisted"),
    ("5.7.1", "550 5.7.1 SPF check failed for the envelope sender", "authentication"),
    ("5.7.1", "550 5.7.1 rejected by DMARC policy for x.example", "authentication"),
    ("5.7.1", "554 5.7.1 <b@far.example>: Relay access denied", "relay-denied"),
    ("", "550 relay not permitted", "relay-denied"),
    ("", "550 5.3.4 Message size exceeds fixed limit", "size"),
    ("5.3.4", "552 5.3.4 Message too big", "size"),
    ("", "Unrouteable address", "routing"),
    ("4.4.1", "connect to mx.far.example[198.51.100.1]:25: Connection timed out", "connection"),
    ("4.4.3", "Host or domain name not found. Name service error for name=gone.example type=MX", "dns"),
    ("5.4.4", "Host or domain name not found. Name service error for name=gone.example type=A", "dns"),
    ("4.7.5", "Server certificate not trusted", "tls"),
    ("5.4.6", "mail for far.example loops back to myself", "routing"),
    ("", "all relevant MX records point to non-existent hosts: no MX", "dns"),
    ("", "Domain here.example has exceeded the max emails per hour (123/100 (123%)) allowed.", "rate-limit"),
    ("5.7.1", "550 5.7.1 virus Eicar-Signature found", "spam"),
    ("", "550 mailbox is full", "mailbox-full"),
    ("", "something of its own", "other"),
    ("", "451 account service is temporarily unavailable", "other"),
    ("4.7.0", "451 4.7.0 Temporary server error. Please try again later. PRX5", "other"),
    ("", "550 the recipient account is blocked", "unknown-user"),
    ("5.7.1", "550 5.7.1 something of its own", "policy"),
    ("", "on hold until an operator releases it", "policy"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "words", "reason"), REPLIES, ids=range(len(REPLIES)))
def test_replies(code: str, words: str, reason: str) -> None:
    assert BUILT_IN.find_reason(BOUNCED, code, words) == reason
    assert reason in REASONS


def test_only_trouble_has_a_reason() -> None:
    assert BUILT_IN.find_reason(DELIVERED, "2.0.0", "250 Ok") == ""
    assert BUILT_IN.find_reason(CANCELLED, "", "rejected") == ""
    assert BUILT_IN.find_reason(DISCARDED, "2.6.0", "250 Ok, discarded") == ""
    assert BUILT_IN.find_reason(DISCARDED, "", "Domain b has exceeded the max emails per hour.") == "rate-limit"
    assert BUILT_IN.find_reason(EXPIRED, "4.4.1", "Connection timed out") == "expired"
    assert BUILT_IN.find_reason(DEFERRED, "", "too many connections") == "rate-limit"
    assert BUILT_IN.find_reason(REJECTED, "", "Unrouteable address") == "routing"


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("gmail-smtp-in.l.google.com", "Google"),
        ("x-example.mail.protection.outlook.com.", "Microsoft"),
        ("MTA7.am0.yahoodns.net", "Yahoo"),
        ("mx01.mail.icloud.com", "Apple"),
        ("za-smtp-inbound-1.mimecast.co.za", "Mimecast"),
        ("google.com.evil.example", ""),
        ("mx.far.example", ""),
        ("", ""),
    ],
)
def test_providers(host: str, provider: str) -> None:
    assert BUILT_IN.find_provider(host) == provider


@pytest.mark.parametrize(
    "words",
    [
        "domain " * 9000,
        "account " * 9000,
        "a@" * 9000,
        "<" * 9000,
        "https://" * 9000,
        "max daily over " * 5000,
        "exceeds " * 9000,
        "mx " * 20_000,
        "exceeded " * 8000,
        "a" * 65_000,
        "no such " * 8000,
    ],
)
def test_the_worst_words_cost_little(words: str) -> None:
    assert is_linear(lambda said: BUILT_IN.find_reason(BOUNCED, "", said), words)


USUAL = [
    line.split("\t")
    for line in (Path(__file__).parent / "usual_replies.tsv").read_text("utf-8").splitlines()[1:]
    if line
]
"""Provider, what its reply says in short, reason, and where the provider or others publish it."""


@pytest.mark.parametrize(("provider", "reply", "reason", "source"), USUAL, ids=range(len(USUAL)))
def test_usual_replies(provider: str, reply: str, reason: str, source: str) -> None:
    _, enhanced = reply_codes(reply)
    for status in (BOUNCED, DEFERRED):
        assert BUILT_IN.find_reason(status, enhanced, reply) == reason, provider
        assert BUILT_IN.find_reason(status, enhanced, f"{reply.upper()} (in reply to RCPT TO command)") == reason
    assert source.startswith("http")


def test_the_table_of_usual_replies_is_whole() -> None:
    assert len({reply for _, reply, _, _ in USUAL}) >= 200
    assert len({provider for provider, _, _, _ in USUAL}) >= 30
    assert {reason for _, _, reason, _ in USUAL} == set(REASONS) - {"expired", "other"}


@pytest.mark.parametrize(
    ("code", "words", "reason"),
    [
        ("5.0.0", "552 4.2.2 User has a full mailbox", "mailbox-full"),
        ("4.0.0", "450 5.1.1 Mailbox is disabled at present", "unknown-user"),
        ("5.1.1", "550 5.1.1 mailbox over quota", "mailbox-full"),
        ("5.2.2", "550 5.2.2 no such user", "unknown-user"),
        ("4.4.1", "450 4.4.1 sender rate limit", "rate-limit"),
        ("5.0.0", "550 #5.1.0 no", "unknown-user"),
        ("5.0.0", "552 5.2.2 no", "mailbox-full"),
        ("5.4.1", "541 5.4.1 refused by the domain", "policy"),
        ("5.0.0", "550 see 5.1.1.1 no", "other"),
    ],
)
def test_words_go_before_codes_that_contradict_them(code: str, words: str, reason: str) -> None:
    assert BUILT_IN.find_reason(BOUNCED, code, words) == reason


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("550 5.1.1 <spam@bakery.example>: Recipient address rejected: User unknown", "unknown-user"),
        ("550 quota@dns.example is unknown user", "unknown-user"),
        ("552 <no-such-user@far.example> mailbox full", "mailbox-full"),
        ("550 user unknown, see https://far.example/spf/blacklist", "unknown-user"),
        ("554 see https://far.example/spf", "authentication"),
        (f"550 the sender quota-{'x' * 70}@far.example is refused", "policy"),
    ],
)
def test_addresses_and_links_do_not_decide(words: str, reason: str) -> None:
    assert BUILT_IN.find_reason(BOUNCED, "", words) == reason


def test_only_another_server_can_refuse_our_login() -> None:
    words = "553 5.7.1 <a@b.example>: Sender address rejected: not owned by user c@b.example"
    assert BUILT_IN.find_reason(BOUNCED, "5.7.1", words) == "own-login"
    words = (
        "authentication required but authentication attempt(s) failed"  # Exim's own, where hosts_require_auth is set
    )
    assert BUILT_IN.find_reason(DEFERRED, "", words) == "own-login"
    assert (
        BUILT_IN.find_reason(DEFERRED, "", "Remote host closed connection in response to end of data") == "connection"
    )
    assert BUILT_IN.find_reason(DEFERRED, "4.7.8", "535 5.7.8 no") == "own-login"
    assert BUILT_IN.find_reason(REJECTED, "5.7.1", words) == "policy"
