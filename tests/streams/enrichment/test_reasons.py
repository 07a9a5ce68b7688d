"""The words of providers, written as they write them, and the reason that each of them means."""

from __future__ import annotations

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

from tests.cpu import least_cpu_seconds

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
    "words", ["exceeds " * 9000, "mx " * 20_000, "exceeded " * 8000, "a" * 65_000, "no such " * 8000]
)
def test_the_worst_words_cost_little(words: str) -> None:
    assert least_cpu_seconds(lambda: BUILT_IN.find_reason(BOUNCED, "", words), 0.05) < 0.05
