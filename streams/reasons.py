"""Why a message did not arrive, in one word: from the enhanced code (RFC 3463), then from the far server's words."""

from __future__ import annotations

import re
from functools import lru_cache

from postwatch.streams.outcome import BOUNCED, DEFERRED, EXPIRED, REJECTED

_BY_CODE = {
    "1.0": "unknown-user",
    "1.1": "unknown-user",
    "1.2": "routing",
    "1.6": "unknown-user",
    "1.10": "unknown-user",
    "2.1": "unknown-user",
    "2.2": "mailbox-full",
    "2.3": "size",
    "3.4": "size",
    "4.1": "connection",
    "4.2": "connection",
    "4.3": "dns",
    "4.4": "routing",
    "4.6": "routing",
    "4.7": "expired",
    "7.20": "authentication",
    "7.23": "authentication",
    "7.26": "authentication",
    "7.509": "authentication",
    "7.515": "authentication",
}
"""Subject and detail of an enhanced code, where they tell enough; 7.1 and the like need the words."""

_BY_WORDS = tuple(
    (reason, re.compile(words, re.IGNORECASE))
    for reason, words in (
        ("greylisted", r"gr[ea]y-?list"),
        ("rate-limit", r"rate.?limit|too many|exceeded the max|throttl|try again later due to volume"),
        ("authentication", r"\bspf\b|\bdkim\b|\bdmarc\b|unauthenticated"),
        (
            "reputation",
            r"spamhaus|blacklist|blocklist|black list|block list|\brbl\b|reputation|listed (?:at|in|by)|blocked using",
        ),
        ("spam", r"spam|virus|malware|unsolicited"),
        ("mailbox-full", r"over ?quota|quota exceeded|mailbox (?:is )?full|exceeded .*storage"),
        ("relay-denied", r"relay(?:ing)? (?:not permitted|denied|access denied)|unable to relay"),
        (
            "unknown-user",
            r"user unknown|unknown user|no such (?:user|mailbox|recipient|person)|does not exist|mailbox (?:not found|"
            r"unavailable)|recipient (?:not found|unknown)|invalid recipient|unknown recipient|no mailbox here",
        ),
        ("size", r"message (?:size|too (?:big|large))|exceeds .*size"),
        ("tls", r"\btls\b|certificate"),
        ("dns", r"host lookup|dns|domain not found|no mx|lowest numbered mx|mx .*(?:invalid|not found)"),
        ("connection", r"connection (?:refused|timed out|reset|closed|lost)|no route to host|timed? ?out|unreachable"),
        ("routing", r"unrouteable|alias|mailing list|too many (?:hops|received)"),
        ("policy", r"policy|not allowed|access denied|rejected|blocked|prohibited|refused"),
    )
)


@lru_cache(maxsize=16384)
def find_reason(status: str, enhanced_code: str, response: str) -> str:
    """One of `outcome.REASONS`, or the empty text where there is no trouble."""
    if status == EXPIRED:
        return "expired"
    if status not in (BOUNCED, DEFERRED, REJECTED):
        return ""
    found = _BY_CODE.get(enhanced_code[2:])
    if found and not (found == "unknown-user" and "spam" in response):
        return found
    for reason, words in _BY_WORDS:
        if words.search(response, 0, 1000):
            return reason
    return "other"


_PROVIDERS = {
    "google.com": "Google",
    "googlemail.com": "Google",
    "outlook.com": "Microsoft",
    "hotmail.com": "Microsoft",
    "yahoodns.net": "Yahoo",
    "icloud.com": "Apple",
    "apple.com": "Apple",
    "pphosted.com": "Proofpoint",
    "ppe-hosted.com": "Proofpoint",
    "mimecast.com": "Mimecast",
    "barracudanetworks.com": "Barracuda",
    "gmx.net": "GMX",
    "web.de": "WEB.DE",
    "mail.ru": "Mail.ru",
    "yandex.ru": "Yandex",
    "zoho.com": "Zoho",
    "protonmail.ch": "Proton",
}


@lru_cache(maxsize=16384)
def find_provider(remote_host: str) -> str:
    """The large provider behind an MX host, or the empty text."""
    labels = remote_host.lower().rstrip(".").split(".")
    return _PROVIDERS.get(".".join(labels[-2:]), "")
